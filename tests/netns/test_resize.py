"""A daemon that starts with another size of the flow table takes its flows over
while they are in use. The service carries no hop lists: a flow that was missed
would go to another backend than its own, as often as not, and break."""

import random
import time

from lab import LabOptions
from lab.bpf_maps import flows
from lab.processes import wait_until
from lab.testcase import LabTestCase, main

PORT = 8080
SIZES = (16384, 524288, 4096, 65536)


class ResizeTest(LabTestCase):
    lab_name = "fltsize"
    lab_options = LabOptions(lbs=1, backends=3, flows=65536)

    def setUp(self) -> None:
        super().setUp()
        lab = self.lab
        for backend in lab.backends:
            if PORT not in backend.servers:
                backend.start_server(PORT)
                backend.start_agent()
        self.lb = lab.lbs[0]
        self.lb.flows = 65536
        self.lb.start_daemon()
        self.lb.cli("service", "add", "ws", f"{lab.vip}:{PORT}", "--policy",
                    "least-conn", "--choices", "3", "--check", "none",
                    "--guarantee", "flow-table")
        for backend in lab.backends:
            self.lb.cli("backend", "add", "ws", backend.address, "--name",
                        backend.name)
        wait_until(lambda: self.lb.cli("service", "show", "ws", json=True)[
            "service"]["available"] == len(lab.backends), timeout=20,
            what="all available")
        self.fleet = lab.client.start_fleet()

    def tearDown(self) -> None:
        self.fleet.close(state="alive")
        self.fleet.stop()
        # What is left of them would be a miss of the next test.
        wait_until(lambda: not self.lab.client.run(
            "ss", "-Htan", "exclude", "time-wait", "dst",
            self.lab.vip).stdout, timeout=30, what="the clients' last words")
        self.lb.cli("service", "delete", "ws", "--force", check=False)
        self.lb.cli("node", "detach", "--force", check=False)
        self.lb.stop_daemon()
        super().tearDown()

    def misses(self) -> int:
        return next(v["count"] for v in self.lb.cli(
            "verdicts", json=True)["verdicts"] if v["name"] == "TX_MISS")

    def size(self) -> int:
        return self.lb.cli("status", json=True)["tables"]["flows"]["size"]

    def assert_whole(self) -> None:
        report = self.fleet.verify(within=30)
        self.assertEqual(report["broken"], 0, report)
        self.assertEqual(report["alive"], report["opened"], report)

    def open_all(self) -> None:
        report = self.fleet.open(self.lab.vip, PORT, echo=150, silent=50,
                                 interval=0.1)
        # Some are not where a miss would look for them.
        self.assertEqual(len(report["backends"]), 3, report)
        self.assertEqual(report["broken"], 0, report)

    def test_another_size_under_traffic_breaks_nothing(self) -> None:
        self.open_all()
        self.fleet.start_churn(self.lab.vip, PORT, rate=50)
        before = flows(self.lb.pin_path)
        for number, size in enumerate(SIZES):
            self.lb.flows = size
            self.lb.restart_daemon(kill9=number % 2 == 0)
            self.assertEqual(self.size(), size)
            self.assertIn("flows moved from", self.lb.daemon.log_tail(200))
            found = flows(self.lb.pin_path)
            for tag, backend in before.items():
                self.assertEqual(found.get(tag), backend)
        wait_until(lambda: self.fleet.churn_report()["ok"] > 100, timeout=30,
                   what="100 short connections")
        churn = self.fleet.stop_churn()
        self.assertEqual(churn["failed"], 0, churn)
        self.assert_whole()
        self.assertEqual(self.misses(), 0)

    def kill_in_a_move(self) -> bool:
        """Starts a daemon and kills it soon after the new tables have come
        into force; whether the old ones were still there."""
        self.lb.start_daemon(ready=False)
        folder = self.lb.pin_path / "from_v5"
        deadline = time.monotonic() + 3
        while not folder.exists() and time.monotonic() < deadline:
            pass
        time.sleep(random.uniform(0, 0.03))
        self.lb.kill9_daemon()
        return folder.exists()

    def kill_sometime(self) -> bool:
        self.lb.start_daemon(ready=False)
        time.sleep(random.uniform(0, 0.3))
        self.lb.kill9_daemon()
        return False

    def test_a_kill_in_the_midst_of_a_move_breaks_nothing(self) -> None:
        self.open_all()
        in_time = 0
        for number in range(12):
            self.lb.kill9_daemon()
            self.lb.flows = SIZES[number % len(SIZES)]
            in_time += (self.kill_sometime() if number % 3 == 0
                        else self.kill_in_a_move())
            # Without a daemon, by whichever tables are in force.
            report = self.fleet.open(self.lab.vip, PORT, echo=5, interval=0.1)
            self.assertEqual(report["broken"], 0, report)
            self.assert_whole()
            # With the same size, the one before, or yet another.
            self.lb.flows = SIZES[(number + number % 3) % len(SIZES)]
            self.lb.start_daemon()
            self.assertEqual(self.size(), self.lb.flows)
            # No tables of the size before, beside what checks have.
            self.assertEqual({p.name for p in self.lb.pin_path.iterdir()},
                             {"v5", "probe"})
            self.assert_whole()
        self.assertGreater(in_time, 0)
        self.assertEqual(self.misses(), 0)


if __name__ == "__main__":
    main()
