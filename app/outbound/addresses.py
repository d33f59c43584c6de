"""Which IP addresses are on the public internet. Pure.

`ipaddress.is_global` alone will not do: it takes multicast for global, and IPv6 addresses that
carry a private IPv4 address in them (NAT64, 6to4, Teredo; which of them depends on the version
of Python). So for IPv6 only global unicast is let through, less what is set apart in it.
"""

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

# Public by their number, but not what anybody means.
_SET_APART = [
    ip_network(text)
    for text in (
        "192.88.99.0/24",  # relays of 6to4
        "192.0.0.0/24",  # protocol assignments
        "168.63.129.16/32",  # Azure's host, with its metadata
        "2001::/23",  # protocol assignments, with Teredo
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
]
_GLOBAL_UNICAST = IPv6Network("2000::/3")


def is_public(address: Address) -> bool:
    """False for whatever is not global unicast, or embeds an IPv4 address."""
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    if any(address.version == network.version and address in network for network in _SET_APART):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def parse_address(text: str) -> Address | None:
    """The address that a text spells in the one usual way, or None."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def site_of(address: Address) -> str:
    """What one client is likely to have all of: an IPv4 address, or a /64 of IPv6."""
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address), 64), strict=False))
