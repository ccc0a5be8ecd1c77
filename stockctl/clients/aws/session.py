"""AWS: the session that every client of it shares, and its errors in our words.

Credentials come from boto3's chain unless the section ``s3`` of the settings gives them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stockctl.errors import ConfigError, RefusedError, StockctlError, UnreachableError
from stockctl.settings import Settings

if TYPE_CHECKING:
    import boto3

_REFUSED = {
    "AccessDenied",
    "AccessDeniedException",
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "NotAuthorized",
    "SignatureDoesNotMatch",
    "UnauthorizedOperation",
    "UnrecognizedClientException",
}
_UNUSABLE = (
    "CredentialRetrievalError",
    "LoginError",
    "NoAuthTokenError",
    "NoCredentialsError",
    "PartialCredentialsError",
    "SSOError",
    "TokenRetrievalError",
)
"""botocore's errors for credentials that are absent or expired, by their names: an older botocore lacks some."""
_ABSENT = {"EntityNotFoundException", "NoSuchEntity", "ResourceNotFoundException", "ClusterNotFound"}
_BUSY = {"Throttling", "ThrottlingException", "RequestLimitExceeded", "OperationTimeoutException", "ServiceUnavailable"}


class AbsentError(StockctlError):
    """There is no such thing at the service."""


class ExistsError(StockctlError):
    """There is such a thing already."""


class BusyError(StockctlError):
    """The thing is being worked on: a crawler that runs."""


def session(settings: Settings, purpose: str) -> boto3.Session:
    """A session with the settings' credentials and region; ``purpose`` says in errors what it was for.

    RefusedError where the named profile is not there, ConfigError without a region. Nothing is contacted yet.
    """
    import boto3
    from botocore.exceptions import BotoCoreError

    s3 = settings.s3
    try:
        made = boto3.Session(
            aws_access_key_id=s3.access_key_id,
            aws_secret_access_key=s3.secret_access_key.get_secret_value() if s3.secret_access_key else None,
            aws_session_token=s3.session_token.get_secret_value() if s3.session_token else None,
            profile_name=s3.profile,
            region_name=s3.region,
        )
    except (BotoCoreError, ValueError) as error:
        raise no_credentials(purpose, error) from error
    if made.region_name is None:
        raise ConfigError(f"no region for {purpose}", hint="set s3.region, or AWS_REGION")
    return made


def no_credentials(purpose: str, error: Exception) -> RefusedError:
    """The error for credentials that are not there, or expired."""
    return RefusedError(
        f"no AWS credentials for {purpose}: {error}",
        hint="set s3.profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role; `aws sso login` renews a login",
    )


def client(settings: Settings, service: str, endpoint: str | None = None) -> Any:
    """A client of the AWS service ``service`` (``glue``), at ``endpoint`` where that is not the region's own."""
    from botocore.config import Config

    config = Config(
        connect_timeout=5,
        read_timeout=settings.s3.timeout,
        retries={"mode": "standard", "max_attempts": 4},
    )
    made = session(settings, f"the service {service}")
    # The service's name is a variable so that boto3's types stay out of it: they are one optional package a service.
    with translated(f"open the service {service}"):  # a profile's own program for credentials runs here
        return made.client(service, endpoint_url=endpoint, config=config)  # type: ignore[call-overload]


class translated:
    """Turn botocore's exceptions into ours; ``doing`` says what was tried (``make the table trades``)."""

    def __init__(self, doing: str) -> None:
        self.doing = doing

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Exception) and (found := _translate(error, self.doing)) is not None:
            raise found from error


def _translate(error: Exception, doing: str) -> StockctlError | None:
    from botocore import exceptions
    from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError, InvalidRegionError

    if isinstance(error, tuple(getattr(exceptions, name) for name in _UNUSABLE if hasattr(exceptions, name))):
        return no_credentials(f"this: {doing}", error)
    if isinstance(error, InvalidRegionError):
        return ConfigError(f"cannot {doing}: {error}", hint="correct s3.region")
    if isinstance(error, ConnectionError | HTTPClientError):
        return UnreachableError(
            f"cannot {doing}: {error}", hint="check s3.region, the endpoint_url of the section, and the network"
        )
    if isinstance(error, BotoCoreError):
        return StockctlError(f"cannot {doing}: {error}")
    if not isinstance(error, ClientError):
        return None
    told = error.response.get("Error", {})
    code, status = told.get("Code", ""), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    message = f"cannot {doing}: {told.get('Message') or code} ({code})"
    if code in _REFUSED:
        return RefusedError(
            message, hint="check the credentials and their rights: `stockctl doctor`, `stockctl glue policy --role operator`"
        )
    if code in _ABSENT:
        return AbsentError(message)
    if code in ("AlreadyExistsException", "EntityAlreadyExists", "EntityAlreadyExistsException"):
        return ExistsError(message)
    if code == "CrawlerRunningException":
        return BusyError(message, hint="`stockctl glue run --wait` follows it")
    if code in _BUSY or status >= 500 or status == 429:
        return UnreachableError(message, hint="the service is busy: try again")
    return StockctlError(message)
