"""LB hosts die, drain, move and forget."""

from __future__ import annotations

from lab import bpf_maps, wait_until
from lab.progress import say

from .arms import CONTROL, REAL, Arms, require
from .events import Reshuffle, Sightings, Wipe, go_on
from .wire import forge

HALF = ("b1", "b2", "b3")


def case_1(arms: Arms) -> None:
    """More than half of the backends drain at once, every LB host dies and
    comes back with an empty table, ECMP is reshuffled every 300 ms"""
    die_in_a_drain(arms)


def die_in_a_drain(arms: Arms) -> None:
    lbs = arms.lab.lbs
    before, lb_before = arms.agent_verdicts(), arms.lb_verdicts()
    alive = list(lbs)
    arms.open()
    draining = sum(one.backend in HALF for one in arms.alive(REAL))
    with Sightings(arms.lab, arms.tags(arms.alive(REAL))) as seen, \
            Reshuffle(arms.lab, lambda: alive) as moves:
        arms.backend("drain", HALF, lbs)
        for lb in lbs:
            arms.lose_power(lb)
            # The router needs a moment to notice.
            go_on(f"{lb.name} is dead", 1)
            alive.remove(lb)
            arms.boot(lb)
            alive.append(lb)
            go_on(f"{lb.name} is back", 1)
    misses = (arms.lb_verdicts() - lb_before)["TX_MISS"]
    hops = (arms.agent_verdicts() - before)["TX_NEXT_HOP"]
    say(f"  did:     {moves.count} reshuffles, {draining} flows on backends "
        f"that drain, {len(lbs)} LB hosts died, {seen.moved} flows recorded "
        f"at more than one, {misses} segments at a host that did not know "
        f"them, {hops} extra hops")
    require(moves.count and draining and seen.moved and misses and hops,
            "nothing moved")
    arms.judge()
    arms.backend("ready", HALF, lbs)


def case_2(arms: Arms) -> None:
    """All flow tables are wiped every 100 ms under load, while a backend
    drains"""
    wipe(arms, 8)
    arms.fleet.close(group=CONTROL)
    shares = []

    def settled() -> bool:
        start = arms.agent_verdicts()
        go_on("do packets still take an extra hop?", 1.5)
        agents = arms.agent_verdicts() - start
        require(agents["PASS_SOCKET"] > 100, "nobody talks any more")
        shares.append(_extra_share(agents))
        return shares[-1] < 1

    try:
        wait_until(settled, timeout=30, what="extra hops end")
    finally:
        say("  after:   extra hops, % of the packets: "
            + ", ".join(f"{share:.1f}" for share in shares))


def wipe(arms: Arms, seconds: float) -> None:
    before = arms.agent_verdicts()
    arms.open()
    arms.backend("drain", arms.names[:1], arms.lab.lbs)
    with Wipe(arms.lab.lbs) as wipes:
        go_on("wiping", seconds)
    during_wipes = arms.agent_verdicts() - before
    say(f"  did:     {wipes.count} wipes of all tables, {wipes.slots} slots, "
        f"{during_wipes['TX_NEXT_HOP']} extra hops "
        f"({_extra_share(during_wipes):.1f} % of the packets)")
    require(wipes.slots and during_wipes["TX_NEXT_HOP"], "nothing was wiped")
    arms.judge()
    arms.backend("ready", arms.names[:1], arms.lab.lbs)


def _extra_share(agents) -> float:
    return 100 * agents["TX_NEXT_HOP"] / max(1, agents["PASS_SOCKET"])


def case_4(arms: Arms) -> None:
    """A SYN, an ACK and a RST with each connection's tuple and random
    sequence numbers, at every LB host: in calm, in a drain, in failovers to
    hosts that know no flow"""
    forge_everywhere(arms)


def forge_everywhere(arms: Arms) -> None:
    lab, before = arms.lab, arms.agent_verdicts()
    misses = arms.lb_verdicts()["TX_MISS"]
    lab.route_vips(lab.lbs[:2])
    arms.open()
    tuples = arms.alive()
    with Sightings(lab, arms.tags(arms.alive(REAL))) as seen:
        sent = forge(lab, lab.lbs, tuples)
        go_on("forged in calm", 2)
        arms.backend("drain", HALF, lab.lbs)
        sent += forge(lab, lab.lbs, tuples)
        go_on("forged in a drain", 2)
        for hosts in (lab.lbs[1:], lab.lbs[:1], lab.lbs[2:]):
            lab.route_vips(hosts)
            for lb in lab.lbs:
                bpf_maps.wipe_flows(lb.pin_path)
            sent += forge(lab, lab.lbs, tuples)
            go_on("forged in a failover", 2)
    after = arms.agent_verdicts() - before
    hops, weak = after["TX_NEXT_HOP"], after["PASS_WEAK"]
    misses = arms.lb_verdicts()["TX_MISS"] - misses
    say(f"  did:     {sent} forged segments, {weak} came to the socket that "
        f"they are not of, {seen.moved} flows recorded at more than one LB "
        f"host, {misses} segments at a host that did not know them, {hops} "
        "extra hops")
    require(weak > sent / 10 and seen.moved and misses and hops,
            "nothing was forged, or nothing moved")
    arms.judge()
    arms.backend("ready", HALF, lab.lbs)
