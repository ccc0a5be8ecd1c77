"""HTTP clients, with proxies and certificates as the environment names them."""

from __future__ import annotations

from typing import Any

import httpx

from stockctl.errors import ConfigError

# As browsers do: a proxy would look for a simulator or a worker on its own machine.
_HERE: dict[str, Any] = dict.fromkeys(("all://localhost", "all://127.0.0.1", "all://[::1]"))


def http_client(**options: Any) -> httpx.Client:
    """A client with httpx's ``options`` that asks this machine without a proxy.

    ConfigError if what the environment says of proxies or certificates cannot be used.
    """
    try:
        return httpx.Client(mounts=_HERE, **options)
    except OSError as error:
        raise ConfigError(
            f"the certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read: {error}",
            hint="correct or unset them; without them the certificates of certifi are used",
        ) from error
    except ImportError as error:
        raise ConfigError(
            "HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names a SOCKS proxy, for which a package is missing",
            hint="`pip install 'httpx[socks]'`, or name an http:// proxy",
        ) from error
    except (httpx.InvalidURL, ValueError):
        # Its words may quote a part of the proxy's password.
        raise ConfigError(
            "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY or NO_PROXY holds what is no address of a proxy or of a host",
            hint="write http://host:3128 for a proxy; NO_PROXY takes hosts, domains and addresses, but no ranges of IPv6",
        ) from None
