"""How evenly real connections spread: a hundred backends behind two LB hosts,
with agents whose reports are a second or two old, policy least-conn.
"""

from __future__ import annotations

import concurrent.futures
import math
import pathlib
import time

from lab import LabOptions, control, netns, wait_until
from lab.fleet import wait_for_socket
from lab.testcase import LabTestCase, main

PORT = 8080
BACKENDS = 100
PER_BACKEND = 300
PROCESSES = 2  # On either side: one may have too few open files for all.
CHOICES = 2
SOURCES = [f"192.0.2.{number}" for number in range(101, 117)]


class BalanceTest(LabTestCase):
    lab_name = "fltbal"
    lab_options = LabOptions(lbs=2, backends=BACKENDS + 1, flows=131072,
                             tcp_buckets=4096)

    def each_lb(self, *words: object) -> None:
        for lb in self.lab.lbs:
            lb.cli(*words)

    def start(self) -> None:
        lab = self.lab
        # The daemons wait for them: a backend without an agent takes nothing.
        for backend in lab.backends:
            backend.start_agent(ready=False)
        for lb in lab.lbs:
            lb.start_daemon()
        # With few addresses, most ports would be those of connections that
        # have just ended, and go to the same backends again.
        netns.ip_batch(lab.client.netns, *(
            f"address add {source}/24 dev eth0" for source in SOURCES))
        self.farms = [self.start_farm(number) for number in range(PROCESSES)]
        self.crowds = [self.start_crowd(number) for number in range(PROCESSES)]

    def start_farm(self, number: int) -> pathlib.Path:
        """The servers of every PROCESSES-th backend."""
        path = self.lab.directory / f"farm{number}.sock"
        child = self.lab.router.module(
            f"farm{number}", "ws_farm", "--port", PORT, "--control", path,
            *(f"{b.name}={b.netns}"
              for b in self.lab.backends[number::PROCESSES]))
        wait_for_socket(child, path, timeout=30)
        return path

    def start_crowd(self, number: int) -> pathlib.Path:
        path = self.lab.directory / f"crowd{number}.sock"
        child = self.lab.client.module(
            f"crowd{number}", "ws_crowd", "--host", self.lab.vip, "--port",
            PORT, "--control", path, "--source", *SOURCES)
        wait_for_socket(child, path, timeout=30)
        return path

    def wait_for_rows(self, backends: int) -> None:
        """Until every backend is in all of its rows, on every LB host."""
        def complete(lb) -> bool:
            service = lb.cli("service", "show", "ws", json=True)["service"]
            return (service["available"] == backends
                    and service["rows_overflowed"] == 0)

        for lb in self.lab.lbs:
            wait_until(lambda lb=lb: complete(lb), timeout=90,
                       what=f"{backends} backends in their rows on {lb.name}")

    def serve(self, backends: list) -> None:
        for backend in backends:
            self.each_lb("backend", "add", "ws", backend.address, "--name",
                         backend.name)

    def stats(self) -> dict[str, dict[str, int]]:
        return {name: one for farm in self.farms
                for name, one in control.call(farm, "stats").items()}

    def max_over_mean(self, backends: int) -> float:
        live = [one["live"] for one in self.stats().values()]
        return max(live) * backends / sum(live)

    def move(self, command: str, count: int, rate: float) -> None:
        with concurrent.futures.ThreadPoolExecutor() as all_crowds:
            for report in all_crowds.map(lambda crowd: control.call(
                    crowd, command, count=count // PROCESSES,
                    rate=rate / PROCESSES, timeout=120), self.crowds):
                self.assertEqual(report["failed"], {}, report)

    def wait_for_all(self) -> None:
        wait_until(lambda: sum(
            control.call(crowd, "report")["members"] for crowd in self.crowds)
            == BACKENDS * PER_BACKEND, timeout=30, what="all connections")

    def say(self, what: str) -> None:
        print(f"{time.monotonic() - self.began:5.1f} s  {what}", flush=True)

    def test_a_hundred_backends_carry_the_same(self) -> None:
        self.began = time.monotonic()
        self.start()
        self.say("agents, daemons and servers are up")
        self.each_lb("service", "add", "ws", f"{self.lab.vip}:{PORT}",
                     "--policy", "least-conn", "--check-interval", "5s",
                     "--check-timeout", "4s")
        self.serve(self.lab.backends[:BACKENDS])
        self.wait_for_rows(BACKENDS)
        self.say(f"{BACKENDS} backends are in their rows")
        self.check_steady()
        self.check_fresh()
        self.check_restarts()

    def check_steady(self) -> None:
        self.move("grow", BACKENDS * PER_BACKEND, rate=1500)
        self.wait_for_all()
        self.say(f"grown: max/mean {self.max_over_mean(BACKENDS):.3f}")
        # As if they lived for five minutes.
        self.move("turn", 4000, rate=100)
        spread = self.max_over_mean(BACKENDS)
        self.say(f"4000 of them replaced: max/mean {spread:.3f}")
        self.assertLessEqual(spread, 1.04)

    def check_fresh(self) -> None:
        fresh = self.lab.backends[BACKENDS]
        self.serve([fresh])
        self.wait_for_rows(BACKENDS + 1)
        for _ in range(2):
            before = self.stats()
            self.move("turn", 2000, rate=200)
            after = self.stats()
            new = {name: after[name]["accepts"] - before[name]["accepts"]
                   for name in after}
            fair = sum(new.values()) / (BACKENDS + 1)
            self.say(f"the fresh backend: {new[fresh.name] / fair:.2f} times "
                     "its fair share of new connections")
            # Its rows are a share of chance as well: a tenth more.
            most = 1.1 * CHOICES * fair
            self.assertLessEqual(new[fresh.name], most + 4 * math.sqrt(most))

    def check_restarts(self) -> None:
        for crowd in self.crowds:
            control.call(crowd, "report", back_within=2)
        for number, backend in enumerate(self.lab.backends[:10]):
            farm = self.farms[number % PROCESSES]
            self.each_lb("backend", "drain", "ws", backend.name)
            control.call(farm, "stop", name=backend.name)
            control.call(farm, "start", name=backend.name)
            self.each_lb("backend", "ready", "ws", backend.name)
        self.wait_for_all()
        spread = self.max_over_mean(BACKENDS + 1)
        self.say(f"ten restarts: max/mean {spread:.3f}")
        self.assertLessEqual(spread, 1.3)


if __name__ == "__main__":
    main()
