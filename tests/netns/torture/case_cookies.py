"""Handshakes whose only memory is a SYN cookie, at backends that do not all
have one secret."""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from lab import bpf_maps, wait_until
from lab.hosts import Backend, LbHost
from lab.progress import during, progress, say

from .arms import CONTROL, PORT, REAL, Arms, Service, require
from .events import Reshuffle, Sightings, Wipe, go_on

# Of the machine; the other backends share the host's kernel and its secret.
_SERIES = "6.1"
_COUNTS = {REAL: {"echo": 15, "silent": 10, "keepalive": 5, "half_closed": 5},
           CONTROL: {"echo": 8, "silent": 5, "keepalive": 3,
                     "half_closed": 2}}
# Through the machine's kernel only: an emulated processor is slow.
_CHECK = ("--check", "tcp", "--check-interval", "4s", "--check-timeout",
          "3900ms", "--rise", 1)


def case_6(arms: Arms) -> None:
    """Every handshake is answered with a SYN cookie, by backends on two
    kernels that cannot check each other's; while the clients' ACKs are under
    way, LB hosts die, are wiped, ECMP moves on, backends drain"""
    lab = arms.lab
    (machine,) = during("booting a virtual machine",
                        lambda: lab.add_machines([_SERIES]))
    backends = [*arms.backends[:2], machine]
    with _started(arms, backends) as cookies:
        before = cookies.agent_verdicts()
        rounds = _Rounds(cookies)
        first, second, third = lab.lbs

        def dies() -> None:
            arms.lose_power(first)
            lab.route_vips([second, third])

        rounds.run(first, "their LB host dies", dies)
        during(f"{first.name} boots", first.start_daemon)
        for lb, names in ((second, [machine.name]),
                          (third, cookies.names[:2])):
            def drained(lb: LbHost = lb, names: list[str] = names) -> None:
                cookies.backend("drain", names, lab.lbs)
                bpf_maps.wipe_flows(lb.pin_path)
                lab.route_vips([one for one in lab.lbs if one is not lb])

            rounds.run(lb, f"{' and '.join(names)} drain, {lb.name} forgets",
                       drained)
            cookies.backend("ready", names, lab.lbs)
        tags = cookies.tags(cookies.alive(REAL))
        with Sightings(lab, tags) as seen, Reshuffle(lab, lambda: lab.lbs), \
                Wipe(lab.lbs, 1.0) as wipes:
            go_on("moving and wiping", 3)
        after = cookies.agent_verdicts() - before
        say(f"  did:     {rounds.half_way} handshakes kept half-way, "
            f"{after['PASS_COOKIE']} cookies came back, "
            f"{rounds.extra_hops} extra hops before they were home, "
            f"{wipes.slots} slots wiped, {seen.moved} flows recorded at "
            "more than one LB host")
        say("  issued:  " + ", ".join(f"{count} by {name}" for name, count
                                      in sorted(rounds.issued.items())))
        require(rounds.half_way and after["PASS_COOKIE"] and rounds.extra_hops
                and rounds.issued[machine.name]
                and len(rounds.issued) > 1,
                "no cookies, or nothing moved")
        cookies.judge()
        arms.opened += cookies.opened


@contextlib.contextmanager
def _started(arms: Arms, backends: list[Backend]) -> Iterator[Arms]:
    """Services of the case's own, and nothing of them afterwards."""
    lab = arms.lab
    cookies = Arms(lab, names=("cookies", "nolist"), vips=lab.vips[2:],
                   backends=backends, check=_CHECK)
    cookies.fleet = arms.fleet
    with progress("starting servers and agents on them"):
        for machine in lab.machines:
            machine.start_server(PORT)
            machine.start_agent()
    for lb in lab.lbs:
        during(f"configuring {lb.name}",
               lambda h=lb: cookies.configure(h))
    cookies.wait_available(lab.lbs)
    _set_cookies(backends, 2)
    yield cookies
    # A case that fails leaves its lab to no other.
    cookies.close()
    _set_cookies(backends, 1)
    for lb in lab.lbs:
        for service in cookies.services:
            lb.cli("service", "delete", service.name, "--force")
    lab.remove_machines()


def _set_cookies(backends: list[Backend], value: int) -> None:
    for backend in backends:
        backend.run("sysctl", "-qw", f"net.ipv4.tcp_syncookies={value}")


class _Rounds:
    """Handshakes that are kept half-way while something happens."""

    def __init__(self, cookies: Arms):
        self._cookies = cookies
        self.half_way = 0
        self.extra_hops = 0
        self.issued: collections.Counter[str] = collections.Counter()
        self._judged: set[int] = set()

    def run(self, lb: LbHost, what: str, happens: Callable[[], None]) -> None:
        """Clients have their SYN+ACKs, by way of `lb`, and nothing but SYNs
        passes; `happens`; then their ACKs come through."""
        cookies, lab = self._cookies, self._cookies.lab
        accepted = cookies.agent_verdicts()["PASS_COOKIE"]
        lab.route_vips([lb])
        lab.attach_xdp(lab.router, lab.client.name, "xdp_hold")
        before = _clients_established(cookies)
        opening = [_Opening(cookies, service) for service in cookies.services]
        count = sum(one.count for one in opening)
        during(f"{count} SYNs", lambda: wait_until(
            lambda: _clients_established(cookies) >= before + count,
            timeout=60, what=f"{count} SYN+ACKs", interval=0.1))
        require(cookies.agent_verdicts()["PASS_COOKIE"] == accepted,
                "an ACK has come through too early")
        issuers = _issuers(cookies, lb)
        with progress(what):
            happens()
        hops = cookies.agent_verdicts()["TX_NEXT_HOP"]
        lab.attach_xdp(lab.router, lab.client.name, "xdp_pass")
        with progress("the ACKs come through"):
            for one in opening:
                one.wait()
        self.half_way += count
        self.extra_hops += cookies.agent_verdicts()["TX_NEXT_HOP"] - hops
        self._judge(issuers)

    def _judge(self, issuers: dict[int, str]) -> None:
        """Each connection of this round lives where its cookie is good."""
        cookies = self._cookies
        for one in cookies.alive(REAL):
            (tag,) = cookies.tags([one])
            if tag not in issuers or tag in self._judged:
                continue  # Of another round.
            self._judged.add(tag)
            require(_secret(cookies, issuers[tag])
                    == _secret(cookies, one.backend),
                    f"{one}: {issuers[tag]} has issued the cookie")
            self.issued[issuers[tag]] += 1


def _secret(cookies: Arms, backend: str) -> str:
    """Whose secret the backend's cookies are made with."""
    machines = [machine.name for machine in cookies.lab.machines]
    return backend if backend in machines else "the host"


class _Opening:
    """Connections of a service that open for as long as it takes."""

    def __init__(self, cookies: Arms, service: Service):
        kinds = _COUNTS[service.arm]
        self.count = sum(kinds.values())
        self._service = service
        self._report: dict[str, Any] = {}
        self._cookies = cookies

        def work() -> None:
            self._report = cookies.fleet.open(
                service.vip, PORT, **kinds, timeout=150, connect_timeout=100,
                interval=1.0, group=service.arm)

        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        self._thread.join()
        require(self._report, f"{self._service.name}: the clients have gone")
        require(self._service.arm == CONTROL
                or self._report["alive"] == self.count,
                f"not all of {self._service.name} opened: {self._report}")
        self._cookies.opened += self._report["opened"]


def _clients_established(cookies: Arms) -> int:
    counts = [len(cookies.lab.client.run(
        "ss", "-Htn", "state", "established", "dst", service.authority)
        .stdout.splitlines()) for service in cookies.services]
    return sum(counts)


def _issuers(cookies: Arms, lb: LbHost) -> dict[int, str]:
    """{tag: backend} of the flows of the real arm that `lb` has recorded."""
    names = {backend["id"]: backend["name"]
             for service in cookies.services if service.arm == REAL
             for backend in lb.cli("service", "show", service.name,
                                   json=True)["service"]["backends"]}
    return {tag: names[number] for tag, number
            in bpf_maps.flows(lb.pin_path).items() if number in names}
