"""The hosts of a lab. Each owns its namespace, its files and its programs."""

from __future__ import annotations

import json as json_module
import pathlib
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from . import bpf_maps, control, netns, ownership
from .addressing import Link
from .errors import LabError
from .fleet import MODULE_ENV, Fleet, module_command, wait_for_socket
from .processes import Child, in_netns, run, wait_until

if TYPE_CHECKING:
    from .lab import Lab

AGENT_PORT = 6082

_UNREACHABLE, _PRECONDITION = 3, 5  # Exit codes of the CLI.
# How a change is refused that was made already.
_DONE_BEFORE = ("there is one of that name", "no backend \"")


class Host:
    """A namespace; made by Lab, which also tears it down."""

    def __init__(self, lab: Lab, name: str):
        self.lab = lab
        self.name = name
        self.netns = ownership.netns_name(lab.name, name)
        self.directory = lab.directory / name
        self.directory.mkdir(mode=0o755)
        self.children: list[Child] = []
        self._raise()

    def _raise(self) -> None:
        netns.create(self.netns, self.lab.netns_parent)
        netns.prepare(self.netns)

    def run(self, *command: object, check: bool = True,
            timeout: float = 60) -> subprocess.CompletedProcess[str]:
        return run(in_netns(self.netns, [str(word) for word in command]),
                   check=check, timeout=timeout)

    def start(self, name: str, command: Sequence[object], *,
              env: dict[str, str] | None = None) -> Child:
        """A long-running program; output in <directory>/<name>.log."""
        child = Child(f"{self.name}/{name}", self.netns,
                      [str(word) for word in command],
                      self.directory / f"{name}.log", env=env,
                      outlive_owner=self.lab.options.may_outlive_owner)
        self.children.append(child)
        return child

    def module(self, name: str, module: str, *arguments: object) -> Child:
        """Starts a module of this package."""
        return self.start(name, module_command(module, *arguments),
                          env=MODULE_ENV)

    def counter(self, name: str) -> int:
        """A kernel counter by its nstat name, such as TcpInCsumErrors."""
        words = self.run("nstat", "-asz", name).stdout.split()
        if name not in words:
            raise LabError(f"{self.name}: nstat knows no counter {name}")
        return int(words[words.index(name) + 1])


class LinkedHost(Host):
    """A host with its own link to the router."""

    def __init__(self, lab: Lab, link: Link):
        self.link = link
        super().__init__(lab, link.host)

    def _raise(self) -> None:
        super()._raise()
        lab, link = self.lab, self.link
        netns.connect(lab.router.netns, self.netns, link, mtu=lab.options.mtu,
                      static_neighbours=lab.options.static_neighbours)
        lab.attach_xdp(lab.router, link.host, "xdp_pass")

    @property
    def address(self) -> str:
        return self.link.address

    @property
    def address6(self) -> str:
        return self.link.address6

    @property
    def pin_path(self) -> pathlib.Path:
        return ownership.pin_path(self.lab.name, self.name)


class Client(LinkedHost):
    def __init__(self, lab: Lab, link: Link):
        super().__init__(lab, link)
        netns.make_client(self.netns)
        netns.default_routes(self.netns, link)

    def start_fleet(self, name: str = "fleet") -> Fleet:
        path = self.directory / f"{name}.sock"
        child = self.module(name, "ws_fleet", "--control", path)
        wait_for_socket(child, path, timeout=20)
        return Fleet(child, path)


class LbHost(LinkedHost):
    """Runs fairleadd, and the CLI against it."""

    def __init__(self, lab: Lab, link: Link, number: int):
        super().__init__(lab, link)
        netns.default_routes(self.netns, link)
        self.number = number
        self.socket = self.directory / "fairleadd.sock"
        self.config = self.directory / "node.toml"
        self.state_dir = self.directory / "state"
        self.state_dir.mkdir(mode=0o700)
        self.key_file = lab.key_file
        self.interfaces = ["eth0"]  # Of node.toml at the next start.
        self.flows = lab.options.flows
        self.extra_tables = ""  # Lines of its [tables].
        self.extra_config = ""  # Appended to it.
        self.daemon: Child | None = None

    def write_config(self) -> None:
        self.config.write_text(f"""[node]
name = "{self.name}"
id = {self.number}
interfaces = {json_module.dumps(self.interfaces)}
address = "{self.address}"
address6 = "{self.address6}"
key_file = "{self.key_file}"
state_dir = "{self.state_dir}"
socket = "{self.socket}"
pin_path = "{self.pin_path}"
[tables]
flows = {self.flows}
counted_sources = {self.lab.options.counted_sources}
{self.extra_tables}
[tier]
peers = {json_module.dumps([lb.address for lb in self.lab.lbs
                            if lb is not self])}
{self.extra_config}""")

    def start_daemon(self, binary: pathlib.Path | str | None = None, *,
                     ready: bool = True) -> Child:
        if self.daemon is not None and self.daemon.running():
            raise LabError(f"{self.name}: fairleadd is already running")
        self.write_config()
        binary = binary or self.lab.binary("daemon/fairleadd")
        self.daemon = self.start(
            "fairleadd", [binary, "--config", self.config])
        if ready:
            self.wait_ready()
        return self.daemon

    def wait_ready(self, timeout: float = 20) -> None:
        """Until the control socket listens and `fairlead status` succeeds."""
        if self.daemon is None:
            raise LabError(f"{self.name}: fairleadd was never started")
        wait_for_socket(self.daemon, self.socket, timeout)
        wait_until(
            lambda: self.cli("status", check=False).returncode == 0,
            timeout=timeout, what=f"{self.name}: fairlead status")

    def stop_daemon(self) -> int:
        return self.daemon.stop() if self.daemon else 0

    def kill9_daemon(self) -> None:
        if self.daemon:
            self.daemon.kill9()

    def restart_daemon(self, binary: pathlib.Path | str | None = None, *,
                       kill9: bool = False, ready: bool = True) -> Child:
        if kill9:
            self.kill9_daemon()
        else:
            self.stop_daemon()
        return self.start_daemon(binary, ready=ready)

    def lose_power(self) -> None:
        """What a crash of the whole host leaves: its state_dir, no more."""
        self.kill9_daemon()
        shutil.rmtree(self.pin_path, ignore_errors=True)

    def cli(self, *arguments: object, json: bool = False, check: bool = True,
            timeout: float = 60) -> Any:
        """`fairlead --socket S ARGUMENTS`: the finished process, or with
        `json` the parsed answer to `-o json`."""
        command = [self.lab.binary("cli/fairlead"), "--socket", self.socket,
                   *arguments, *(("-o", "json") if json else ())]
        done = self.run(*command, check=check, timeout=timeout)
        return json_module.loads(done.stdout) if json else done

    def insist(self, *arguments: object, json: bool = False) -> Any:
        """cli(), again while no daemon answers, or one that has just started
        and does not know enough: it may be killed at any moment, also after
        it has done what it was asked for."""
        words = (*arguments, *(("-o", "json") if json else ()))
        deadline = time.monotonic() + 30
        done = self.cli(*words, check=False)
        asked_again = False
        while (done.returncode in (_UNREACHABLE, _PRECONDITION)
               and time.monotonic() < deadline):
            asked_again = asked_again or done.returncode == _UNREACHABLE
            time.sleep(0.05)
            done = self.cli(*words, check=False)
        was_done = asked_again and any(text in done.stderr
                                       for text in _DONE_BEFORE)
        if done.returncode != 0 and not was_done:
            raise LabError(f"{self.name}: fairlead {' '.join(map(str, words))}"
                           f": exit {done.returncode}: {done.stderr.strip()}")
        return json_module.loads(done.stdout) if json else done


class WsServer:
    """One WebSocket server process on a backend."""

    def __init__(self, child: Child, call: Callable[..., dict[str, Any]],
                 port: int, health_port: int):
        """`call` asks the process something, see control.py."""
        self.child = child
        self.port = port
        self.health_port = health_port
        self._call = call

    def stats(self) -> dict[str, Any]:
        """accepts (WebSocket connections), tcp_accepts (probes too), live,
        messages, http_requests, health, incarnation."""
        return self._call("stats")

    def set_health(self, status: int) -> None:
        """What GET /healthz answers, on the health port and on the port."""
        self._call("health", status=status)

    def set_upgrades(self, taken: bool) -> None:
        """Whether it takes new WebSockets; those that it has go on, and
        GET /healthz answers as before."""
        self._call("upgrades", taken=taken)

    def stop(self) -> None:
        self.child.stop()

    def kill9(self) -> None:
        self.child.kill9()


class Backend(LinkedHost):
    """Holds the VIPs on lo; runs the agent and the WebSocket servers."""

    def __init__(self, lab: Lab, link: Link):
        super().__init__(lab, link)
        self.config = self.directory / "agent.toml"
        self.key_file = lab.key_file
        self.state_dir = self.directory / "state"
        self.state_dir.mkdir(mode=0o700)
        self.extra_config = ""  # Appended to agent.toml at the next start.
        self.agent: Child | None = None
        self.servers: dict[int, WsServer] = {}

    def _raise(self) -> None:
        super()._raise()
        netns.add_vips(self.netns)
        netns.default_routes(self.netns, self.link,
                             advmss=self.lab.options.advmss)

    def write_config(self) -> None:
        lbs = json_module.dumps([address for lb in self.lab.lbs
                                 for address in (lb.address, lb.address6)])
        self.config.write_text(f"""[agent]
interface = "eth0"
address = "{self.address}"
address6 = "{self.address6}"
listen = ["{self.address}:{AGENT_PORT}", "[{self.address6}]:{AGENT_PORT}"]
lbs = {lbs}
key_file = "{self.key_file}"
pin_path = "{self.pin_path}"
state_dir = "{self.state_dir}"
{self.extra_config}""")

    def _agent_command(self, verb: str,
                       binary: pathlib.Path | str | None) -> list[object]:
        self.write_config()
        binary = binary or self.lab.binary("agent/fairlead-agent")
        return [binary, verb, "--config", self.config]

    def start_agent(self, binary: pathlib.Path | str | None = None, *,
                    ready: bool = True) -> Child:
        if self.agent is not None and self.agent.running():
            raise LabError(f"{self.name}: fairlead-agent is already running")
        self.agent = self.start("fairlead-agent",
                                self._agent_command("run", binary))
        if ready:
            self.wait_agent()
        return self.agent

    def wait_agent(self, timeout: float = 20) -> None:
        """Until the agent listens on both addresses of its report port."""
        if self.agent is None:
            raise LabError(f"{self.name}: fairlead-agent was never started")

        def listening() -> bool:
            self.agent.require_running()
            # The sockets of one that was killed may be there for a while.
            sockets = self.run("ss", "-Hltnp", "sport", "=",
                               f":{AGENT_PORT}").stdout
            return sockets.count(f"pid={self.agent.pid},") >= 2

        wait_until(listening, timeout=timeout,
                   what=f"{self.name}: fairlead-agent on port {AGENT_PORT}")

    def check_agent(self, binary: pathlib.Path | str | None = None
                    ) -> subprocess.CompletedProcess[str]:
        return self.run(*self._agent_command("check", binary), check=False)

    def stop_agent(self) -> int:
        return self.agent.stop() if self.agent else 0

    def kill9_agent(self) -> None:
        if self.agent:
            self.agent.kill9()

    def restart_agent(self, binary: pathlib.Path | str | None = None, *,
                      kill9: bool = False) -> Child:
        if kill9:
            self.kill9_agent()
        else:
            self.stop_agent()
        return self.start_agent(binary)

    def connections(self, vip: str) -> int:
        """Those through the VIP, until the last acknowledgement. (Health checks
        come to other addresses.)"""
        source = f"[{vip}]" if ":" in vip else vip
        return len(self.run("ss", "-Htn", "state", "connected", "exclude",
                            "time-wait", "src", source).stdout.splitlines())

    def start_server(self, port: int = 8080,
                     health_port: int | None = None) -> WsServer:
        """Dual stack, on every address, the VIPs included. The health port
        is `port` + 1 by default."""
        path = self.directory / f"ws{port}.sock"
        child = self._run_server(port, health_port or port + 1, path)
        wait_for_socket(child, path, timeout=20)
        self.servers[port] = WsServer(child, partial(control.call, path), port,
                                      health_port or port + 1)
        return self.servers[port]

    def _run_server(self, port: int, health_port: int,
                    path: pathlib.Path) -> Child:
        return self.module(
            f"ws{port}", "ws_server", "--name", self.name, "--port", port,
            "--health-port", health_port, "--control", path)

    def verdicts(self) -> dict[str, int]:
        """Of the agent's program: {name: packets}."""
        return bpf_maps.verdicts(self.pin_path, "AGENT")
