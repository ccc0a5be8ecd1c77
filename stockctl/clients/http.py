"""HTTP clients, with the proxies and certificates of the environment."""

from __future__ import annotations

from typing import Any

import httpx

from stockctl.errors import ConfigError

# As in browsers: a proxy would look for localhost on its own machine.
_NO_PROXY: dict[str, Any] = dict.fromkeys(("all://localhost", "all://127.0.0.1", "all://[::1]"))


def http_client(**options: Any) -> httpx.Client:
    """An httpx client with ``options``, without a proxy for localhost.

    ConfigError if the proxies or the certificates of the environment are invalid.
    """
    try:
        return httpx.Client(mounts=_NO_PROXY, **options)
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
        # Its message may include a part of the proxy's password.
        raise ConfigError(
            "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY or NO_PROXY has an invalid address of a proxy or a host",
            hint="write http://host:3128 for a proxy; NO_PROXY accepts hosts, domains and addresses, but no IPv6 ranges",
        ) from None
