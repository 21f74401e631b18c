"""Sockets in the way: of connections that are over, or never were."""

from __future__ import annotations

from lab import bpf_maps, wait_until
from lab.hosts import Backend
from lab.progress import during, say

from .arms import CONTROL, PORT, REAL, Arms, require
from .events import Reshuffle, Sightings, Wipe, go_on

_COUNTS = {REAL: {"echo": 15, "silent": 15, "keepalive": 10,
                  "half_closed": 10},
           CONTROL: {"echo": 5, "silent": 5, "keepalive": 5,
                     "half_closed": 5}}
# Below the ports that the client's kernel chooses.
_FIRST_PORT = 7000


def _sockets(arms: Arms, backend: Backend, state: str) -> int:
    """Of connections through the VIPs: health checks come to other
    addresses."""
    counts = []
    for service in arms.services:
        source = service.authority.rpartition(":")[0]
        done = backend.run("ss", "-Htn", "state", state, "sport",
                           f"= :{PORT}", "src", source)
        counts.append(len(done.stdout.splitlines()))
    return sum(counts)


def _open(arms: Arms, first_port: int, group: str = "") -> None:
    for number, service in enumerate(arms.services):
        arms.open_at(service, _COUNTS[service.arm],
                     group=group or service.arm,
                     local_port=first_port + 100 * number)


def _reuse(arms: Arms, first_port: int) -> None:
    """The same ports again, at other backends than b1, which is then the
    first that most LB hosts ask: none of them knows the flows any more."""
    lab = arms.lab
    arms.backend("ready", arms.names[1:], lab.lbs)
    arms.backend("drain", arms.names[:1], lab.lbs)
    arms.wait_available(lab.lbs, len(arms.names) - 1)
    _open(arms, first_port)
    arms.backend("ready", arms.names[:1], lab.lbs)
    arms.wait_available(lab.lbs)
    for lb in lab.lbs:
        bpf_maps.wipe_flows(lb.pin_path)


def _only_at_b1(arms: Arms) -> None:
    arms.backend("drain", arms.names[1:], arms.lab.lbs)


def case_5(arms: Arms) -> None:
    """The client's ports come back, while another backend holds a TIME_WAIT
    or a zombie ESTABLISHED socket of the same tuple"""
    lab, before = arms.lab, arms.agent_verdicts()
    b1 = arms.backends[0]
    _only_at_b1(arms)
    _open(arms, _FIRST_PORT, "old")
    during("the old connections end", lambda: arms.fleet.close(group="old"))
    # Some rows do without b1, and half-closed ones end with a reset.
    wait_until(lambda: _sockets(arms, b1, "time-wait") >= 50, timeout=20,
               what="TIME_WAIT on b1")
    waiting = _sockets(arms, b1, "time-wait")
    _reuse(arms, _FIRST_PORT)

    _only_at_b1(arms)
    _open(arms, _FIRST_PORT + 1000, "zombies")
    lab.route_vips([])  # The clients die; nobody tells the servers.
    lab.client.run("ss", "-K", "state", "connected", "sport", "ge",
                   f":{_FIRST_PORT + 1000}", "sport", "lt",
                   f":{_FIRST_PORT + 1000 + 100 * len(arms.services)}")
    arms.fleet.verify(within=1, group="zombies")
    for lb in lab.lbs:
        bpf_maps.wipe_flows(lb.pin_path)
    lab.route_vips(lab.lbs)
    _reuse(arms, _FIRST_PORT + 1000)
    zombies = _sockets(arms, b1, "established")
    with Reshuffle(lab, lambda: lab.lbs) as moves:
        go_on("new connections talk", 3)
    after = arms.agent_verdicts() - before
    say(f"  did:     {waiting} TIME_WAIT and {zombies} zombie sockets on b1, "
        f"{moves.count} reshuffles, {after['TX_NEXT_HOP']} extra hops")
    require(zombies and after["TX_NEXT_HOP"], "nothing was in the way")
    arms.judge()


def case_6(arms: Arms) -> None:
    """Every handshake is answered with a SYN cookie (one secret for all; two
    kernels have a test of their own)"""
    lab, before = arms.lab, arms.agent_verdicts()
    for backend in arms.backends:
        backend.run("sysctl", "-qw", "net.ipv4.tcp_syncookies=2")
    try:
        arms.open()
        with Sightings(lab, arms.tags(arms.alive(REAL))) as seen, \
                Reshuffle(lab, lambda: lab.lbs), \
                Wipe(lab.lbs, 1.0) as wipes:
            go_on("moving and wiping", 5)
    finally:
        for backend in arms.backends:
            backend.run("sysctl", "-qw", "net.ipv4.tcp_syncookies=1")
    cookies = sum(backend.counter("TcpExtSyncookiesRecv")
                  for backend in arms.backends)
    hops = (arms.agent_verdicts() - before)["TX_NEXT_HOP"]
    say(f"  did:     {cookies} cookies came back, {wipes.slots} slots wiped, "
        f"{seen.moved} flows recorded at more than one LB host, {hops} extra "
        "hops")
    require(cookies and wipes.slots and hops, "no cookies, or nothing moved")
    arms.judge()
