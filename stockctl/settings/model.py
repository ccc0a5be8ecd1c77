"""Every setting: its name, type, default and what it is for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from platformdirs import user_cache_path, user_data_path
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, SecretStr

from stockctl.records import Source
from stockctl.sessions import EXCHANGE_TIMEZONE
from stockctl.units import parse_duration, parse_size

Duration = Annotated[float, BeforeValidator(parse_duration)]
"""Seconds; written as ``90s``, ``5m`` or a number of seconds."""
Size = Annotated[int, BeforeValidator(parse_size)]
"""Bytes; written as ``64MB``, ``2GiB`` or a number of bytes."""


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


NameList = Annotated[list[str], BeforeValidator(_split)]
"""Several names; in the environment joined by commas."""


def _known_zone(value: str) -> str:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"{value!r} is no time zone: write a name such as America/New_York or UTC") from None
    return value


Zone = Annotated[str, AfterValidator(_known_zone)]
"""Name of a time zone."""


def _free_of_secrets(value: str) -> str:
    parts = urlsplit(value)
    if parts.query or "@" in parts.netloc:
        # An address is printed in errors and logs, so nothing secret may hide in it. The value itself is not told here either.
        raise ValueError("an address holds no key, user or query: secrets have settings of their own")
    return value


Address = Annotated[str, AfterValidator(_free_of_secrets)]
"""A URL without anything secret in it."""


def _mongo_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("mongodb", "mongodb+srv"):
        raise ValueError("it begins with mongodb:// or mongodb+srv://")
    if "@" in parts.netloc or "password" in parts.query.lower() or "authmechanismproperties" in parts.query.lower():
        raise ValueError("an address holds no user and no password: mongo.username and mongo.password do")
    return value


MongoAddress = Annotated[str, AfterValidator(_mongo_address)]
"""A connection string without user and password; options such as ``?tls=true`` may stand in it."""


class Section(BaseModel):
    """A group of settings; an unknown name in it is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class FinnhubSettings(Section):
    """The feed: Finnhub's WebSocket and REST API, or a simulator that speaks the same."""

    url: Address = Field("wss://ws.finnhub.io", description="WebSocket address of the feed")
    rest_url: Address = Field("https://finnhub.io/api/v1", description="base address of the REST API")
    token: SecretStr | None = Field(None, description="API key")
    silence_timeout: Duration = Field(150.0, gt=0, description="reconnect after this long without any frame, pings included")
    connect_timeout: Duration = Field(10.0, gt=0, description="give up one connection attempt after this long")
    backoff_max: Duration = Field(60.0, gt=0, description="longest pause between two connection attempts")
    symbol_limit: int = Field(50, gt=0, description="symbols that the plan allows on one connection")
    drop_repeated_frames: bool = Field(
        False, description="drop a frame equal to one of the last few on the connection (always counted and reported)"
    )

    @property
    def is_real(self) -> bool:
        """Whether the address is Finnhub's own."""
        host = urlsplit(self.url).hostname or ""
        return host == "finnhub.io" or host.endswith(".finnhub.io")

    @property
    def source(self) -> Source:
        """The ``source`` that records from this feed carry."""
        return "finnhub" if self.is_real else "sim"


class KafkaSettings(Section):
    """The Kafka cluster, and how to log in to it."""

    bootstrap_servers: str = Field("localhost:9092", description="host:port of one or more brokers, joined by commas")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how connections are secured"
    )
    sasl_mechanism: Literal["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"] = Field("SCRAM-SHA-256", description="SASL mechanism")
    username: str | None = Field(None, description="SASL user name")
    password: SecretStr | None = Field(None, description="SASL password")
    ssl_ca_location: Path | None = Field(None, description="file of CA certificates; the system's when absent")
    ssl_certificate_location: Path | None = Field(None, description="file of the client's certificate")
    ssl_key_location: Path | None = Field(None, description="file of the client's private key")
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

    name: str
    partitions: int = Field(6, gt=0, description="number of partitions")
    replication: int = Field(1, gt=0, description="replication factor")
    retention: Duration = Field(604800.0, gt=0, description="how long the broker keeps records")
    max_message: Size = Field(1_048_588, gt=0, description="largest record batch the broker takes")


class TradesTopic(TopicSettings):
    """Topic of trades."""

    name: str = Field("trades", description="topic of trades")


class FeedEventsTopic(TopicSettings):
    """Topic of feed events."""

    name: str = Field("feed-events", description="topic of feed events")
    partitions: int = Field(1, gt=0, description="number of partitions")


class DeadLettersTopic(TopicSettings):
    """Topic of dead letters."""

    name: str = Field("trades.dlq", description="topic of dead letters")
    partitions: int = Field(1, gt=0, description="number of partitions")
    retention: Duration = Field(2592000.0, gt=0, description="how long the broker keeps records")


class TopicsSettings(Section):
    """The topics of the pipeline."""

    trades: TradesTopic = TradesTopic()
    feed_events: FeedEventsTopic = FeedEventsTopic()
    dead_letters: DeadLettersTopic = DeadLettersTopic()


class S3Settings(Section):
    """S3, for a lake at ``s3://…``; credentials come from boto3's chain unless given here."""

    region: str | None = Field(None, description="region of the bucket")
    endpoint_url: Address | None = Field(None, description="address of an S3 server other than AWS")
    profile: str | None = Field(None, description="profile in the AWS configuration files")
    access_key_id: str | None = Field(None, description="access key")
    secret_access_key: SecretStr | None = Field(None, description="secret key")
    session_token: SecretStr | None = Field(None, description="session token")
    timeout: Duration = Field(30.0, gt=0, description="how long one request may take")


class LakeSettings(Section):
    """The lake, and how its writer cuts batches."""

    url: Address | None = Field(None, description="file:///folder or s3://bucket/prefix")
    group: str = Field("stockctl-lake", description="consumer group of the writer")
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
    extra_sources: Annotated[list[Source], BeforeValidator(_split)] = Field(
        [], description="sources the lake takes beside its first: finnhub, sim, replay"
    )
    store_wait: Duration = Field(60.0, gt=0, description="how long a command waits for the store before it gives up")
    compact_memory: Size = Field(
        512_000_000, ge=128_000_000, description="most bytes that sorting for `lake compact` takes; the rest waits on disk"
    )
    cache_dir: Path = Field(
        default_factory=lambda: user_cache_path("stockctl") / "lake", description="folder of objects fetched from S3"
    )
    cache_max_bytes: Size = Field(5_000_000_000, ge=0, description="most bytes the cache folder holds")


class MongoSettings(Section):
    """MongoDB, and how its writer cuts batches."""

    url: MongoAddress | None = Field(None, description="mongodb://host:port, with options such as ?tls=true")
    username: str | None = Field(None, description="user name")
    password: SecretStr | None = Field(None, description="password")
    auth_source: str = Field("admin", description="database that knows the user")
    database: str = Field("stockctl", description="database of the collections")
    group: str = Field("stockctl-mongo", description="consumer group of the writer")
    retention: Duration = Field(604800.0, gt=0, description="how long trades and coverage are kept, from their receipt")
    max_age: Duration = Field(1.0, gt=0, description="write a batch this long after its first record")
    max_records: int = Field(2_000, gt=0, le=100_000, description="write a batch at this many records")
    derive_every: Duration = Field(5.0, gt=0, description="how often bars and companies are brought up to date")
    extra_sources: Annotated[list[Source], BeforeValidator(_split)] = Field(
        [], description="sources MongoDB takes beside its first: finnhub, sim, replay"
    )
    connect_wait: Duration = Field(30.0, gt=0, description="how long a command waits for MongoDB before it gives up")
    timeout: Duration = Field(30.0, gt=0, description="how long one request may take")


class ConnectSettings(Section):
    """Kafka Connect, and the MongoDB sink connector in it; one of the two ways into MongoDB."""

    url: Address | None = Field(None, description="address of Kafka Connect's REST API, such as http://host:8083")
    username: str | None = Field(None, description="user name, where the API asks for one (basic authentication)")
    password: SecretStr | None = Field(None, description="password of that user")
    connector: str = Field("stockctl-mongo", min_length=1, description="name of the connector")
    tasks: int = Field(1, gt=0, description="most tasks of the connector; more than partitions stay idle")
    mongo_uri: SecretStr | None = Field(
        None, description="connection string for the worker, such as ${file:/run/mongo:uri}; made of mongo.* when absent"
    )
    kafka_jaas: SecretStr | None = Field(
        None, description="sasl.jaas.config for the worker, such as ${file:/run/kafka:jaas}; made of kafka.* when absent"
    )
    config_topic: str = Field("connect-configs", description="the workers' config.storage.topic")
    offset_topic: str = Field("connect-offsets", description="the workers' offset.storage.topic")
    status_topic: str = Field("connect-status", description="the workers' status.storage.topic")
    wait: Duration = Field(90.0, gt=0, description="how long a command waits for Kafka Connect, and for the connector to run")
    watch_every: Duration = Field(5.0, gt=0, description="how often `connect watch` looks")
    backoff_max: Duration = Field(300.0, gt=0, description="longest pause between two restarts of a failed task")


class MetricsSettings(Section):
    """Defaults of ``stockctl metrics``."""

    policy: Literal["standard", "all", "price-forming"] = Field("standard", description="which trades count")
    session: Literal["regular", "pre", "post", "all"] = Field("regular", description="which sessions count")


class LogSettings(Section):
    """Logs of long-running roles."""

    format: Literal["text", "json"] = Field("text", description="one line of text, or one JSON object, per event")
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least severe level that is logged")
    every: Duration = Field(60.0, gt=0, description="how often a role logs its state")


class Settings(Section):
    """All settings of one profile."""

    symbols: NameList = Field([], description="symbols of the pipeline")
    timezone: Zone = Field(EXCHANGE_TIMEZONE, description="zone of times on input without one, of bar edges and on display")
    state_dir: Path = Field(
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
    metrics: MetricsSettings = MetricsSettings()
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
