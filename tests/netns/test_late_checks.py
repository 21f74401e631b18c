"""A daemon that does not get to run for half a minute, under 5,000 checks of
servers that are well: what its checks missed meanwhile takes nobody out.

One host has all the servers' addresses. Half of the checks are by TCP, the
others by WebSocket to a server that takes a second to agree: hundreds of those
are under way when the daemon is stopped, with their ping still to be sent. One
failure would take a backend out.
"""

import json
import os
import signal
import time

from lab import LabOptions
from lab.processes import wait_until
from lab.testcase import PORT, LabTestCase, main

SERVICES, BACKENDS = 10, 500
INTERVAL, TIMEOUT = 10, 3
STOPPED = 30
NET = "2001:db8:5ca1:e::"
VIPS = "2001:db8:5ca1:f::"


class LateChecksTest(LabTestCase):
    lab_name = "fltlate"
    lab_options = LabOptions(lbs=1, backends=1)

    def setUp(self) -> None:
        super().setUp()
        self.lb = self.lab.lbs[0]
        self.lb.extra_tables = "backends = 8192"
        host = self.lab.backends[0]
        host.run("ip", "-6", "route", "add", "local", f"{NET}/64", "dev", "lo")
        host.run("sysctl", "-qw", "net.core.somaxconn=4096")
        host.module("slow_ws", "slow_ws", "--port", PORT)
        self.lab.router.run("ip", "-6", "route", "add", f"{NET}/64", "via",
                            host.address6)
        self.lb.start_daemon()

    def tearDown(self) -> None:
        self.lb.stop_daemon()
        super().tearDown()

    def configure(self) -> None:
        """All at once: one service of one backend, many times."""
        self.lb.cli("service", "add", "s0", f"[{VIPS}1]:{PORT}", "--rows",
                    32768, "--agent-port", 0, "--fall", 1, "--check", "ws",
                    "--check-interval", f"{INTERVAL}s", "--check-timeout",
                    f"{TIMEOUT}s")
        self.lb.cli("backend", "add", "s0", f"{NET}1")
        self.lb.stop_daemon()
        file = self.lb.state_dir / "desired.json"
        state = json.loads(file.read_text())
        model = json.dumps(state["services"][0])
        state["services"] = [self.service(json.loads(model), number)
                             for number in range(SERVICES)]
        file.write_text(json.dumps(state))
        self.lb.start_daemon()

    def service(self, service: dict, number: int) -> dict:
        service |= {"id": number + 1, "name": f"s{number}",
                    "vip": f"[{VIPS}{number + 1:x}]:{PORT}",
                    "rows_base": number * service["rows"]}
        service["check"]["type"] = "ws" if number % 2 else "tcp"
        backend, = service["backends"]
        first = number * BACKENDS + 1
        service["backends"] = [
            backend | {"id": at, "name": f"b{at}", "address": f"{NET}{at:x}"}
            for at in range(first, first + BACKENDS)]
        return service

    def states(self) -> dict[str, int]:
        count: dict[str, int] = {}
        for number in range(SERVICES):
            shown = self.lb.cli("service", "show", f"s{number}", json=True)
            for backend in shown["service"]["backends"]:
                count[backend["state"]] = count.get(backend["state"], 0) + 1
        return count

    def events(self, since: int = 0) -> list[dict]:
        """All of them; the daemon answers a part at once."""
        events: list[dict] = []
        while more := self.lb.cli(
                "events", "--since", events[-1]["seq"] if events else since,
                json=True)["events"]:
            events += more
        return events

    def established(self) -> int:
        shown = self.lb.run("ss", "-H6tn", "state", "established", "dst",
                            f"{NET}/64")
        return len(shown.stdout.splitlines())

    def test_half_a_minute_without_a_cpu_takes_nobody_out(self) -> None:
        self.configure()
        everybody = {"up": SERVICES * BACKENDS}
        wait_until(lambda: self.states() == everybody, timeout=60, interval=1,
                   what="all are up")
        before = self.events()[-1]["seq"]
        under_way = self.established()
        daemon = self.lb.daemon.pid
        os.kill(daemon, signal.SIGSTOP)
        try:
            time.sleep(STOPPED)
        finally:
            os.kill(daemon, signal.SIGCONT)
        self.assertGreater(under_way, 100)
        # Every check has had its turn, those that were repeated too.
        end = time.monotonic() + 2.5 * INTERVAL
        while time.monotonic() < end:
            self.assertEqual(self.states(), everybody, self.events(before))
            time.sleep(1)
        self.assertEqual(self.events(before), [])
        alarms = self.lb.cli("status", json=True)["alarms"]
        told = [alarm for alarm in alarms if "did not get to run for" in alarm]
        self.assertEqual(len(told), 1, alarms)
        self.assertRegex(told[0], r"for (29|3\d)(\.\d+)?s, until \d+s ago")
        # They do look: one that goes is taken out.
        self.lab.router.run("ip", "-6", "route", "add", "unreachable",
                            f"{NET}1/128")
        wait_until(lambda: self.states().get("down") == 1,
                   timeout=2 * INTERVAL + TIMEOUT, interval=0.5,
                   what="a backend that is gone is down")


if __name__ == "__main__":
    main()
