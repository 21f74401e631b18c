"""Checks that all fail, and a flood."""

from __future__ import annotations

import itertools
import random
import time

import fake_lb
from lab import bpf_maps
from lab.progress import during, say

from .arms import FLOWS, NOWHERE, PORT, REAL, Arms, require
from .events import Reshuffle, go_on
from .wire import Wire


def case_9(arms: Arms) -> None:
    """Every health check fails for a minute, and twice as many SYN+ACK pairs
    come as the flow table has slots"""
    fail_all_checks(arms, 60)


def fail_all_checks(arms: Arms, seconds: float) -> None:
    lab, before = arms.lab, arms.agent_verdicts()
    lb_before, last = arms.lb_verdicts(), lab.lbs[-1]
    lab.route_vips(lab.lbs[:-1])
    arms.open()
    tags = arms.tags(arms.alive(REAL))
    _set_health(arms, 500)
    arms.wait_available(lab.lbs, 0)
    begun = time.monotonic()
    pairs = during("flooding", lambda: _flood(arms))
    taken = [len(bpf_maps.flow_tags(lb.pin_path)) for lb in lab.lbs]
    # Nobody is healthy, so all are asked.
    for service in arms.services:
        arms.open_at(service, {"echo": 5})
    with Reshuffle(lab, lambda: lab.lbs) as moves:
        pairs += during("flooding", lambda: _flood(arms))
        go_on("reshuffling", 3)
    lab.route_vips([last])
    go_on(f"all flows at {last.name}", 3)
    unknown = len(tags - bpf_maps.flow_tags(last.pin_path))
    with Reshuffle(lab, lambda: lab.lbs) as more:
        while time.monotonic() - begun < seconds - 5:
            pairs += during("flooding", lambda: _flood(arms))
            go_on("all checks fail", 5)
        go_on("all checks fail",
              max(0, seconds - (time.monotonic() - begun)))
    arms.wait_available(lab.lbs, 0)
    failing = time.monotonic() - begun
    _set_health(arms, 200)
    hops = (arms.agent_verdicts() - before)["TX_NEXT_HOP"]
    lb_after = arms.lb_verdicts() - lb_before
    say(f"  did:     all checks failed for {failing:.0f} s, {pairs} SYN+ACK "
        f"pairs at tables of {FLOWS} slots (taken: "
        f"{', '.join(map(str, taken))}), "
        f"{lb_after['TX_SYN_UNRECORDED']} flows not recorded, "
        f"{moves.count + more.count} reshuffles, {unknown} flows at a host "
        f"that had no room for them, {hops} extra hops")
    require(failing >= seconds and pairs and moves.count
            and lb_after["TX_SYN_UNRECORDED"]
            and min(taken) > FLOWS // 2 and unknown and hops,
            "no flood, or nothing moved")
    arms.judge()
    for lb in lab.lbs:
        bpf_maps.wipe_flows(lb.pin_path)


def _set_health(arms: Arms, status: int) -> None:
    for backend in arms.lab.backends:
        backend.servers[PORT].set_health(status)


def _flood(arms: Arms) -> int:
    """Twice the table at each LB host, all services alike."""
    pairs = 0
    for lb in arms.lab.lbs:
        with Wire(arms.lab, lb) as wire:
            for service in itertools.islice(itertools.cycle(arms.services),
                                            2 * FLOWS):
                network = NOWHERE[":" in service.vip]
                client = str(network[random.randrange(2, 60)])
                port = random.randrange(1024, 65536)
                for flags in (fake_lb.SYN, fake_lb.ACK):
                    wire.send(fake_lb.tcp_packet(
                        client, port, service.vip, PORT, flags=flags,
                        sequence=random.getrandbits(32)))
                pairs += 1
    return pairs
