#!/usr/bin/python3
"""The demonstration itself; tools/demo prepares the machine and calls this.

A client, a router, an LB host and three backends in network namespaces, with
IPv4 and IPv6. Hundreds of WebSocket connections are opened through the VIP;
while they talk, one backend is drained, one added, the daemon killed, and one
backend killed. At the end every connection has to answer.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import time
from typing import Any

_TESTS = pathlib.Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(_TESTS / "support"), str(_TESTS / "netns")]

import torture.run  # noqa: E402
from lab import Lab, LabOptions  # noqa: E402
from lab.processes import wait_until  # noqa: E402
from lab.progress import during, say  # noqa: E402

NAME = "demo"
PORT = 8080


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tools/demo", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("tour", "torture"),
                        default="tour", help="the tour (default), or the "
                        "torture test: everything that may happen to the LB "
                        "tier, and no connection breaks")
    parser.add_argument("--case", action="append", default=[], metavar="N",
                        help="of the torture test: only this one, repeatable")
    parser.add_argument("--connections", type=int, default=400, metavar="N",
                        help="WebSocket connections (default 400)")
    parser.add_argument("--keep", action="store_true",
                        help="leave the lab up at the end and say how to play "
                             "in it")
    return parser.parse_args()


def step(number: int, text: str) -> None:
    say(f"\n== {number}. {text}")


class Demo:
    def __init__(self, lab: Lab, connections: int):
        self.lab = lab
        self.lb = lab.lbs[0]
        self.connections = connections
        self.fleet = lab.client.start_fleet()

    # --- what the operator types, and sees ---

    def fairlead(self, *arguments: object) -> None:
        say(f"$ fairlead {' '.join(map(str, arguments))}")
        done = self.lb.cli(*arguments, check=False)
        for line in (done.stdout + done.stderr).splitlines():
            say(f"  {line}")
        if done.returncode != 0:
            raise SystemExit(f"fairlead exited with {done.returncode}")

    def show(self) -> None:
        """The operator's view, once the agents have counted all that lives."""
        alive = self.fleet.report()["alive"]

        def counted() -> bool:
            return sum(
                backend["agent"]["live_sockets"] for service in ("ws", "ws6")
                for backend in self.lb.cli("service", "show", service,
                                           json=True)["service"]["backends"]
            ) >= alive

        during("waiting for the agents' next count",
               lambda: wait_until(counted, timeout=15, what="the agents count"))
        for service in ("ws", "ws6"):
            self.fairlead("backend", "list", service)

    def backend(self, service: str, name: str) -> dict[str, Any]:
        return self.lb.cli("backend", "show", service, name,
                           json=True)["backend"]

    def wait_up(self, *names: str) -> None:
        def up() -> bool:
            return all(self.backend(service, name)["eligible"]
                       for service in ("ws", "ws6") for name in names)

        during("waiting for health checks and agents",
               lambda: wait_until(up, timeout=30, what="backends up"))

    # --- the steps ---

    def build_services(self) -> None:
        lab = self.lab
        check = ("--policy", "least-conn", "--check", "http", "--check-path",
                 "/healthz", "--check-interval", "1s")
        self.fairlead("service", "add", "ws", f"{lab.vip}:{PORT}", *check)
        self.fairlead("service", "add", "ws6", f"[{lab.vip6}]:{PORT}", *check)
        for backend in lab.backends:
            self.add(backend)
        self.wait_up(*(backend.name for backend in lab.backends))
        self.show()

    def add(self, backend: Any) -> None:
        # One service reaches its backends over IPv6 and carries IPv6 in it,
        # the other one IPv4 in IPv4.
        self.fairlead("backend", "add", "ws", backend.address, "--name",
                      backend.name)
        self.fairlead("backend", "add", "ws6", backend.address6, "--name",
                      backend.name)

    def open(self, count: int, group: str) -> None:
        """A quarter silent, half over IPv6."""
        lab = self.lab
        for vip in (lab.vip, lab.vip6):
            half = count // 2
            during(f"opening {half} connections to {vip}", lambda v=vip: (
                self.fleet.open(v, PORT, echo=half - half // 4,
                                silent=half // 4, interval=1.0, group=group)))
        self.tell(self.fleet.report())

    def tell(self, report: dict[str, Any]) -> None:
        say(f"  connections: {report['opened']} opened, {report['alive']} "
            f"alive, {report['broken']} broken")
        for name, counts in sorted(report["backends"].items()):
            say(f"    on {name}: {counts['alive']} alive, {counts['broken']} "
                "broken")

    def accepts(self, name: str) -> int:
        return self.lab.host(name).servers[PORT].stats()["accepts"]

    def drain(self, name: str) -> None:
        for service in ("ws", "ws6"):
            self.fairlead("backend", "drain", service, name)
        self.accepts_at_drain = self.accepts(name)

    def kill_daemon(self) -> None:
        say("$ kill -9 $(pidof fairleadd)")
        self.lb.kill9_daemon()
        self.open(self.connections // 8, "without-daemon")
        say("$ systemctl start fairleadd")
        during("starting fairleadd", self.lb.start_daemon)

    def kill_server(self, name: str) -> None:
        say(f"$ kill -9 $(pidof websocket-server)      # on {name}")
        self.lab.host(name).servers[PORT].kill9()

        def down() -> bool:
            return all(self.backend(service, name)["state"] == "down"
                       for service in ("ws", "ws6"))

        during(f"waiting until the checks of {name} have failed",
               lambda: wait_until(down, timeout=30, what=f"{name} down"))


def run(lab: Lab, connections: int) -> int:
    step(1, "An LB host and three backends with agents; no traffic yet")
    lab.start_servers(PORT)
    during("starting fairleadd and the agents", lab.start_fairlead)
    demo = Demo(lab, connections)
    drained, killed = lab.backends[1].name, lab.backends[2].name
    demo.fairlead("status")

    step(2, "A service over IPv4 and one over IPv6, three backends each")
    demo.build_services()

    step(3, f"{connections} WebSocket connections through the VIPs")
    demo.open(connections, "first")
    demo.show()

    step(4, f"{drained} drains while they talk; new connections arrive")
    demo.drain(drained)
    demo.open(connections // 4, "during-drain")
    demo.show()

    step(5, "A fourth backend joins")
    added = during("raising a backend", lab.add_backend)
    added.start_server(PORT)
    added.start_agent()
    demo.add(added)
    demo.wait_up(added.name)
    demo.open(connections // 4, "after-join")
    demo.show()

    step(6, "The daemon is killed, connections are opened without it, and it "
            "comes back")
    demo.kill_daemon()
    demo.fairlead("status")

    step(7, f"The server process on {killed} is killed")
    demo.kill_server(killed)
    demo.open(connections // 8, "after-kill")
    demo.show()

    step(8, f"What is left on {drained} ends by itself")
    new_on_drained = demo.accepts(drained) - demo.accepts_at_drain
    say(f"  {demo.fleet.close(backend=drained)} clients of {drained} say "
        "goodbye")
    for service in ("ws", "ws6"):
        during("waiting for the drain to end", lambda s=service: demo.fairlead(
            "backend", "drain", s, drained, "--wait", "--timeout", "30s"))
    demo.show()

    step(9, "Does everybody answer, the silent ones too?")
    report = during("every connection echoes once",
                    lambda: demo.fleet.verify(within=30))
    return summary(demo, report, drained, killed, new_on_drained)


def summary(demo: Demo, report: dict[str, Any], drained: str, killed: str,
            new_on_drained: int) -> int:
    by_kill = report["backends"].get(killed, {}).get("broken", 0)
    others = report["broken"] - by_kill
    demo.fairlead("verdicts")
    say("\n== Summary")
    say(f"  connections opened        {report['opened']:>6}")
    say(f"  alive                     {report['alive']:>6}")
    say(f"  closed by their clients   {report['closed']:>6}")
    reasons = ", ".join(f"{count} {reason}"
                        for reason, count in report["reasons"].items())
    say(f"  broken                    {report['broken']:>6}   {reasons}")
    say(f"    by the kill             {by_kill:>6}   all on {killed}, whose "
        "server process died")
    say(f"    otherwise               {others:>6}")
    say(f"  new on {drained} after its drain {new_on_drained:>5}   by its own "
        "accepts")
    good = others == 0 and new_on_drained == 0 and report["alive"] > 0
    say("  " + ("Nothing that the load balancer did broke a connection."
                if good else "THIS SHOULD NOT HAVE HAPPENED"))
    return 0 if good else 1


def keep(lab: Lab) -> None:
    lb = lab.lbs[0]
    say(f"""
The lab stays. Namespaces are called {NAME}-cl, {NAME}-rt, {NAME}-lb1, {NAME}-b1 ...:
  export FAIRLEAD_SOCKET={lb.socket}
  {lab.binary("cli/fairlead")} backend list ws
  tools/lab --help                              # `tools/lab exec` runs commands on a host
  tools/lab exec --name {NAME} client curl http://{lab.vip}:{PORT}/healthz
  tools/lab down --name {NAME}                    # removes it""")
    lab.leave_running()


def main() -> int:
    arguments = parse()
    if arguments.what == "torture":
        return torture.run.run(arguments.case)
    options = LabOptions(lbs=1, backends=3,
                         may_outlive_owner=arguments.keep)
    begun = time.monotonic()
    say("Raising the lab")
    with Lab(NAME, options) as lab:
        code = run(lab, arguments.connections)
        say(f"  took {time.monotonic() - begun:.0f} s")
        if arguments.keep:
            keep(lab)
    return code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        say("\ninterrupted; the lab is gone")
        sys.exit(130)
