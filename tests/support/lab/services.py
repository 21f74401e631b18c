"""Services that several LB hosts carry alike, in both address families: where the
VIP is IPv6, so is the address that packets travel to.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from .hosts import Backend, LbHost
from .processes import wait_until


@dataclasses.dataclass(frozen=True)
class Service:
    name: str
    vip: str
    port: int

    @property
    def authority(self) -> str:
        host = f"[{self.vip}]" if ":" in self.vip else self.vip
        return f"{host}:{self.port}"

    def address_of(self, backend: Backend) -> str:
        return backend.address6 if ":" in self.vip else backend.address


def both_families(name: str, vips: tuple[str, str],
                  port: int) -> list[Service]:
    """`name` over IPv4 and `name`6 over IPv6."""
    return [Service(name, vips[0], port), Service(f"{name}6", vips[1], port)]


def add_services(lbs: Iterable[LbHost], services: Sequence[Service],
                 *settings: object) -> None:
    for lb in lbs:
        for service in services:
            lb.insist("service", "add", service.name, service.authority,
                      *settings)


def add_backends(lbs: Iterable[LbHost], services: Sequence[Service],
                 backends: Sequence[Backend]) -> None:
    for lb in lbs:
        for service in services:
            for backend in backends:
                lb.insist("backend", "add", service.name,
                          service.address_of(backend), "--name", backend.name)


def shown(lb: LbHost, service: Service) -> dict:
    return lb.insist("service", "show", service.name, json=True)["service"]


def wait_available(lbs: Iterable[LbHost], services: Sequence[Service],
                   count: int, timeout: float = 60) -> None:
    """Until each service on each LB host, one after the other, has `count`
    backends for new connections."""
    for lb in lbs:
        wait_until(lambda b=lb: all(
            shown(b, service)["available"] == count for service in services),
            timeout=timeout, interval=0.1,
            what=f"{count} available on {lb.name}")


def wait_eligible(lbs: Iterable[LbHost], services: Sequence[Service],
                  backends: Iterable[Backend], timeout: float = 60) -> None:
    """Until those backends take new connections of each service."""
    names = {backend.name for backend in backends}

    def eligible(lb: LbHost, service: Service) -> bool:
        return names <= {one["name"] for one in shown(lb, service)["backends"]
                         if one["eligible"]}

    for lb in lbs:
        wait_until(lambda b=lb: all(eligible(b, s) for s in services),
                   timeout=timeout, interval=0.1,
                   what=f"{', '.join(sorted(names))} up on {lb.name}")
