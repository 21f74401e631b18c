"""Every address of a lab, computed from the kind and number of a host.

All of them come from the documentation ranges. Labs never meet on a wire, so
two labs side by side use the same addresses.
"""

from __future__ import annotations

import dataclasses

# (IPv4, IPv6) pairs. The first is the one that examples use; the others are
# there for tests that need several services.
VIPS = tuple((f"198.51.100.{n}", f"2001:db8:100::{n}") for n in range(10, 14))
VIP_PREFIXES = ("198.51.100.0/24", "2001:db8:100::/64")

MAX_LBS = 3
MAX_BACKENDS = 110

# The inner segment size that still fits into 1500 bytes once the GUE header
# with its hop list is around it: 64 bytes over IPv4, 84 over IPv6.
ADVMSS4 = 1380
ADVMSS6 = 1340


@dataclasses.dataclass(frozen=True)
class Link:
    """One veth pair between the router and a host (its `eth0`)."""

    host: str  # "client", "lb1", "b1"; also the router's interface name
    address: str
    gateway: str
    prefix_length: int
    address6: str
    gateway6: str
    mac: str
    gateway_mac: str


def _macs(kind: int, number: int) -> dict[str, str]:
    # Locally administered, and readable in a packet dump: kind, number, side.
    prefix = f"02:fa:00:{kind:02x}:{number:02x}"
    return {"mac": f"{prefix}:02", "gateway_mac": f"{prefix}:01"}


def client_link() -> Link:
    return Link("client", "192.0.2.2", "192.0.2.1", 24,
                "2001:db8:1::2", "2001:db8:1::1", **_macs(1, 1))


def lb_link(number: int) -> Link:
    """LB hosts are numbered from 1, as in the names lb1, lb2, lb3."""
    if not 1 <= number <= MAX_LBS:
        raise ValueError(f"LB number {number} is outside 1..{MAX_LBS}")
    subnet = f"2001:db8:10:{number}"
    return Link(f"lb{number}", f"203.0.113.{2 * number + 1}",
                f"203.0.113.{2 * number}", 31,
                f"{subnet}::2", f"{subnet}::1", **_macs(2, number))


def backend_link(number: int) -> Link:
    """Backends are numbered from 1, as in the names b1, b2, ..."""
    return _backend_link(number, f"b{number}")


def machine_link(number: int) -> Link:
    """Of a backend that is a machine: vm1, vm2, ..., with the addresses of
    the last backends."""
    return _backend_link(MAX_BACKENDS + 1 - number, f"vm{number}")


def _backend_link(number: int, name: str) -> Link:
    if not 1 <= number <= MAX_BACKENDS:
        raise ValueError(
            f"backend number {number} is outside 1..{MAX_BACKENDS}")
    low = 32 + 2 * number
    subnet = f"2001:db8:20:{number}"
    return Link(name, f"203.0.113.{low + 1}", f"203.0.113.{low}", 31,
                f"{subnet}::2", f"{subnet}::1", **_macs(3, number))
