"""Classification of IP addresses as public. Pure.

`ipaddress.is_global` is not enough: it accepts multicast, and IPv6 addresses that embed a private
IPv4 address (NAT64, 6to4, Teredo; which of them depends on the version of Python). So for IPv6 only
global unicast is accepted, without the reserved parts of it.
"""

from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Formally public, but with a special meaning.
_SET_APART = [
    ip_network(text)
    for text in (
        "192.88.99.0/24",  # 6to4 relays
        "192.0.0.0/24",  # protocol assignments
        "168.63.129.16/32",  # Azure's host, with its metadata service
        "2001::/23",  # protocol assignments, including Teredo
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
]
_GLOBAL_UNICAST = IPv6Network("2000::/3")


def is_public(address: Address) -> bool:
    """Return whether the address is global unicast and embeds no IPv4 address."""
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    if any(address.version == network.version and address in network for network in _SET_APART):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def parse_address(text: str) -> Address | None:
    """Return the address in standard notation, or None."""
    try:
        return ip_address(text)
    except ValueError:
        return None


@lru_cache(maxsize=1024)  # called for each request
def site_of(host: str) -> str:
    """Return the network that one client usually controls: an IPv4 address or an IPv6 /64.

    A host that is no address is returned as it is.
    """
    address = parse_address(host)
    if address is None:
        return host
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address), 64), strict=False))
