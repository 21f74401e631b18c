"""A lab: network namespaces with a client, a router, LB hosts and backends.

    with Lab("flt1", LabOptions(backends=3)) as lab:
        lab.backends[0].start_server(8080)
        lab.route_vips([lab.backends[0]])
        fleet = lab.client.start_fleet()
        fleet.open(lab.vip, 8080, echo=10, silent=10)

                 client
                   |             each line a veth pair with its own subnets
                 router ---- b1 ... bN    the VIPs on lo
                 |  |  |
               lb1 lb2 lb3                the router sends the VIPs here

Everything is gone when the block ends: by its end, an exception, Ctrl-C or
SIGTERM. After kill -9 of the owner its programs die with it, and the next lab
of that name, or `tools/lab down`, removes the rest.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import os
import pathlib
import secrets
import shutil
import signal
import threading
from collections.abc import Iterator, Sequence

from . import addressing, netns, ownership, programs, vm
from .diagnostics import describe
from .errors import LabError
from .hosts import Backend, Client, Host, LbHost, LinkedHost
from .machine_backend import MachineBackend
from .processes import stop_all

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Identifiers of the router's next hop groups, above those of single hosts.
_GROUP4, _GROUP6 = 1000, 2000
_REPOSITORY = pathlib.Path(__file__).resolve().parents[3]


def default_build() -> pathlib.Path:
    return pathlib.Path(os.environ.get("FL_BUILD")
                        or _REPOSITORY / "build/release").resolve()


@dataclasses.dataclass(frozen=True)
class LabOptions:
    lbs: int = 1
    backends: int = 3
    build: pathlib.Path = dataclasses.field(default_factory=default_build)
    mtu: int = 1500
    # False: backends announce full segments, and encapsulation does not fit.
    advmss: bool = True
    static_neighbours: bool = False
    flows: int = 65536  # [tables] of node.toml
    counted_sources: int = 0  # Likewise.
    # Buckets of a TCP table of its own for every host but the router; 0: all
    # share that of the machine, which each agent's scan walks as a whole.
    tcp_buckets: int = 0
    # Programs survive the owner: needed for Lab.leave_running().
    may_outlive_owner: bool = False


class Lab:
    vip, vip6 = addressing.VIPS[0]
    vips = addressing.VIPS

    def __init__(self, name: str, options: LabOptions | None = None):
        self.name = ownership.check_name(name)
        self.options = options or LabOptions()
        self.directory = ownership.lab_dir(name)
        self.key_file = self.directory / "tier.key"
        self.netns_parent: str | None = None
        self.router: Host
        self.client: Client
        self.lbs: list[LbHost] = []
        self.backends: list[Backend] = []
        self.machines: list[MachineBackend] = []
        self.hosts: list[Host] = []
        self._lock = ownership.Lock(name)
        self._record = ownership.Record(name)
        self._next_hops: dict[str, int] = {}  # host: identifier
        self._up = False
        self._old_handlers: dict[int, object] = {}

    def __enter__(self) -> Lab:
        return self.up()

    def __exit__(self, *_: object) -> None:
        self.down()

    def up(self) -> Lab:
        """Raises the lab, after removing a leftover of the same name.
        Requires: root. On failure nothing is left."""
        if os.geteuid() != 0:
            raise LabError("a lab needs root")
        self._lock.acquire()
        self._up = True
        atexit.register(self.down)
        self._catch_signals()
        try:
            ownership.remove_lab(self.name)
            self._raise()
        except BaseException:
            self.down()
            raise
        return self

    def down(self) -> None:
        """Ends the programs and removes everything; harmless when repeated."""
        if not self._up:
            return
        with _signals_ignored():
            self._up = False
            stop_all([c for host in self.hosts for c in host.children])
            self._save_logs()
            ownership.remove_lab(self.name)
            self._lock.release()
            atexit.unregister(self.down)
        self._restore_signals()

    def leave_running(self) -> None:
        """Gives up ownership: the lab stays until `tools/lab down`."""
        if not self.options.may_outlive_owner:
            raise LabError("leave_running needs LabOptions.may_outlive_owner")
        self._up = False
        atexit.unregister(self.down)
        self._restore_signals()
        self._lock.release()

    def add_backend(self) -> Backend:
        number = len(self.backends) + 1
        link = addressing.backend_link(number)
        self._record.add(link.host, ownership.netns_name(self.name, link.host))
        backend = Backend(self, link)
        self._add_next_hop(backend, 100 + number)
        self.backends.append(backend)
        self.hosts.append(backend)
        return backend

    def add_machines(self, series: Sequence[str]) -> list[MachineBackend]:
        """Backends with kernels of their own, see vm.py. They are not among
        `backends`: they are slow."""
        added = []
        for name in series:
            link = addressing.machine_link(len(self.machines) + 1)
            self._record.add(link.host,
                             ownership.netns_name(self.name, link.host))
            machine = MachineBackend(self, link, vm.Kernel.named(name))
            self.machines.append(machine)
            self.hosts.append(machine)
            added.append(machine)
        for machine in added:  # They have booted side by side.
            machine.wait_booted()
        return added

    def remove_machines(self) -> None:
        for machine in self.machines:
            machine.end()
            self.hosts.remove(machine)
            netns.ip_batch(self.router.netns, f"link del {machine.link.host}")
        self.machines.clear()

    def host(self, name: str) -> Host:
        for host in self.hosts:
            if host.name == name:
                return host
        raise LabError(f'no host "{name}" (have: '
                       f"{', '.join(h.name for h in self.hosts)})")

    def route_vips(self, hosts: Sequence[LinkedHost]) -> None:
        """Sends the VIP prefixes to these hosts, spread by 5-tuple, in one
        atomic step per family; to nobody (dropped) when there are none. A
        backend is as good a target as an LB host: it holds the VIPs."""
        members = [self._next_hops[host.name] for host in hosts]
        lines = []
        for prefix, group, offset in zip(addressing.VIP_PREFIXES,
                                         (_GROUP4, _GROUP6), (0, 500)):
            if members:
                ids = "/".join(str(number + offset) for number in members)
                lines += [f"nexthop replace id {group} group {ids}",
                          f"route replace {prefix} nhid {group}"]
            else:
                lines += [f"route replace blackhole {prefix}"]
        netns.ip_batch(self.router.netns, *lines)

    def start_servers(self, port: int) -> None:
        """One on each backend that there is."""
        for backend in self.backends:
            backend.start_server(port)

    def start_fairlead(self, *, agents: bool = True) -> None:
        """Agents first, so that the daemons find them at their first poll."""
        for backend in self.backends if agents else ():
            backend.start_agent()
        for lb in self.lbs:
            lb.start_daemon()

    def binary(self, path: str) -> pathlib.Path:
        """A program under test, `path` below <build>/userspace."""
        found = self.options.build / "userspace" / path
        if not found.exists():
            raise LabError(f"{found} does not exist; build it, or name the "
                           "build folder with --build or FL_BUILD")
        return found

    def attach_xdp(self, host: Host, device: str, program: str) -> None:
        """Attaches one of the lab's own programs, such as xdp_bounce."""
        pin = ownership.pin_path(self.name, "router") / program
        if not pin.exists():
            netns.load_xdp(programs.xdp_object(
                program, self.options.build, self.directory), pin)
        netns.attach_xdp(host.netns, device, pin)

    def describe(self, log_lines: int = 40) -> str:
        return describe(self, log_lines)

    def _raise(self) -> None:
        netns.mount_bpffs()
        self.directory.mkdir(mode=0o755)
        self._write_key()
        names = ["router", "client",
                 *(f"lb{i + 1}" for i in range(self.options.lbs))]
        for name in names:
            self._record.add(name, ownership.netns_name(self.name, name))
        self.router = Host(self, "router")
        self.hosts.append(self.router)
        netns.make_router(self.router.netns)
        if self.options.tcp_buckets:
            netns.sysctl(self.router.netns, "ipv4.tcp_child_ehash_entries="
                         f"{self.options.tcp_buckets}")
            self.netns_parent = self.router.netns
        self.client = Client(self, addressing.client_link())
        self.hosts.append(self.client)
        for number in range(1, self.options.lbs + 1):
            self._add_lb(number)
        for _ in range(self.options.backends):
            self.add_backend()
        self.route_vips(self.lbs)

    def _add_lb(self, number: int) -> None:
        lb = LbHost(self, addressing.lb_link(number), number)
        self._add_next_hop(lb, number)
        self.lbs.append(lb)
        self.hosts.append(lb)

    def _add_next_hop(self, host: LinkedHost, number: int) -> None:
        device = host.link.host
        netns.ip_batch(
            self.router.netns,
            f"nexthop add id {number} via {host.address} dev {device}",
            f"nexthop add id {number + 500} via {host.address6} dev {device}")
        self._next_hops[host.name] = number

    def _write_key(self) -> None:
        descriptor = os.open(self.key_file,
                             os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32) + "\n")

    def _save_logs(self) -> None:
        """Keeps the logs below $FL_LAB_LOGS, for the case that the caller
        wants to read them after the lab is gone."""
        target = os.environ.get("FL_LAB_LOGS")
        if not target:
            return
        for log in self.directory.glob("*/*.log"):
            kept = pathlib.Path(target, self.name, log.parent.name, log.name)
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(log, kept)

    def _catch_signals(self) -> None:
        """SIGTERM and SIGHUP become an exit that passes by down()."""
        if threading.current_thread() is not threading.main_thread():
            return

        def leave(number: int, _frame: object) -> None:
            raise SystemExit(128 + number)

        for number in (signal.SIGTERM, signal.SIGHUP):
            self._old_handlers[number] = signal.signal(number, leave)

    def _restore_signals(self) -> None:
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)
        self._old_handlers.clear()


@contextlib.contextmanager
def _signals_ignored() -> Iterator[None]:
    """A second Ctrl-C must not stop the clean-up half-way."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old = {number: signal.signal(number, signal.SIG_IGN)
           for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
