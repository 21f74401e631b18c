"""LB hosts die, drain, move and forget."""

from __future__ import annotations

from lab import bpf_maps, wait_until
from lab.progress import during, say

from .arms import CONTROL, REAL, Arms, require
from .events import Reshuffle, Sightings, Wipe, go_on
from .wire import forge

HALF = ("b1", "b2", "b3")


def case_1(arms: Arms) -> None:
    """More than half of the backends drain at once, every LB host dies and
    comes back with an empty table, ECMP is reshuffled every 300 ms"""
    lbs, before = arms.lab.lbs, arms.agent_verdicts()
    alive = list(lbs)
    arms.open()
    with Sightings(arms.lab, arms.tags(arms.alive(REAL))) as seen, \
            Reshuffle(arms.lab, lambda: alive) as moves:
        arms.backend("drain", HALF, lbs)
        for lb in lbs:
            arms.lose_power(lb)
            # The router needs a moment to notice.
            go_on(f"{lb.name} is dead", 1)
            alive.remove(lb)
            during(f"{lb.name} boots", lb.start_daemon)
            alive.append(lb)
            go_on(f"{lb.name} is back", 1)
    misses = arms.lb_verdicts()["TX_MISS"]
    hops = arms.agent_verdicts()["TX_NEXT_HOP"] - before["TX_NEXT_HOP"]
    say(f"  did:     {moves.count} reshuffles, {len(lbs)} LB hosts died, "
        f"{seen.moved} flows recorded at more than one, {misses} segments at "
        f"a host that did not know them, {hops} extra hops")
    require(seen.moved and misses and hops, "nothing moved")
    arms.judge()
    arms.backend("ready", HALF, lbs)


def case_2(arms: Arms) -> None:
    """All flow tables are wiped every 100 ms under load, while a backend
    drains"""
    before = arms.agent_verdicts()
    arms.open()
    arms.backend("drain", arms.names[:1], arms.lab.lbs)
    with Wipe(arms.lab.lbs) as wipes:
        go_on("wiping", 8)
    during_wipes = arms.agent_verdicts() - before
    say(f"  did:     {wipes.count} wipes of all tables, {wipes.slots} slots, "
        f"{during_wipes['TX_NEXT_HOP']} extra hops "
        f"({_extra_share(during_wipes):.1f} % of the packets)")
    require(wipes.slots and during_wipes["TX_NEXT_HOP"], "nothing was wiped")
    arms.judge()
    arms.backend("ready", arms.names[:1], arms.lab.lbs)
    arms.fleet.close(group=CONTROL)
    shares = []

    def settled() -> bool:
        start = arms.agent_verdicts()
        go_on("do packets still take an extra hop?", 1.5)
        shares.append(_extra_share(arms.agent_verdicts() - start))
        return shares[-1] < 1

    try:
        wait_until(settled, timeout=30, what="extra hops end")
    finally:
        say("  after:   extra hops, % of the packets: "
            + ", ".join(f"{share:.1f}" for share in shares))


def _extra_share(agents) -> float:
    return 100 * agents["TX_NEXT_HOP"] / max(1, agents["PASS_SOCKET"])


def case_4(arms: Arms) -> None:
    """A SYN, an ACK and a RST with each connection's tuple and random
    sequence numbers, at every LB host: in calm, in a drain, in failovers to
    hosts that know no flow"""
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
    hops = arms.agent_verdicts()["TX_NEXT_HOP"] - before["TX_NEXT_HOP"]
    misses = arms.lb_verdicts()["TX_MISS"] - misses
    say(f"  did:     {sent} forged segments, {seen.moved} flows recorded at "
        f"more than one LB host, {misses} segments at a host that did not "
        f"know them, {hops} extra hops")
    require(sent and seen.moved and misses and hops, "nothing moved")
    arms.judge()
    arms.backend("ready", HALF, lab.lbs)
