"""From whom a request is and to which address it was sent, as far as that can be believed.

What a header says of it is believed only where it comes from a named proxy; to everything behind the door it is then
said as if there were no proxy.
"""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ...settings import HERE, Network, Settings

PORTS = {"http": 80, "https": 443}
# What proxies add, and what Gradio would believe of anybody.
TOLD = (
    b"forwarded",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-forwarded-port",
    b"x-forwarded-prefix",
    b"x-forwarded-server",
    b"x-real-ip",
    b"x-gradio-server",
    b"x-gradio-user",
    b"x-original-url",
    b"x-rewrite-url",
    b"x-direct-url",
)
HEARSAY = (b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip", b"via")


class Came(NamedTuple):
    """A request: who asks, how and under which name the page was asked for."""

    client: str  # address of who asks
    scheme: str
    host: str  # with the port, where it has one
    by_proxy: bool  # a named one


class Origins:
    """Reads requests of one installation."""

    def __init__(self, settings: Settings, own_names: Sequence[str] = (), has_login: bool = False) -> None:
        """`own_names`: other hosts the page is known by, as a Space is."""
        self.has_login = has_login or settings.login is not None
        self.settings = settings
        self.public = urlsplit(settings.public_url or "")
        self.public_host = usual(settings.public_url or "")
        self.own_names = {name for name in (self.public_host, *own_names) if name}

    def read(self, scope: Mapping[str, Any], headers: Mapping[bytes, str]) -> Came:
        """What is believed of a request."""
        peer = (scope.get("client") or ("",))[0]
        by_proxy = is_within(peer, self.settings.proxy_networks)
        scheme, host, client = scope.get("scheme", "http"), headers.get(b"host", ""), peer
        if by_proxy:
            client = self._client(headers.get(b"x-forwarded-for", ""), peer)
            scheme = _last(headers.get(b"x-forwarded-proto", "")) or scheme
            host = _last(headers.get(b"x-forwarded-host", "")) or host
        if self.settings.public_url:
            scheme, host = self.public.scheme, self.public_host
        return Came(client, scheme if scheme in ("http", "https") else "http", host, by_proxy)

    def _client(self, forwarded: str, peer: str) -> str:
        """The last address that no named proxy has. What stands before it anybody may have written."""
        for address in reversed([_without_port(one.strip()) for one in forwarded.split(",")]):
            if not is_address(address):
                break
            if not is_within(address, self.settings.proxy_networks):
                return address
            peer = address
        return peer

    def told(self, scope: Mapping[str, Any], came: Came) -> dict[str, Any]:
        """The request as those behind the door get it."""
        kept = [(name, value) for name, value in scope["headers"] if name not in (b"host", *TOLD)]
        port = (scope.get("client") or ("", 0))[1]
        return {
            **scope,
            "headers": [(b"host", came.host.encode("latin-1")), *kept],
            "client": (came.client, port),
            "scheme": came.scheme,
            "path": self.path(scope["path"]),
            "raw_path": self.path(scope["path"]).encode(),
        }

    def path(self, path: str) -> str:
        """The path below the page's own root, whether or not the proxy took that away."""
        root = self.settings.root_path
        if root and (path == root or path.startswith(f"{root}/")):
            return path.removeprefix(root) or "/"
        return path

    def refusal(self, scope: Mapping[str, Any], headers: Mapping[bytes, str], came: Came) -> str:
        """Why the address or the site it is asked from is refused, "" if it is not.

        A page for this machine answers to no other host name: a foreign one can be made to point at 127.0.0.1, and
        would then count as the same origin.
        """
        given = headers.get(b"host", "")
        if self.settings.is_local and _name(given) not in HERE:
            return _not_to_others(given)
        is_brought = scope.get("http_version") == "1.0" or any(name in headers for name in HEARSAY)
        if self.settings.is_local and not self.has_login and is_brought:
            return _not_to_others("a proxy")
        origin = headers.get(b"origin")
        own = {came.host, *self.own_names}
        if not self.settings.public_url:
            own.add(given)
        if origin is not None and not _is_among(origin, own):
            return "This page takes no requests from other web sites."
        is_page = headers.get(b"sec-fetch-mode", "navigate") == "navigate"
        if headers.get(b"sec-fetch-site") == "cross-site" and not is_page:
            return "This page takes no requests from other web sites."
        return ""


def usual(url: str) -> str:
    """Host and port of an address as browsers write them: in small letters, without the port that its scheme has
    anyway, names of other alphabets in ASCII; "" where it has none.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host = host if host.isascii() else host.encode("idna").decode()
    except ValueError:
        return ""
    host = f"[{host}]" if ":" in host else host
    return host if port in (None, PORTS.get(parts.scheme)) else f"{host}:{port}"


def _is_among(origin: str, hosts: Iterable[str]) -> bool:
    """`origin`: as a browser says it, with the scheme; `hosts`: without one."""
    scheme, _, _ = origin.partition("://")
    host = usual(origin)
    return bool(host) and host in {usual(f"{scheme}://{one}") for one in hosts}


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_within(address: str, networks: Sequence[Network]) -> bool:
    """Is it an address of one of the networks?"""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(known, "ipv4_mapped", None) or known
    return any(mapped in network for network in networks if network.version == mapped.version)


def neighbourhood(address: str) -> str:
    """What counts as one asker: an address, of the newer kind the network that one customer has."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if known.version == 4:
        return address
    if known.ipv4_mapped:
        return str(known.ipv4_mapped)
    return str(ipaddress.ip_network(f"{address}/64", strict=False))


def _not_to_others(name: str) -> str:
    return (
        f"This page answers to 127.0.0.1 and localhost, not to {name[:200]}. If a proxy stands in front of it, set "
        "QLORA_APP_PUBLIC_URL to the address people open, and QLORA_APP_PROXIES to the proxy's own address."
    )


def _last(header: str) -> str:
    return header.rsplit(",", 1)[-1].strip()


def _without_port(address: str) -> str:
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
