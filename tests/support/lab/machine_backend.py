"""A backend of the lab that is a virtual machine: a kernel of its own, with
its own SYN cookie secret, and XDP on another driver than veth."""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
import subprocess
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from . import netns
from .addressing import Link
from .errors import LabError
from .hosts import Backend, WsServer
from .processes import Child, in_netns, wait_until
from .vm import Kernel, Machine, MachineChild, MachineOptions

if TYPE_CHECKING:
    from .lab import Lab

# In the machine, where Unix sockets work; the shared folder has none.
_SOCKETS = pathlib.Path("/run")


class MachineBackend(Backend):
    """Boots while others are made; of use after wait_booted(). Its namespace
    is one inside the machine."""

    machine: Machine

    def __init__(self, lab: Lab, link: Link, kernel: Kernel):
        self._kernel = kernel
        super().__init__(lab, link)
        self.key_file = pathlib.Path(
            shutil.copy2(lab.key_file, self.directory))

    def _raise(self) -> None:
        lab, link = self.lab, self.link
        netns.add_tap(lab.router.netns, link, mtu=lab.options.mtu)
        self.machine = Machine(self._kernel, self.directory, MachineOptions(
            cpus=1, netns=lab.router.netns, tap=link.host, mac=link.mac))
        # What runs in it needs no end of its own.
        self.children.append(self.machine.child)

    def wait_booted(self) -> None:
        self.machine.wait_booted()
        self.machine.call("backend", netns=self.netns,
                          link=dataclasses.asdict(self.link),
                          advmss=self.lab.options.advmss)

    def end(self) -> None:
        self.machine.end()

    def run(self, *command: object, check: bool = True,
            timeout: float = 60) -> subprocess.CompletedProcess[str]:
        return self.machine.run(
            in_netns(self.netns, [str(word) for word in command]),
            check=check, timeout=timeout)

    def start(self, name: str, command: Sequence[object], *,
              env: dict[str, str] | None = None) -> Child:
        return MachineChild(
            self.machine, f"{self.name}/{name}",
            in_netns(self.netns, [str(word) for word in command]),
            self.directory / f"{name}.log", env=env)

    def start_server(self, port: int = 8080,
                     health_port: int | None = None) -> WsServer:
        path = _SOCKETS / f"ws{port}.sock"
        child = self._run_server(port, health_port or port + 1, path)
        server = WsServer(child, partial(self._control, path), port,
                          health_port or port + 1)

        def answers() -> bool:
            child.require_running()
            try:
                server.stats()
            except LabError:
                return False
            return True

        wait_until(answers, timeout=60, what=f"{child.name} on {path}",
                   interval=0.2)
        self.servers[port] = server
        return server

    def verdicts(self) -> dict[str, int]:
        return self.machine.call("verdicts", pins=str(self.pin_path),
                                 which="AGENT")

    def _control(self, path: pathlib.Path, command: str,
                 **arguments: Any) -> dict[str, Any]:
        return self.machine.call("control", path=str(path), request=command,
                                 arguments=arguments)
