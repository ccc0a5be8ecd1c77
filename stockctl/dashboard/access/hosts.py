"""Names of hosts: under which browsers reach the dashboard, and those of clients."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from stockctl.settings.addresses import host_and_port
from stockctl.settings.dashboard import DashboardSettings

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  # compared with, not bound to
_PORTS = {"http": 80, "https": 443}


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``, a name or an address."""
    try:
        address = ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def client_key(address: str) -> str:
    """What counts as one client: an IPv4 address, or the network of 64 bits that a host has of IPv6."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    if not isinstance(ip, IPv6Address):
        return address
    return str(ip.ipv4_mapped or ip_network((ip.packed[:8] + bytes(8), 64)))


class Hosts:
    """The hosts that a request may name.

    A page of another site can make its own name point to this machine (DNS rebinding), and would be of one origin with us; but
    the browser still names that host.
    """

    def __init__(self, settings: DashboardSettings) -> None:
        self._names = {_plain(name) for name in (*_LOOPBACK, *settings.hosts)}
        self._everywhere = settings.bind in _EVERYWHERE
        if not self._everywhere:
            self._names.add(_plain(settings.bind))

    def allow(self, host: str, listening: str | None) -> bool:
        """Whether ``host``, as a request names it, is ours; ``listening`` is the address that the request came to."""
        try:
            name = _plain(host_and_port(host)[0])
        except ValueError:
            return False
        # Listening everywhere, an address has more than one name, but an address itself is nothing that DNS could change.
        return name in self._names or (self._everywhere and listening is not None and name == _plain(listening))


def is_origin(origin: str, scheme: str, host: str) -> bool:
    """Whether the header ``origin`` is that of ``scheme`` and ``host``, as the request names it."""
    try:
        parts, (name, port) = urlsplit(origin), host_and_port(host)
        own = parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return False
    # Behind a proxy that speaks TLS the scheme may be https, and only the proxy knows.
    return parts.scheme in (scheme, "https") and own == (_plain(name), port or _PORTS[parts.scheme])


def _plain(name: str) -> str:
    """``name`` in one spelling."""
    try:
        return str(ip_address(name.strip("[]")))
    except ValueError:
        return name.lower().rstrip(".")
