"""The token, and the cookie that a browser gets for it."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from starlette.requests import HTTPConnection

from stockctl.dashboard.access.hosts import client_key
from stockctl.dashboard.access.rate import Rate

COOKIE = "stockctl_dashboard"
TRIES, SECONDS = 10, 60.0
"""Wrong tokens of one client, in so many seconds."""


class Login:
    """Knows the token, if there is one. The cookie derives from it and from a secret of this start, and says nothing of it."""

    def __init__(self, token: str | None) -> None:
        self._token = None if token is None else token.encode()
        self._value = hmac.new(secrets.token_bytes(32), self._token or b"", hashlib.sha256).hexdigest()
        self._tries = Rate(per_second=TRIES / SECONDS, burst=TRIES)

    @property
    def needed(self) -> bool:
        """Whether there is a token."""
        return self._token is not None

    @property
    def cookie(self) -> str:
        """The value of the cookie."""
        return self._value

    def knows(self, request: HTTPConnection) -> bool:
        """Whether ``request`` needs no cookie, or has it."""
        if not self.needed:
            return True
        given = request.cookies.get(COOKIE, "")
        return hmac.compare_digest(given.encode(), self._value.encode())

    def wait(self, client: str) -> float:
        """Seconds until ``client`` may try again, 0 if it may now."""
        return self._tries.wait(client_key(client))

    def accept(self, client: str, token: str) -> bool:
        """Whether ``token`` is the one; a wrong one is a try of ``client``."""
        # Digests have one length, and take the same time to compare wherever they differ.
        given, own = (hashlib.sha256(value).digest() for value in (token.encode(errors="surrogatepass"), self._token or b""))
        if self.needed and hmac.compare_digest(given, own):
            return True
        self._tries.take(client_key(client))
        return False
