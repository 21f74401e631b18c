"""Somebody inside the network forges what LB hosts and agents send."""

from __future__ import annotations

import dataclasses
import random
import secrets
import struct
from collections.abc import Iterator

import fake_lb
from lab import tier
from lab.hosts import Backend
from lab.progress import during, say

from .arms import NOBODY, PORT, REAL, ROWS, Arms, Service, Tuple4, require
from .events import go_on
from .tunnel import Forger, Tap, findings

PACKETS = 4000
MOST_FORWARDS = 9
_FLAGS = (fake_lb.SYN, fake_lb.ACK, fake_lb.RST, fake_lb.RST | fake_lb.ACK,
          fake_lb.SYN | fake_lb.ACK)


def case_10(arms: Arms) -> None:
    """Forged GUE packets from inside the network, and real segments sent to
    a wrong backend: one packet out for one in, nine forwards at most, none
    outside the fleet, no reset, no answer from what is no service"""
    lab, before = arms.lab, arms.agent_verdicts()
    lab.route_vips(lab.lbs[:2])
    arms.open()
    sender = arms.backends[-1]
    vips = {service.vip for service in arms.services if service.arm == REAL}
    with Tap(lab) as tap, Forger(lab, sender) as forger:
        for source, target, payload in _forgeries(arms):
            forger.send(source, target, payload)
        go_on("forged packets travel", 3)
        alive = arms.alive()
        # Now the tap has a segment of each.
        during("everybody talks", lambda: arms.fleet.verify(within=30))
        before_replay, ids = arms.agent_verdicts(), _ids(arms)
        sent = forger.sent
        for one in alive:
            for replay in _replays(arms, tap, one, ids[one.vip]):
                forger.send(*replay)
        go_on("replayed segments travel", 2)
        refused = sum(count for name, count in (
            arms.agent_verdicts() - before_replay).items()
            if name.startswith("DROP_"))
        replayed = forger.sent - sent
    found = findings(tap, lab, vips, sender.name)
    after = arms.agent_verdicts() - before
    say(f"  did:     {forger.sent} forged packets, {replayed} of them real "
        f"segments at a wrong backend ({refused} refused), "
        f"{found.handed_on} handed on, at most {found.forwards} times")
    say("           " + ", ".join(
        f"{name} {count}" for name, count in sorted(after.items())
        if count and name.startswith(("DROP_", "TX_"))))
    say(f"           {found.multiplied} multiplied, {found.outside} outside "
        f"the fleet, {found.resets} resets, {found.other_services} answers "
        "from what is no service")
    require(found.handed_on and refused, "nothing was handed on or refused")
    require(found.forwards <= MOST_FORWARDS and not (
        found.multiplied or found.outside or found.resets
        or found.other_services), f"forged packets went too far: {found}")
    arms.judge()


def _ids(arms: Arms) -> dict[str, dict[int, Backend]]:
    """By VIP, the backends as lb1 numbers them."""
    def of(service: Service) -> dict[int, Backend]:
        listed = arms.lab.lbs[0].cli("backend", "list", service.name,
                                     json=True)["backends"]
        return {one["id"]: arms.lab.host(one["name"]) for one in listed}

    return {service.vip: of(service) for service in arms.services}


def _row(arms: Arms, one: Tuple4) -> int:
    """Any but the right one: who does not have the tier's key hits it once in
    the number of rows."""
    return (arms.row(one) + random.randrange(1, ROWS)) % ROWS


def _forgeries(arms: Arms) -> Iterator[tuple[str, str, bytes]]:
    """Source, target and content of the outer packets."""
    ids, alive = _ids(arms), arms.alive(REAL)
    for _ in range(PACKETS):
        one = random.choice(alive)
        nobodys = random.random() < 0.5
        if nobodys:
            one = dataclasses.replace(
                one, client_port=random.randrange(1024, 65536), client=str(
                    NOBODY[":" in one.vip][random.randrange(2, 60)]))
        known = ids[one.vip]
        hops = random.choices([*known, 0, 65535], [9] * len(known) + [1, 1],
                              k=random.choice((1, 2, 4, 8, 8, 8)))
        index = random.choice((0, 0, 0, random.randrange(len(hops))))
        target = known.get(hops[index], arms.backends[0])
        source = random.choice((arms.backends[-1], *arms.lab.lbs))
        six = random.random() < 0.5
        yield (source.address6 if six else source.address,
               target.address6 if six else target.address,
               fake_lb.gue(_inner(arms, one, nobodys),
                           _hops(arms, one, hops, index)))


def _inner(arms: Arms, one: Tuple4, is_nobodys: bool) -> bytes:
    vip, port = one.vip, PORT
    if is_nobodys and random.random() < 0.3:
        # Not for a service: another port, a backend itself, a client.
        host = random.choice((*arms.backends, arms.lab.client))
        vip, port = random.choice((
            (vip, PORT + 1), (vip, 22),
            (host.address6 if ":" in vip else host.address, PORT)))
    segment = fake_lb.tcp_packet(
        one.client, one.client_port, vip, port, flags=random.choice(_FLAGS),
        sequence=random.getrandbits(32), acknowledged=random.getrandbits(32))
    if random.random() < 0.9:
        return segment
    quoted = fake_lb.tcp_packet(vip, port, one.client, one.client_port,
                                flags=fake_lb.ACK,
                                sequence=random.getrandbits(32))
    if ":" in vip:
        return fake_lb.packet_too_big("2001:db8:2::1", quoted, 1300)
    return fake_lb.frag_needed("192.0.2.1", quoted, 1300)


def _hops(arms: Arms, one: Tuple4, ids: list[int], index: int) -> bytes:
    kind = random.random()
    if kind < 0.05:
        return b""
    if kind < 0.1:
        return secrets.token_bytes(4 * random.randrange(1, 12))
    flags = random.choice((0, fake_lb.SETTLED, fake_lb.SETTLED, fake_lb.FINAL,
                           fake_lb.CLAIM0, random.randrange(256)))
    if flags & fake_lb.FINAL:
        weak, index = index, len(ids)
    else:
        weak = random.choice((fake_lb.NO_WEAK, fake_lb.NO_WEAK,
                              random.randrange(8)))
    hops = fake_lb.hop_list(ids, flags=flags, index=index, weak=weak,
                            acceptors=random.randrange(256))
    hops = hops[:10] + struct.pack("!H", _row(arms, one)) + hops[12:]
    if kind < 0.15:  # Lies about its length.
        hops = hops[:3] + bytes([random.randrange(256)]) + hops[4:]
    return hops


def _replays(arms: Arms, tap: Tap, one: Tuple4, ids: dict[int, Backend]
             ) -> Iterator[tuple[str, str, bytes]]:
    """The connection's own latest segment, at a backend that has nothing to
    do with it, as if it came from lb1."""
    segment = tap.segments.get(one.key(PORT))
    if segment is None:
        return
    segment = fake_lb.with_checksum(segment)
    number, wrong = random.choice([
        (number, backend) for number, backend in ids.items()
        if backend.name != one.backend])
    lists = [b""]
    if one.arm == REAL:
        settled = fake_lb.hop_list([number], flags=fake_lb.SETTLED)
        lists += [
            settled[:10] + struct.pack("!H", _row(arms, one)) + settled[12:],
            fake_lb.hop_list([number], weak=0),
            fake_lb.hop_list([number, number], weak=1),
            fake_lb.hop_list([number], flags=fake_lb.FINAL, index=1, weak=0)]
    for hops in lists:
        yield (arms.lab.lbs[0].address, wrong.address,
               fake_lb.gue(segment, hops))
