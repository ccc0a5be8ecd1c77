"""Every setting: its name, type, default and what it is for."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from platformdirs import user_cache_path, user_data_path
from pydantic import Field, PrivateAttr, SecretStr

from stockctl.exchange.calendar import EXCHANGE_TIMEZONE
from stockctl.records import Source
from stockctl.settings.addresses import BootstrapServers, Host, HttpAddress, LakeAddress, WebSocketAddress
from stockctl.settings.mongo_address import MongoAddress
from stockctl.settings.names import (
    GlueDatabase,
    GroupName,
    ImageName,
    ImageTag,
    MongoDatabase,
    Namespace,
    Networks,
    RoleArn,
    Schedule,
    SchemaName,
    Sources,
    TopicName,
)
from stockctl.settings.types import Duration, HomePath, Section, Size, Symbols, UserName, Zone


def _is_finnhubs(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host == "finnhub.io" or host.endswith(".finnhub.io")


class FinnhubSettings(Section):
    """The feed: Finnhub's WebSocket and REST API, or a simulator that speaks the same."""

    url: WebSocketAddress = Field("wss://ws.finnhub.io", min_length=1, description="WebSocket address of the feed")
    rest_url: HttpAddress = Field("https://finnhub.io/api/v1", min_length=1, description="base address of the REST API")
    token: SecretStr | None = Field(None, description="API key")
    silence_timeout: Duration = Field(150.0, gt=0, description="reconnect after this long without any frame, pings included")
    connect_timeout: Duration = Field(10.0, gt=0, description="give up one connection attempt after this long")
    backoff_max: Duration = Field(
        60.0, gt=0, description="longest pause between two attempts to connect, or to ask the REST API"
    )
    symbol_limit: int = Field(50, gt=0, description="symbols that the plan allows on one connection")
    requests_per_minute: int = Field(60, gt=0, description="requests to the REST API that the plan allows in a minute")
    requests_per_second: int = Field(30, gt=0, description="requests to the REST API that are allowed in a second")
    request_window: Duration = Field(60.0, gt=0, description="the time over which requests_per_minute counts")
    request_timeout: Duration = Field(30.0, gt=0, description="how long one request to the REST API may take")
    request_tries: int = Field(6, gt=0, description="tries of a request to the REST API before it counts as failed")
    drop_repeated_frames: bool = Field(
        False, description="drop a frame equal to one of the last few on the connection (always counted and reported)"
    )

    @property
    def is_real(self) -> bool:
        """Whether the address is Finnhub's own."""
        return _is_finnhubs(self.url)

    @property
    def rest_is_real(self) -> bool:
        """Whether the REST API's address is Finnhub's own."""
        return _is_finnhubs(self.rest_url)

    @property
    def source(self) -> Source:
        """The ``source`` that records from this feed carry."""
        return "finnhub" if self.is_real else "sim"

    @property
    def rest_source(self) -> Source:
        """The source that filings from the REST API count as."""
        return "finnhub" if self.rest_is_real else "sim"


class KafkaSettings(Section):
    """The Kafka cluster, and how to log in to it."""

    bootstrap_servers: BootstrapServers = Field(
        "localhost:9092", description="host:port of one or more brokers, joined by commas"
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how connections are secured"
    )
    sasl_mechanism: Literal["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"] = Field("SCRAM-SHA-256", description="SASL mechanism")
    username: UserName = Field(None, description="SASL user name")
    password: SecretStr | None = Field(None, description="SASL password")
    ssl_ca_location: HomePath | None = Field(None, description="file of CA certificates; the system's when absent")
    ssl_certificate_location: HomePath | None = Field(None, description="file of the client's certificate")
    ssl_key_location: HomePath | None = Field(None, description="file of the client's private key")
    ssl_key_password: SecretStr | None = Field(None, description="password of the client's private key")
    compression: Literal["lz4", "zstd"] = Field("lz4", description="compression of produced batches")
    connect_wait: Duration = Field(30.0, gt=0, description="how long a command waits for a broker before it gives up")
    session_timeout: Duration = Field(45.0, gt=0, description="a consumer silent for this long loses its partitions")
    buffer: Size = Field(64_000_000, gt=0, description="most bytes a producer holds while no broker takes them")
    idle_pause: Duration = Field(
        0.0, ge=0, description="ask an idle topic again only after this long; for brokers that answer an empty fetch at once"
    )


class TopicSettings(Section):
    """One topic, as ``topics apply`` makes it."""

    name: TopicName
    partitions: int = Field(6, gt=0, le=2_147_483_647, description="number of partitions")
    replication: int = Field(1, gt=0, le=32_767, description="replication factor")
    retention: Duration = Field(604800.0, gt=0, description="how long the broker keeps records")
    max_message: Size = Field(1_048_588, gt=0, le=2_147_483_647, description="largest record batch the broker takes")


class TradesTopic(TopicSettings):
    """Topic of trades."""

    name: TopicName = Field("trades", description="topic of trades")


class FeedEventsTopic(TopicSettings):
    """Topic of feed events."""

    name: TopicName = Field("feed-events", description="topic of feed events")
    partitions: int = Field(1, gt=0, le=2_147_483_647, description="number of partitions")


class DeadLettersTopic(TopicSettings):
    """Topic of dead letters."""

    name: TopicName = Field("trades.dlq", max_length=240, description="topic of dead letters")
    partitions: int = Field(1, gt=0, le=2_147_483_647, description="number of partitions")
    retention: Duration = Field(2592000.0, gt=0, description="how long the broker keeps records")


class TopicsSettings(Section):
    """The topics of the pipeline."""

    trades: TradesTopic = TradesTopic()
    feed_events: FeedEventsTopic = FeedEventsTopic()
    dead_letters: DeadLettersTopic = DeadLettersTopic()


class S3Settings(Section):
    """S3, for a lake at ``s3://…``; credentials come from boto3's chain unless given here."""

    region: str | None = Field(None, description="region of the bucket")
    endpoint_url: HttpAddress | None = Field(None, description="address of an S3 server other than AWS")
    profile: str | None = Field(None, description="profile in the AWS configuration files")
    access_key_id: str | None = Field(None, description="access key")
    secret_access_key: SecretStr | None = Field(None, description="secret key")
    session_token: SecretStr | None = Field(None, description="session token")
    timeout: Duration = Field(30.0, gt=0, description="how long one request may take")


class LakeSettings(Section):
    """The lake, and how its writer cuts batches."""

    url: LakeAddress | None = Field(None, description="file:///folder or s3://bucket/prefix")
    group: GroupName = Field("stockctl-lake", description="consumer group of the writer")
    compression: Literal["gzip", "zstd"] = Field("gzip", description="compression of objects")
    compression_level: int = Field(2, ge=0, le=3, description="gzip effort (isal's levels)")
    partition_by: Literal["ticker", "bucket"] = Field(
        "ticker", description="how trades of one date are split; thousands of symbols want buckets"
    )
    buckets: int = Field(64, gt=0, le=4096, description="number of buckets that symbols are hashed into")
    timezone: Zone = Field(EXCHANGE_TIMEZONE, description="zone of trade_date")
    max_age: Duration = Field(300.0, gt=0, description="cut a batch this long after its first record")
    max_bytes: Size = Field(64_000_000, gt=0, description="cut a batch at this many bytes, uncompressed")
    max_records: int = Field(1_000_000, gt=0, description="cut a batch at this many records")
    max_objects: int = Field(2_000, gt=0, description="cut a batch at this many objects")
    buffer: Size = Field(80_000_000, gt=0, description="most bytes that all open batches hold together")
    uploads: int = Field(8, gt=0, description="objects put at the same time")
    extra_sources: Sources = Field([], description="sources the lake takes beside its first: finnhub, sim, replay, others")
    store_wait: Duration = Field(60.0, gt=0, description="how long a command waits for the store before it gives up")
    compact_memory: Size = Field(
        512_000_000, ge=128_000_000, description="most bytes that sorting for `lake compact` takes; the rest waits on disk"
    )
    cache_dir: HomePath = Field(
        default_factory=lambda: user_cache_path("stockctl") / "lake", description="folder of objects fetched from S3"
    )
    cache_max_bytes: Size = Field(5_000_000_000, ge=0, description="most bytes the cache folder holds")


class MongoSettings(Section):
    """MongoDB, and how its writer cuts batches."""

    url: MongoAddress | None = Field(None, description="mongodb://host:port, with options such as ?tls=true")
    username: UserName = Field(None, description="user name")
    password: SecretStr | None = Field(None, description="password")
    auth_source: str = Field("admin", description="database that knows the user")
    database: MongoDatabase = Field("stockctl", description="database of the collections")
    group: GroupName = Field("stockctl-mongo", description="consumer group of the writer")
    retention: Duration = Field(604800.0, gt=0, description="how long trades and coverage are kept, from their receipt")
    max_age: Duration = Field(1.0, gt=0, description="write a batch this long after its first record")
    max_records: int = Field(2_000, gt=0, le=100_000, description="write a batch at this many records")
    derive_every: Duration = Field(5.0, gt=0, description="how often bars and companies are brought up to date")
    extra_sources: Sources = Field([], description="sources MongoDB takes beside its first: finnhub, sim, replay, others")
    connect_wait: Duration = Field(30.0, gt=0, description="how long a command waits for MongoDB before it gives up")
    timeout: Duration = Field(30.0, gt=0, description="how long one request may take")


class ConnectSettings(Section):
    """Kafka Connect, and the MongoDB sink connector in it; one of the two ways into MongoDB."""

    url: HttpAddress | None = Field(None, description="address of Kafka Connect's REST API, such as http://host:8083")
    username: UserName = Field(None, description="user name, where the API asks for one (basic authentication)")
    password: SecretStr | None = Field(None, description="password of that user")
    connector: GroupName = Field("stockctl-mongo", description="name of the connector")
    tasks: int = Field(1, gt=0, description="most tasks of the connector; more than partitions stay idle")
    mongo_uri: SecretStr | None = Field(
        None, description="connection string for the worker, such as ${file:/run/mongo:uri}; made of mongo.* when absent"
    )
    kafka_jaas: SecretStr | None = Field(
        None, description="sasl.jaas.config for the worker, such as ${file:/run/kafka:jaas}; made of kafka.* when absent"
    )
    config_topic: TopicName = Field("connect-configs", description="the workers' config.storage.topic")
    offset_topic: TopicName = Field("connect-offsets", description="the workers' offset.storage.topic")
    status_topic: TopicName = Field("connect-status", description="the workers' status.storage.topic")
    wait: Duration = Field(90.0, gt=0, description="how long a command waits for Kafka Connect, and for the connector to run")
    watch_every: Duration = Field(5.0, gt=0, description="how often `connect watch` looks")
    backoff_max: Duration = Field(300.0, gt=0, description="longest pause between two restarts of a failed task")

    @property
    def group(self) -> str:
        """The consumer group that Kafka Connect gives the connector's tasks."""
        return f"connect-{self.connector}"


class GlueSettings(Section):
    """The Glue Data Catalog over a lake in S3; region and credentials are those of ``s3``."""

    database: GlueDatabase = Field("stockctl", description="database of the tables")
    role: str | None = Field(None, description="IAM role of the crawlers, its name or its ARN; no crawlers without one")
    schedule: Schedule | None = Field(
        None,
        description="when the crawlers run, such as cron(15 * * * ? *), in UTC; on demand when absent",
    )
    endpoint_url: HttpAddress | None = Field(
        None, description="address of the Glue, STS and IAM APIs, where it is not the region's own"
    )
    wait: Duration = Field(1800.0, gt=0, description="how long `glue run --wait` follows a crawler")


class RedshiftSettings(Section):
    """Redshift, and its Spectrum over the lake; region and AWS credentials are those of ``s3``."""

    via: Literal["connector", "data-api"] = Field(
        "connector", description="a connection to the port, or the Data API over HTTPS"
    )
    host: Host | None = Field(None, description="host name of the cluster or workgroup")
    port: int = Field(5439, gt=0, le=65535, description="port of the cluster or workgroup")
    database: str = Field("dev", description="database to log in to")
    user: UserName = Field(None, description="user name")
    password: SecretStr | None = Field(None, description="password; temporary IAM credentials are asked for when absent")
    cluster: str | None = Field(None, description="identifier of a provisioned cluster, for IAM credentials and the Data API")
    workgroup: str | None = Field(None, description="name of a serverless workgroup, for IAM credentials and the Data API")
    secret_arn: str | None = Field(None, description="ARN of the secret that the Data API logs in with; IAM when absent")
    ssl: bool = Field(True, description="whether the connection is encrypted")
    role: RoleArn | None = Field(
        None,
        description="ARN of the IAM role by which Redshift reads the lake, or `default`",
    )
    catalog: Literal["glue", "tables"] = Field(
        "glue", description="take the external tables from Glue as `glue apply` makes them, or write them out in SQL"
    )
    external_schema: SchemaName = Field("lake", description="schema of the external tables")
    view_schema: SchemaName = Field("stockctl", description="schema of the views")
    parquet: bool = Field(True, description="whether the views read Parquet for compacted dates")
    endpoint_url: HttpAddress | None = Field(None, description="address of Redshift's APIs, where it is not the region's own")
    connect_wait: Duration = Field(15.0, gt=0, description="how long a command waits for Redshift before it gives up")
    timeout: Duration = Field(600.0, gt=0, description="how long one statement may take")


class FilingsSettings(Section):
    """How filings are fetched."""

    fresh_for: Duration = Field(
        43200.0, ge=0, description="a symbol fetched whole this lately is not asked for again, so that a fetch may be resumed"
    )
    workers: int = Field(4, gt=0, le=64, description="symbols fetched at the same time; the limits hold for all together")


class MetricsSettings(Section):
    """Defaults of ``stockctl metrics``."""

    policy: Literal["standard", "all", "price-forming"] = Field("standard", description="which trades count")
    session: Literal["regular", "pre", "post", "all"] = Field("regular", description="which sessions count")


class ValuationSettings(Section):
    """What the cost of capital stands on; no statement tells it."""

    risk_free_rate: float = Field(0.04, ge=0, lt=1, description="risk-free rate a year, 0.04 for 4 %")
    equity_premium: float = Field(0.05, ge=0, lt=1, description="equity premium a year over the risk-free rate")
    beta: float = Field(1.0, allow_inf_nan=False, description="beta of the company's shares")


class InfraSettings(Section):
    """The pipeline on a Kubernetes cluster."""

    overlay: str = Field("single-node", description="overlay of the manifests: `single-node`, `ha`, or one of your own")
    manifests: HomePath | None = Field(None, description="folder of manifests of your own, laid out as the package's")
    kubeconfig: HomePath | None = Field(None, description="the kubeconfig; that of KUBECONFIG or ~/.kube/config when absent")
    context: str | None = Field(None, description="context of the kubeconfig; its current one when absent")
    namespace: Namespace = Field("stockctl", description="namespace of everything that is made")
    image: ImageName | None = Field(None, description="name of the image of `stockctl`, where it is not that of the manifests")
    connect_image: ImageName | None = Field(
        None, description="name of the image of Kafka Connect, where it is not that of the manifests"
    )
    image_tag: ImageTag | None = Field(None, description="tag of both images, where it is not that of the manifests")
    secrets: Literal["settings", "referenced"] = Field(
        "settings", description="make the secrets of these settings, or only refer to those that are there"
    )
    mongo_url: MongoAddress | None = Field(
        None, description="address of a MongoDB outside the cluster, as its pods reach it; without one it runs inside"
    )
    mongo_clients: Networks = Field(
        [], description="networks that may reach the MongoDB inside at port 31234 of the node, such as 203.0.113.7/32"
    )


class HealthSettings(Section):
    """The health port of long-running services, which ``--health-port`` names."""

    host: Host = Field(
        "127.0.0.1", min_length=1, description="address on which /healthz and /metrics are served; 0.0.0.0 is every IPv4 one"
    )


class LogSettings(Section):
    """Logs of long-running services."""

    format: Literal["text", "json"] = Field("text", description="one line of text, or one JSON object, per event")
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least severe level that is logged")
    every: Duration = Field(60.0, gt=0, description="how often a service logs its state")


class Settings(Section):
    """All settings of one profile."""

    symbols: Symbols = Field([], description="symbols of the pipeline")
    timezone: Zone = Field(EXCHANGE_TIMEZONE, description="zone of times on input without one, of bar edges and on display")
    state_dir: HomePath = Field(
        default_factory=lambda: user_data_path("stockctl"),
        description="folder of local state: the local stack, waiting feed events",
    )
    finnhub: FinnhubSettings = FinnhubSettings()
    kafka: KafkaSettings = KafkaSettings()
    topics: TopicsSettings = TopicsSettings()
    s3: S3Settings = S3Settings()
    lake: LakeSettings = LakeSettings()
    mongo: MongoSettings = MongoSettings()
    connect: ConnectSettings = ConnectSettings()
    glue: GlueSettings = GlueSettings()
    redshift: RedshiftSettings = RedshiftSettings()
    filings: FilingsSettings = FilingsSettings()
    metrics: MetricsSettings = MetricsSettings()
    valuation: ValuationSettings = ValuationSettings()
    infra: InfraSettings = InfraSettings()
    health: HealthSettings = HealthSettings()
    log: LogSettings = LogSettings()

    _profile: str = PrivateAttr("local")
    _origins: dict[str, str] = PrivateAttr(default_factory=dict)
    _places: list[str] = PrivateAttr(default_factory=list)

    @property
    def profile(self) -> str:
        """Name of the active profile."""
        return self._profile

    def origin(self, name: str) -> str:
        """Where the value of the dotted setting ``name`` came from."""
        return self._origins.get(name, "default")

    @property
    def places(self) -> list[str]:
        """Every place that was looked at for settings, the strongest first."""
        return list(self._places)
