"""Sockets in the way: of connections that are over, or never were."""

from __future__ import annotations

import ipaddress

from lab import bpf_maps, wait_until
from lab.hosts import Backend
from lab.progress import during, say

from .arms import CONTROL, PORT, REAL, Arms, require
from .events import Reshuffle, go_on

_COUNTS = {REAL: {"echo": 15, "silent": 15, "keepalive": 10,
                  "half_closed": 10},
           CONTROL: {"echo": 5, "silent": 5, "keepalive": 5,
                     "half_closed": 5}}
# Below the ports that the client's kernel chooses.
_FIRST_PORT = 7000


def _sockets(arms: Arms, backend: Backend, state: str
             ) -> set[tuple[str, str, int]]:
    """Of connections through the VIPs, as VIP, client and its port: health
    checks come to other addresses."""
    found = set()
    for service in arms.services:
        source = service.authority.rpartition(":")[0]
        done = backend.run("ss", "-Htn", "state", state, "sport",
                           f"= :{PORT}", "src", source)
        for line in done.stdout.splitlines():
            host, _, port = line.split()[3].rpartition(":")
            client = ipaddress.ip_address(host.strip("[]"))
            client = getattr(client, "ipv4_mapped", None) or client
            found.add((service.vip, str(client), int(port)))
    return found


def _in_the_way(arms: Arms, backend: Backend, state: str) -> int:
    """Sockets there of the very tuples of connections that live elsewhere."""
    held = _sockets(arms, backend, state)
    return sum((one.vip, one.client, one.client_port) in held
               for one in arms.alive(REAL) if one.backend != backend.name)


def _open(arms: Arms, first_port: int, group: str = "") -> None:
    for number, service in enumerate(arms.services):
        arms.open_at(service, _COUNTS[service.arm],
                     group=group or service.arm,
                     local_port=first_port + 100 * number)


def _wait_ports_free(arms: Arms, first_port: int) -> None:
    """A half-closed connection's socket stays on the client, without its
    program, until the server's next number is answered with a reset."""
    last = first_port + 100 * len(arms.services)
    during("the client's ports are free", lambda: wait_until(
        lambda: not arms.lab.client.run(
            "ss", "-Htan", "exclude", "time-wait", "sport", "ge",
            f":{first_port}", "sport", "lt", f":{last}").stdout,
        timeout=20, what=f"no socket of the ports {first_port} to {last}"))


def _reuse(arms: Arms, first_port: int) -> None:
    """The same ports again, at other backends than b1, which is then the
    first that most LB hosts ask: none of them knows the flows any more."""
    lab = arms.lab
    _wait_ports_free(arms, first_port)
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


def _end_zombies(arms: Arms) -> None:
    """Or their backends would own their rows in all other cases."""
    for service in arms.services:
        source = service.authority.rpartition(":")[0]
        for backend in arms.backends:
            backend.run("ss", "-K", "state", "established", "sport",
                        f"= :{PORT}", "src", source)


def case_5(arms: Arms) -> None:
    """The client's ports come back, while another backend holds a TIME_WAIT
    or a zombie ESTABLISHED socket of the same tuple"""
    lab, before = arms.lab, arms.agent_verdicts()
    b1 = arms.backends[0]
    _only_at_b1(arms)
    _open(arms, _FIRST_PORT, "old")
    during("the old connections end", lambda: arms.fleet.close(group="old"))
    # Some rows do without b1, and half-closed ones end with a reset.
    wait_until(lambda: len(_sockets(arms, b1, "time-wait")) >= 50, timeout=20,
               what="TIME_WAIT on b1")
    _reuse(arms, _FIRST_PORT)
    waiting = _in_the_way(arms, b1, "time-wait")

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
    zombies = _in_the_way(arms, b1, "established")
    with Reshuffle(lab, lambda: lab.lbs) as moves:
        go_on("new connections talk", 3)
    after = arms.agent_verdicts() - before
    say(f"  did:     {waiting} TIME_WAIT and {zombies} zombie sockets on b1 "
        "of tuples that live elsewhere, "
        f"{moves.count} reshuffles, {after['TX_NEXT_HOP']} extra hops")
    require(waiting and zombies and after["TX_NEXT_HOP"],
            "nothing was in the way")
    arms.judge()
    _end_zombies(arms)
