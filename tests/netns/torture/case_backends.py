"""The backends are replaced, all of them, while connections live."""

from __future__ import annotations

import collections

from lab import bpf_maps, services, wait_until
from lab.hosts import Backend, LbHost
from lab.progress import during, say

from .arms import PORT, REAL, Arms, Tuple4, require
from .events import go_on

SET = 2
_ROW_OWNERS = 3
# Connections that are opened after each replacement, and stay.
_LATER = {"echo": 6, "silent": 6, "keepalive": 4, "half_closed": 4}


def case_3(arms: Arms) -> None:
    """Five complete replacements of the backends within the life of the
    connections: a set joins, the one before is drained and at once deleted,
    and all flows move to an LB host that does not know them"""
    replace_backends(arms, 5)


def replace_backends(arms: Arms, times: int) -> None:
    lab = arms.lab
    more = arms.more(SET * times)
    sets = [arms.backends, *(more[at:at + SET]
                             for at in range(0, len(more), SET))]
    lab.route_vips(lab.lbs[:1])
    arms.open()
    first = len(arms.alive(REAL))
    hops, newest = [], []
    for number in range(1, times + 1):
        arms.add(sets[number], lab.lbs)
        arms.wait_eligible(lab.lbs, sets[number])
        old = [backend.name for backend in sets[number - 1]]
        arms.backend("drain", old, lab.lbs)
        arms.backend("delete", old, lab.lbs)
        lb = lab.lbs[number % len(lab.lbs)]
        hops.append(_move(arms, lb))
        newest.append(_open(arms, sets[number]))
    left = sum(one.backend in arms.names for one in arms.alive(REAL))
    say(f"  did:     {times} replacements, after which {left} of {first} "
        "connections are at the first set; after each, opened at the newest "
        f"set: {', '.join(map(str, newest))}; extra hops: "
        f"{', '.join(map(str, hops))}")
    # Rows that have no room yet do without the newest set.
    require(first and min(hops) and sum(newest), "nothing moved")
    arms.judge()
    with arms.hands:  # Nothing is proven by who lives for seconds only.
        _wait_only_owners(arms, sets[-1])
        arms.close()
        _restore(arms, sets[-1])


def _move(arms: Arms, lb: LbHost) -> int:
    """All flows, to that host; the extra hops that this takes."""
    before = arms.agent_verdicts()
    # The agents have told it where they are.
    bpf_maps.wipe_flows(lb.pin_path)
    arms.lab.route_vips([lb])
    go_on("the connections move", 2)
    return (arms.agent_verdicts() - before)["TX_NEXT_HOP"]


def _real(arms: Arms) -> list[services.Service]:
    return [service for service in arms.services if service.arm == REAL]


def _open(arms: Arms, newest: list[Backend]) -> int:
    """Further connections; how many of them are at the newest backends."""
    for service in _real(arms):
        arms.open_at(service, _LATER)
    names = {backend.name for backend in newest}
    return sum(one.backend in names for one in arms.alive(REAL))


def _wait_room(lb: LbHost, service: services.Service, crowded: int) -> None:
    """Until no other row lacks room for the newest backends."""
    during("waiting for room", lambda: wait_until(
        lambda: services.shown(lb, service)["rows_overflowed"] == crowded,
        timeout=60, interval=0.2,
        what=f"{crowded} rows of {service.name} without room on {lb.name}"))


def _crowded(arms: Arms, alive: list[Tuple4], newest: set[str]) -> int:
    """The rows that old backends hold connections of, more than a row has
    places for owners: it is of chance that there are any."""
    owners = collections.defaultdict(set)
    for one in alive:
        if one.backend not in newest:
            owners[arms.row(one)].add(one.backend)
    return sum(len(names) > _ROW_OWNERS for names in owners.values())


def _wait_only_owners(arms: Arms, newest: list[Backend]) -> None:
    """Until the services have the newest backends and those that hold
    connections, and every row has the room that these leave; then all that is
    new goes to the newest."""
    names = {backend.name for backend in newest}
    for service in _real(arms):
        alive = [one for one in arms.alive(REAL) if one.vip == service.vip]
        owners = {one.backend for one in alive}
        crowded = _crowded(arms, alive, names)
        for lb in arms.lab.lbs:
            during("waiting for the agents' proof", lambda b=lb, s=service,
                   o=owners: wait_until(lambda: _names(b, s) == names | o,
                                        timeout=60, interval=0.2,
                                        what=f"only owners of {s.name}"))
            _wait_room(lb, service, crowded)
        report = arms.fleet.open(service.vip, PORT, silent=20, group="last")
        require(report["alive"] == 20 and set(report["backends"]) <= names,
                f"new connections went elsewhere: {report}")


def _names(lb: LbHost, service: services.Service) -> set[str]:
    return {one["name"] for one in services.shown(lb, service)["backends"]}


def _restore(arms: Arms, newest: list[Backend]) -> None:
    """Backends go with their last connections, and the first ones return."""
    lbs, names = arms.lab.lbs, {backend.name for backend in newest}
    during("waiting for the last connections to end", lambda: wait_until(
        lambda: all(_names(lb, service) == names for lb in lbs
                    for service in _real(arms)),
        timeout=60, interval=0.2, what=f"only {', '.join(sorted(names))}"))
    for lb in lbs:
        for service in arms.services:
            # Who lost a connection of the control arm was not told.
            for name in sorted(_names(lb, service) - names):
                lb.insist("backend", "delete", service.name, name, "--force")
        arms.add_backends(lb)
    arms.wait_eligible(lbs, arms.backends)
    arms.backend("delete", sorted(names), lbs, "--force")
