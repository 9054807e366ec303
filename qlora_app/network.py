"""Which of its own addresses this machine is reached at by others that train with it: one of a private network, since
what they tell one another there has no password.
"""

import functools
import ipaddress
import socket
from collections.abc import Mapping

from .errors import Problem, UserError
from .hardware import own_addresses


def address_in(network: str) -> str:
    """The IPv4 address of this machine that `network` means: itself an address, a network (10.1.0.0/16), or an
    interface (eth1); empty: the only private one, or else the one this machine's name stands for.

    Raises UserError where that is none or several. Loopback, where nobody else comes, is only taken where it is named.
    """
    own = own_addresses()
    found = [address for address in own if _is_meant(address, own[address], network)]
    if len(found) > 1 and not network:
        found = [address for address in found if address in _of_my_name()] or found
    if len(found) == 1:
        return found[0]
    raise UserError.of(_not_one(network, found, own))


@functools.lru_cache(maxsize=1)
def may_meet() -> bool:
    """Has this machine an address at which others of a private network could reach it? Asked once, for forms."""
    return any(_is_meant(address, name, "") for address, name in own_addresses().items())


def _is_meant(address: str, interface: str, network: str) -> bool:
    known = ipaddress.ip_address(address)
    if not network:
        return known.is_private and not known.is_loopback and not known.is_link_local
    if network in (address, interface):
        return True
    try:
        return "/" in network and known in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _of_my_name() -> list[str]:
    try:
        return socket.gethostbyname_ex(socket.gethostname())[2]
    except OSError:
        return []


def _not_one(network: str, found: list[str], own: Mapping[str, str]) -> Problem:
    listed = ", ".join(f"{address} ({interface})" for address, interface in own.items())
    if not network and not found:
        return Problem(
            "launch.no_network",
            "This machine has no address of a private network, at which other nodes could reach it ({own}). Connect it "
            "to theirs, or name one of its addresses as network of the nodes.",
            own=listed,
        )
    if not network:
        return Problem(
            "launch.which_network",
            "This machine is in several networks: {own}. Name the one of the nodes, such as {example}.",
            own=listed,
            example=found[0],
        )
    return Problem(
        "launch.not_in_network",
        "{network} is not one address of this machine, which has {own}. Name one of them, or a network of one.",
        network=network,
        own=listed,
    )
