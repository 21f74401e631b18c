"""The lab of the torture test, its two arms, and what is asserted of them."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import ipaddress
import threading
from collections.abc import Iterable, Sequence
from typing import Any

from lab import (Lab, LabError, LabOptions, bpf_maps, netns, services,
                 tier)
from lab.fleet import Fleet
from lab.hosts import Backend, LbHost
from lab.progress import during, progress, say

PORT = 8080
FLOWS = 4096
ROWS = 1024
OPTIONS = LabOptions(lbs=3, backends=7, flows=FLOWS)
IN_SERVICE = 5  # The backends that all cases have; the others join in one.
# Clients that do not exist, of a flood and of forged packets; what is sent to
# them ends at the router.
NOWHERE = [ipaddress.ip_network(network) for network in (
    "192.0.2.128/26", "2001:db8:1:dead::/64")]
NOBODY = [ipaddress.ip_network(network) for network in (
    "192.0.2.192/26", "2001:db8:1:beef::/64")]
REAL, CONTROL = "real", "control"

# Connections of each kind through each of the two VIPs of an arm.
_KINDS = {REAL: {"echo": 100, "silent": 500, "keepalive": 250,
                 "half_closed": 150},
          CONTROL: {"echo": 15, "silent": 10, "keepalive": 7,
                    "half_closed": 8}}
# The agents take what comes for the control arm: it has no hop lists.
_GUARANTEE = {REAL: "sockets", CONTROL: "flow-table"}
_SETTINGS = ("--policy", "least-conn", "--rows", ROWS)
_CHECK = ("--check", "http", "--check-path", "/healthz", "--check-interval",
          "500ms", "--check-timeout", "450ms")


class CaseFailed(AssertionError):
    """What a case asserts does not hold."""


def require(condition: object, what: str) -> None:
    if not condition:
        raise CaseFailed(what)


@dataclasses.dataclass(frozen=True)
class Service(services.Service):
    arm: str


@dataclasses.dataclass(frozen=True)
class Tuple4:
    """One connection, as the packets of its client show it."""
    arm: str
    client: str
    client_port: int
    vip: str
    backend: str  # Its owner.

    def key(self, port: int) -> tuple[bytes, int, bytes, int]:
        return (ipaddress.ip_address(self.client).packed, self.client_port,
                ipaddress.ip_address(self.vip).packed, port)


class Arms:
    """The services of both arms, on the first two pairs of VIPs; a case may
    have its own, on the others. Requires: a raised lab with OPTIONS."""

    def __init__(self, lab: Lab, *, names: tuple[str, str] = ("ws", "plain"),
                 vips: Sequence[tuple[str, str]] = Lab.vips[:2],
                 backends: Sequence[Backend] | None = None,
                 check: tuple[object, ...] = _CHECK):
        self.lab = lab
        self.services = [Service(one.name, one.vip, one.port, arm)
                         for name, pair, arm in zip(names, vips,
                                                    (REAL, CONTROL))
                         for one in services.both_families(name, pair, PORT)]
        self.backends = list(backends or lab.backends[:IN_SERVICE])
        self.names = [backend.name for backend in self.backends]
        self.spare = ([] if backends
                      else lab.backends[IN_SERVICE:OPTIONS.backends])
        self.hands = threading.Lock()  # Who kills or starts a program.
        self.off: set[LbHost] = set()
        self._check = check
        self.fleet: Fleet
        self.opened = 0  # Of both arms, in all cases.
        self._host_gone: collections.Counter[str] = collections.Counter()

    # --- the tier ---

    def start(self) -> None:
        netns.ip_batch(self.lab.router.netns, *(
            f"route add blackhole {network}" for network in NOWHERE + NOBODY))
        with progress("starting servers, agents and daemons"):
            self.lab.start_servers(PORT)
            self.lab.start_fairlead()
        for lb in self.lab.lbs:
            during(f"configuring {lb.name}", lambda h=lb: self.configure(h))
        self.wait_available(self.lab.lbs)

    def configure(self, lb: LbHost) -> None:
        for service in self.services:
            services.add_services([lb], [service], *_SETTINGS, *self._check,
                                  "--guarantee", _GUARANTEE[service.arm])
        self.add_backends(lb)

    def add_backends(self, lb: LbHost) -> None:
        # Each LB host numbers them differently.
        turn = lb.number % len(self.backends)
        self.add(self.backends[turn:] + self.backends[:turn], [lb])

    def more(self, count: int) -> list[Backend]:
        """Backends that are in no service: the spare ones, and as many as it
        takes."""
        while len(self.lab.backends) < IN_SERVICE + count:
            backend = self.lab.add_backend()
            backend.start_server(PORT)
            during(f"starting the agent of {backend.name}",
                   backend.start_agent)
        return self.lab.backends[IN_SERVICE:IN_SERVICE + count]

    def add(self, backends: Sequence[Backend], lbs: Iterable[LbHost]) -> None:
        services.add_backends(lbs, self.services, backends)

    def wait_available(self, lbs: Iterable[LbHost],
                       count: int | None = None) -> None:
        """Until each service has so many backends for new connections; all
        of those that it began with, if nothing else is said."""
        if count is None:
            count = len(self.backends)
        during("waiting for health checks", lambda: services.wait_available(
            lbs, self.services, count))

    def wait_eligible(self, lbs: Iterable[LbHost],
                      backends: Sequence[Backend]) -> None:
        during("waiting for health checks", lambda: services.wait_eligible(
            lbs, self.services, backends))

    def backend(self, verb: str, names: Iterable[str],
                lbs: Iterable[LbHost], *options: str) -> None:
        """Drains, readies or deletes them in all services."""
        with progress(f"backend {verb}"):
            for lb in lbs:
                for service in self.services:
                    for name in names:
                        lb.insist("backend", verb, service.name, name,
                                  *options)

    def lose_power(self, lb: LbHost) -> None:
        with self.hands:
            self.off.add(lb)
            self._host_gone.update(bpf_maps.verdicts(lb.pin_path, "LB"))
            lb.lose_power()

    def boot(self, lb: LbHost) -> None:
        with self.hands, progress(f"{lb.name} boots"):
            lb.start_daemon()
            self.off.remove(lb)

    # --- connections ---

    def open(self, timeout: float = 60, **settings: Any) -> None:
        """Both arms, all kinds, through the hosts that are routed to now."""
        for service in self.services:
            self.open_at(service, _KINDS[service.arm], timeout, **settings)

    def open_at(self, service: Service, kinds: dict[str, int],
                timeout: float = 60, **settings: Any) -> None:
        report = during(
            f"opening {sum(kinds.values())} connections to {service.vip}",
            lambda: self.fleet.open(
                service.vip, PORT, **kinds, timeout=timeout, interval=1.0,
                **{"group": service.arm, "connect_timeout": 20, **settings}))
        require(report["alive"] == report["requested"],
                f"not all of {service.name} opened: {self._explain(report)}")
        self.opened += report["opened"]

    def alive(self, group: str | None = None) -> list[Tuple4]:
        found = []
        arms = {service.vip: service.arm for service in self.services}
        for one in self.fleet.connections(limit=100000, state="alive",
                                          group=group):
            client, _, port = one["local"].rpartition(":")
            vip = one["remote"].rpartition(":")[0].strip("[]")
            client = ipaddress.ip_address(client.strip("[]"))
            found.append(Tuple4(arms[vip], str(client), int(port), vip,
                                one["backend"]))
        return found

    def close(self) -> None:
        during("closing", lambda: self.fleet.close(state="alive"))

    # --- what happened, and the judgement ---

    def lb_verdicts(self) -> collections.Counter[str]:
        """Of all LB hosts, those that lost power included."""
        total = collections.Counter(self._host_gone)
        for lb in self.lab.lbs:
            if lb.pin_path.exists():
                total.update(bpf_maps.verdicts(lb.pin_path, "LB"))
        return total

    def agent_verdicts(self) -> collections.Counter[str]:
        total: collections.Counter[str] = collections.Counter()
        for backend in [*self.backends, *self.spare]:
            total.update(backend.verdicts())
        return total

    def tags(self, tuples: Iterable[Tuple4]) -> set[int]:
        return {self._hash(one) & bpf_maps.TAG_MASK for one in tuples}

    def row(self, one: Tuple4) -> int:
        return tier.flow_row(self._hash(one), ROWS)

    def _hash(self, one: Tuple4) -> int:
        return tier.flow_hash(self.lab.key_file, (one.client, one.client_port),
                              (one.vip, PORT))

    def judge(self) -> None:
        """No connection of the real arm is broken, more than 5 % of the
        control arm are. Ends the fleet's connections."""
        with concurrent.futures.ThreadPoolExecutor() as both, \
                progress("every connection answers"):
            asked = [both.submit(self.fleet.verify, within=within, group=arm)
                     for arm, within in ((REAL, 30), (CONTROL, 10))]
            real, control = (one.result() for one in asked)
        for arm, report in ((REAL, real), (CONTROL, control)):
            share = 100 * report["broken"] / max(1, report["requested"])
            why = ", ".join(f"{count} {reason}" for reason, count
                            in sorted(report["reasons"].items()))
            say(f"  {arm + ':':8} {report['requested']} connections, "
                f"{report['broken']} broken ({share:.1f} %) {why}")
        require(real["broken"] == 0
                and real["verified"] == real["requested"],
                f"the real arm broke: {self._explain(real)}")
        # Those that merely wait may come back.
        lost = control["broken"] - control["reasons"].get("no-echo-30s", 0)
        require(lost > 0.05 * control["requested"],
                "the control arm is whole: the case has proven nothing")

    def _explain(self, report: dict[str, Any]) -> str:
        lines = [f"{report['broken']} of {report['requested']}, "
                 f"{report['reasons']}"]
        for one in report["examples"][:3]:
            lines.append(str(one))
            for lb in self.lab.lbs:
                try:
                    done = lb.cli("--timeout", "5s", "flows", "explain",
                                  "--src", one["local"], "--dst",
                                  one["remote"], check=False, timeout=10)
                    lines += [f"--- {lb.name}", done.stdout + done.stderr]
                except LabError as error:
                    lines.append(f"--- {lb.name}: {error}")
        return "\n".join(lines)

    def prepare(self) -> None:
        """What each case begins with: all LB hosts routed to, and a fleet of
        its own, so that no case judges another's connections."""
        self.lab.route_vips(self.lab.lbs)
        self.fleet = self.lab.client.start_fleet()

    def finish(self) -> None:
        self.close()
        self.fleet.stop()
        self.wait_available(self.lab.lbs)
