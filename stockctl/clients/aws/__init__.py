"""AWS: the session and the clients of its services, with errors as StockctlErrors; the only importer of boto3."""

from stockctl.clients.aws.boto import AbsentError, BusyError, ExistsError, client, credentials_error, session, translate_errors

__all__ = ["AbsentError", "BusyError", "ExistsError", "client", "credentials_error", "session", "translate_errors"]
