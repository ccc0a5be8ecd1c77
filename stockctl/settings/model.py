"""Every setting: name, type, default and description."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from platformdirs import user_cache_path, user_data_path
from pydantic import Field, PrivateAttr, SecretStr

from stockctl.exchange.calendar import EXCHANGE_TIMEZONE
from stockctl.records import Source
from stockctl.settings.addresses import BootstrapServers, Host, HttpAddress, LakeAddress, WebSocketAddress
from stockctl.settings.dashboard import DashboardSettings
from stockctl.settings.infra import InfraSettings
from stockctl.settings.mongo_address import MongoAddress
from stockctl.settings.resource_names import (
    GlueDatabase,
    GroupName,
    MongoDatabase,
    RoleArn,
    Schedule,
    SchemaName,
    Sources,
    TopicName,
)
from stockctl.settings.signals import SignalsSettings
from stockctl.settings.types import Duration, HomePath, Section, Size, Symbols, UserName, Zone


def _is_finnhubs(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host == "finnhub.io" or host.endswith(".finnhub.io")


class FinnhubSettings(Section):
    """Finnhub's WebSocket and REST API, or a simulator of them."""

    url: WebSocketAddress = Field(
        "wss://ws.finnhub.io", min_length=1, description="WebSocket address of the feed. A simulator's address works too."
    )
    rest_url: HttpAddress = Field("https://finnhub.io/api/v1", min_length=1, description="Base address of the REST API.")
    token: SecretStr | None = Field(None, description="API key.")
    silence_timeout: Duration = Field(
        150.0, gt=0, description="Reconnect if no frame arrives for this long. Pings count as frames."
    )
    connect_timeout: Duration = Field(10.0, gt=0, description="Timeout of one connection attempt.")
    backoff_max: Duration = Field(60.0, gt=0, description="Longest pause between two attempts to connect or to request.")
    symbol_limit: int = Field(50, gt=0, description="Symbols that your plan allows on one connection.")
    requests_per_minute: int = Field(60, gt=0, description="REST requests that your plan allows per minute.")
    requests_per_second: int = Field(30, gt=0, description="REST requests that are allowed per second.")
    request_window: Duration = Field(60.0, gt=0, description="Time window over which requests_per_minute counts.")
    request_timeout: Duration = Field(30.0, gt=0, description="Timeout of one REST request.")
    request_tries: int = Field(6, gt=0, description="Tries of one REST request before it fails.")
    drop_repeated_frames: bool = Field(False, description="Drop repeated trade frames.")

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
        """The ``source`` of records from this feed."""
        return "finnhub" if self.is_real else "sim"

    @property
    def rest_source(self) -> Source:
        """The source of filings from the REST API."""
        return "finnhub" if self.rest_is_real else "sim"


class KafkaSettings(Section):
    """The Kafka cluster, and authentication."""

    bootstrap_servers: BootstrapServers = Field("localhost:9092", description="Brokers as host:port, separated by commas.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Protocol of the connections to the brokers."
    )
    sasl_mechanism: Literal["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"] = Field("SCRAM-SHA-256", description="SASL mechanism.")
    username: UserName = Field(None, description="SASL user name.")
    password: SecretStr | None = Field(None, description="SASL password.")
    ssl_ca_location: HomePath | None = Field(
        None, description="File of CA certificates. If not set, the system's certificates are used."
    )
    ssl_certificate_location: HomePath | None = Field(None, description="File of the client certificate.")
    ssl_key_location: HomePath | None = Field(None, description="File of the client's private key.")
    ssl_key_password: SecretStr | None = Field(None, description="Password of the client's private key.")
    compression: Literal["lz4", "zstd"] = Field("lz4", description="Compression of produced batches.")
    connect_wait: Duration = Field(30.0, gt=0, description="How long a command waits for a broker before it fails.")
    session_timeout: Duration = Field(
        45.0, gt=0, description="A consumer that sends no heartbeat for this long loses its partitions."
    )
    buffer: Size = Field(
        64_000_000, gt=0, description="Size of the producer's buffer. When it is full, the newest trades are dropped."
    )
    idle_pause: Duration = Field(
        0.0, ge=0, description="Pause before an idle topic is polled again. For brokers that answer an empty fetch at once."
    )


class TopicSettings(Section):
    """One topic. ``topics apply`` creates it."""

    name: TopicName
    partitions: int = Field(6, gt=0, le=2_147_483_647, description="Number of partitions.")
    replication: int = Field(1, gt=0, le=32_767, description="Replication factor.")
    retention: Duration = Field(604800.0, gt=0, description="How long the broker keeps records (retention.ms).")
    max_message: Size = Field(
        1_048_588, gt=0, le=2_147_483_647, description="Largest record batch that the broker accepts (max.message.bytes)."
    )


class TradesTopic(TopicSettings):
    """Topic of trades."""

    name: TopicName = Field("trades", description="Name of the topic of trades.")


class FeedEventsTopic(TopicSettings):
    """Topic of feed events."""

    name: TopicName = Field("feed-events", description="Name of the topic of feed events.")
    partitions: int = Field(1, gt=0, le=2_147_483_647, description="Number of partitions.")


class SignalsTopic(TopicSettings):
    """Topic of signals."""

    name: TopicName = Field("signals", description="Name of the topic of signals.")
    partitions: int = Field(1, gt=0, le=2_147_483_647, description="Number of partitions.")


class DeadLettersTopic(TopicSettings):
    """Topic of dead letters."""

    name: TopicName = Field("trades.dlq", max_length=240, description="Name of the topic of dead letters.")
    partitions: int = Field(1, gt=0, le=2_147_483_647, description="Number of partitions.")
    retention: Duration = Field(2592000.0, gt=0, description="How long the broker keeps records (retention.ms).")


class TopicsSettings(Section):
    """The topics of the pipeline."""

    trades: TradesTopic = TradesTopic()
    feed_events: FeedEventsTopic = FeedEventsTopic()
    signals: SignalsTopic = SignalsTopic()
    dead_letters: DeadLettersTopic = DeadLettersTopic()


class S3Settings(Section):
    """S3, for a lake at ``s3://…``. Credentials come from boto3's credential chain unless set here."""

    region: str | None = Field(None, description="AWS region of the bucket.")
    endpoint_url: HttpAddress | None = Field(None, description="Address of an S3-compatible server, if not AWS.")
    profile: str | None = Field(None, description="Profile in the AWS configuration files.")
    access_key_id: str | None = Field(None, description="Access key ID.")
    secret_access_key: SecretStr | None = Field(None, description="Secret access key.")
    session_token: SecretStr | None = Field(None, description="Session token.")
    timeout: Duration = Field(30.0, gt=0, description="Timeout of one request.")


class LakeSettings(Section):
    """The lake, and the batches of its writer."""

    url: LakeAddress | None = Field(None, description="Location of the lake: file:///folder or s3://bucket/prefix.")
    group: GroupName = Field("stockctl-lake", description="Consumer group of the writer.")
    compression: Literal["gzip", "zstd"] = Field("gzip", description="Compression of the objects.")
    compression_level: int = Field(2, ge=0, le=3, description="Level of gzip compression, from 0 (fastest) to 3 (smallest).")
    partition_by: Literal["ticker", "bucket"] = Field(
        "ticker", description="Partition trades by symbol, or by hash bucket for thousands of symbols."
    )
    buckets: int = Field(64, gt=0, le=4096, description="Number of hash buckets.")
    timezone: Zone = Field(EXCHANGE_TIMEZONE, description="Time zone of trade_date.")
    max_age: Duration = Field(300.0, gt=0, description="Write a batch this long after its first record.")
    max_bytes: Size = Field(64_000_000, gt=0, description="Write a batch at this uncompressed size.")
    max_records: int = Field(1_000_000, gt=0, description="Write a batch at this many records.")
    max_objects: int = Field(2_000, gt=0, description="Write a batch at this many objects.")
    buffer: Size = Field(80_000_000, gt=0, description="Memory limit of all open batches together.")
    uploads: int = Field(8, gt=0, description="Number of concurrent uploads.")
    extra_sources: Sources = Field(
        [], description="Sources that the lake accepts besides its first: finnhub, sim, replay or others."
    )
    store_wait: Duration = Field(60.0, gt=0, description="How long a command waits for the object store before it fails.")
    compact_memory: Size = Field(
        512_000_000,
        ge=128_000_000,
        description="Memory limit of sorting in `lake compact`. The rest is written to temporary files.",
    )
    cache_dir: HomePath = Field(
        default_factory=lambda: user_cache_path("stockctl") / "lake", description="Folder of the cache of S3 objects."
    )
    cache_max_bytes: Size = Field(5_000_000_000, ge=0, description="Size limit of the cache.")


class MongoSettings(Section):
    """MongoDB, and the batches of its writer."""

    url: MongoAddress | None = Field(None, description="Connection string without user and password: mongodb://host:port.")
    username: UserName = Field(None, description="User name.")
    password: SecretStr | None = Field(None, description="Password.")
    auth_source: str = Field("admin", description="Database that authenticates the user.")
    database: MongoDatabase = Field("stockctl", description="Database of the collections.")
    group: GroupName = Field("stockctl-mongo", description="Consumer group of the writer.")
    retention: Duration = Field(604800.0, gt=0, description="How long trades and coverage stay in MongoDB, from their receipt.")
    max_age: Duration = Field(1.0, gt=0, description="Write a batch this long after its first record.")
    max_records: int = Field(2_000, gt=0, le=100_000, description="Write a batch at this many records.")
    derive_every: Duration = Field(5.0, gt=0, description="How often bars and companies are refreshed.")
    extra_sources: Sources = Field(
        [], description="Sources that MongoDB accepts besides its first: finnhub, sim, replay or others."
    )
    connect_wait: Duration = Field(30.0, gt=0, description="How long a command waits for MongoDB before it fails.")
    timeout: Duration = Field(30.0, gt=0, description="Timeout of one request.")


class ConnectSettings(Section):
    """Kafka Connect and its MongoDB sink connector, the alternative to ``consume mongo``."""

    url: HttpAddress | None = Field(None, description="Address of Kafka Connect's REST API, such as http://host:8083.")
    username: UserName = Field(None, description="User name, if the REST API uses basic authentication.")
    password: SecretStr | None = Field(None, description="Password of that user.")
    connector: GroupName = Field("stockctl-mongo", description="Name of the connector.")
    tasks: int = Field(1, gt=0, description="Maximum number of tasks (tasks.max). More tasks than partitions stay idle.")
    mongo_uri: SecretStr | None = Field(
        None,
        description="Connection string for the worker, such as ${file:/run/mongo:uri}. If not set, it is built from mongo.*.",
    )
    kafka_jaas: SecretStr | None = Field(
        None,
        description="The worker's sasl.jaas.config, such as ${file:/run/kafka:jaas}. If not set, it is built from kafka.*.",
    )
    config_topic: TopicName = Field("connect-configs", description="The workers' config.storage.topic.")
    offset_topic: TopicName = Field("connect-offsets", description="The workers' offset.storage.topic.")
    status_topic: TopicName = Field("connect-status", description="The workers' status.storage.topic.")
    wait: Duration = Field(90.0, gt=0, description="How long a command waits for Kafka Connect, and for the connector to run.")
    watch_every: Duration = Field(5.0, gt=0, description="How often `connect watch` checks the connector.")
    backoff_max: Duration = Field(300.0, gt=0, description="Longest pause between two restarts of a failed task.")

    @property
    def group(self) -> str:
        """The consumer group of the connector's tasks."""
        return f"connect-{self.connector}"


class GlueSettings(Section):
    """The Glue Data Catalog of a lake in S3. Region and credentials are those of ``s3``."""

    database: GlueDatabase = Field("stockctl", description="Database of the tables.")
    role: str | None = Field(None, description="Name or ARN of the crawlers' IAM role. If not set, there are none.")
    schedule: Schedule | None = Field(
        None, description="Schedule of the crawlers in UTC, such as cron(15 * * * ? *). If not set, they run on demand."
    )
    endpoint_url: HttpAddress | None = Field(
        None, description="Address of the Glue, STS and IAM APIs, if not the region's own."
    )
    wait: Duration = Field(1800.0, gt=0, description="How long `glue run --wait` waits for a crawler.")


class RedshiftSettings(Section):
    """Redshift, and Spectrum over the lake. Region and AWS credentials are those of ``s3``."""

    via: Literal["connector", "data-api"] = Field(
        "connector", description="Connect to the port, or to the Data API over HTTPS."
    )
    host: Host | None = Field(None, description="Host name of the cluster or workgroup.")
    port: int = Field(5439, gt=0, le=65535, description="Port of the cluster or workgroup.")
    database: str = Field("dev", description="Database to connect to.")
    user: UserName = Field(None, description="User name.")
    password: SecretStr | None = Field(None, description="Password. If not set, temporary IAM credentials are used.")
    cluster: str | None = Field(None, description="Provisioned cluster, for IAM credentials and the Data API.")
    workgroup: str | None = Field(None, description="Serverless workgroup, for IAM credentials and the Data API.")
    secret_arn: str | None = Field(None, description="ARN of the secret for the Data API. If not set, IAM is used.")
    ssl: bool = Field(True, description="Encrypt the connection with TLS.")
    role: RoleArn | None = Field(None, description="ARN of the IAM role that Redshift reads the lake with, or `default`.")
    catalog: Literal["glue", "tables"] = Field(
        "glue", description="Where external tables are defined: in Glue by `glue apply`, or by SQL in Redshift."
    )
    external_schema: SchemaName = Field("lake", description="Schema of the external tables.")
    view_schema: SchemaName = Field("stockctl", description="Schema of the views.")
    parquet: bool = Field(True, description="Let the views read Parquet for compacted dates.")
    endpoint_url: HttpAddress | None = Field(None, description="Address of Redshift's APIs, if not the region's own.")
    connect_wait: Duration = Field(15.0, gt=0, description="How long a command waits for Redshift before it fails.")
    timeout: Duration = Field(600.0, gt=0, description="Timeout of one statement.")


class FilingsSettings(Section):
    """Fetching of filings."""

    fresh_for: Duration = Field(
        43200.0, ge=0, description="Skip a symbol that was fetched completely within this time. This lets you resume a fetch."
    )
    workers: int = Field(
        4, gt=0, le=64, description="Number of symbols fetched concurrently. The request limits apply to all of them together."
    )


class MetricsSettings(Section):
    """Defaults of ``stockctl metrics``."""

    policy: Literal["standard", "all", "price-forming"] = Field("standard", description="Trade filter: which trades count.")
    session: Literal["regular", "pre", "post", "all"] = Field("regular", description="Sessions that count.")


class ValuationSettings(Section):
    """Assumptions of the cost of capital. No statement reports them."""

    risk_free_rate: float = Field(0.04, ge=0, lt=1, description="Risk-free rate per year: 0.04 is 4%.")
    equity_premium: float = Field(0.05, ge=0, lt=1, description="Equity risk premium per year over the risk-free rate.")
    beta: float = Field(1.0, allow_inf_nan=False, description="Beta of the company's shares.")


class HealthSettings(Section):
    """The health port of long-running services, which ``--health-port`` names."""

    host: Host = Field(
        "127.0.0.1", min_length=1, description="Address that serves /healthz and /metrics. 0.0.0.0 is every IPv4 address."
    )


class LogSettings(Section):
    """Logs of long-running services."""

    format: Literal["text", "json"] = Field("text", description="Format: one line of text, or one JSON object, per event.")
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Lowest level that is logged.")
    every: Duration = Field(60.0, gt=0, description="How often a service logs its state.")


class Settings(Section):
    """All settings of one profile."""

    symbols: Symbols = Field([], description="Symbols of the pipeline.")
    timezone: Zone = Field(EXCHANGE_TIMEZONE, description="Time zone of input without a zone, of bar edges and of output.")
    state_dir: HomePath = Field(
        default_factory=lambda: user_data_path("stockctl"),
        description="Folder of local state: the local stack, and unsent feed events.",
    )
    finnhub: FinnhubSettings = FinnhubSettings()
    kafka: KafkaSettings = KafkaSettings()
    topics: TopicsSettings = TopicsSettings()
    s3: S3Settings = S3Settings()
    lake: LakeSettings = LakeSettings()
    mongo: MongoSettings = MongoSettings()
    signals: SignalsSettings = SignalsSettings()
    connect: ConnectSettings = ConnectSettings()
    glue: GlueSettings = GlueSettings()
    redshift: RedshiftSettings = RedshiftSettings()
    filings: FilingsSettings = FilingsSettings()
    metrics: MetricsSettings = MetricsSettings()
    valuation: ValuationSettings = ValuationSettings()
    dashboard: DashboardSettings = DashboardSettings()
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
        """The origin of the value of the dotted setting ``name``."""
        return self._origins.get(name, "default")

    @property
    def places(self) -> list[str]:
        """Every place that settings were read from, highest priority first."""
        return list(self._places)
