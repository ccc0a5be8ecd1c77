"""boto3 sessions and clients; botocore's exceptions as StockctlErrors.

Credentials come from boto3's credential chain unless the section ``s3`` of the settings has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stockctl.errors import ConfigError, RefusedError, StockctlError, UnreachableError
from stockctl.settings import S3Settings

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
"""Names of botocore's exceptions for missing or expired credentials; older versions of botocore lack some."""
_ABSENT = {"EntityNotFoundException", "NoSuchEntity", "ResourceNotFoundException", "ClusterNotFound"}
_BUSY = {"Throttling", "ThrottlingException", "RequestLimitExceeded", "OperationTimeoutException", "ServiceUnavailable"}


class AbsentError(StockctlError):
    """The resource does not exist."""


class ExistsError(StockctlError):
    """The resource exists already."""


class BusyError(StockctlError):
    """The resource is in use: a crawler that is running."""


def session(s3: S3Settings, purpose: str) -> boto3.Session:
    """A session with the credentials and the region of the settings. Errors name its ``purpose``.

    RefusedError if the profile of the settings does not exist, ConfigError without a region. It sends no request.
    """
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        boto_session = boto3.Session(
            aws_access_key_id=s3.access_key_id,
            aws_secret_access_key=s3.secret_access_key.get_secret_value() if s3.secret_access_key else None,
            aws_session_token=s3.session_token.get_secret_value() if s3.session_token else None,
            profile_name=s3.profile,
            region_name=s3.region,
        )
    except (BotoCoreError, ValueError) as error:
        raise credentials_error(purpose, error) from error
    if boto_session.region_name is None:
        raise ConfigError(f"no region for {purpose}", hint="set s3.region, or AWS_REGION")
    return boto_session


def credentials_error(purpose: str, error: Exception) -> RefusedError:
    """The error for missing or expired credentials."""
    return RefusedError(
        f"no AWS credentials for {purpose}: {error}",
        hint="set s3.profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role; `aws sso login` renews a login",
    )


def client(s3: S3Settings, service: str, endpoint: str | None = None) -> Any:
    """A client of the AWS service ``service`` (``glue``), at ``endpoint`` or else at the endpoint of the region."""
    from botocore.config import Config

    config = Config(
        connect_timeout=5,
        read_timeout=s3.timeout,
        retries={"mode": "standard", "max_attempts": 4},
    )
    boto_session = session(s3, f"the service {service}")
    # boto3 knows no types of a service whose name is a variable: each service has an optional package of types.
    with translate_errors(f"open the service {service}"):  # runs the credential process of a profile
        return boto_session.client(service, endpoint_url=endpoint, config=config)  # type: ignore[call-overload]


class translate_errors:
    """Raise botocore's exceptions as StockctlErrors; ``action`` is what failed (``create the table trades``)."""

    def __init__(self, action: str) -> None:
        self.action = action

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Exception) and (translation := _translate(error, self.action)) is not None:
            raise translation from error


def _translate(error: Exception, action: str) -> StockctlError | None:
    from botocore import exceptions
    from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError, InvalidRegionError

    if isinstance(error, tuple(getattr(exceptions, name) for name in _UNUSABLE if hasattr(exceptions, name))):
        return credentials_error(f"this: {action}", error)
    if isinstance(error, InvalidRegionError):
        return ConfigError(f"cannot {action}: {error}", hint="correct s3.region")
    if isinstance(error, ConnectionError | HTTPClientError):
        return UnreachableError(
            f"cannot {action}: {error}", hint="check s3.region, the endpoint_url of the section, and the network"
        )
    if isinstance(error, BotoCoreError):
        return StockctlError(f"cannot {action}: {error}")
    if not isinstance(error, ClientError):
        return None
    details = error.response.get("Error", {})
    code, status = details.get("Code", ""), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    message = f"cannot {action}: {details.get('Message') or code} ({code})"
    if code in _REFUSED:
        return RefusedError(
            message,
            hint="check the credentials and their permissions: `stockctl doctor`, `stockctl glue policy --role operator`",
        )
    if code in _ABSENT:
        return AbsentError(message)
    if code in ("AlreadyExistsException", "EntityAlreadyExists", "EntityAlreadyExistsException"):
        return ExistsError(message)
    if code == "CrawlerRunningException":
        return BusyError(message, hint="`stockctl glue run --wait` waits for it")
    if code in _BUSY or status >= 500 or status == 429:
        return UnreachableError(message, hint="the service is busy: try again")
    return StockctlError(message)
