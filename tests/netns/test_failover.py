"""An LB host that has never seen a flow: every segment is a miss, and the hop
list finds the owner."""

from lab import LabOptions
from lab.processes import wait_until
from lab.testcase import LabTestCase, main

PORT = 8080


class FailoverTest(LabTestCase):
    lab_name = "fltfo"
    lab_options = LabOptions(lbs=2, backends=4)

    def verdict(self, lb, name: str) -> int:
        verdicts = lb.cli("verdicts", json=True)["verdicts"]
        return next(v["count"] for v in verdicts if v["name"] == name)

    def test_connections_survive_the_move_to_another_lb_host(self) -> None:
        lab = self.lab
        for backend in lab.backends:
            backend.start_server(PORT)
        lab.start_fairlead()
        first, second = lab.lbs
        for lb in (first, second):
            for name, vip in (("ws", f"{lab.vip}:{PORT}"),
                              ("ws6", f"[{lab.vip6}]:{PORT}")):
                lb.cli("service", "add", name, vip, "--policy", "least-conn",
                       "--check-interval", "500ms", "--check-timeout",
                       "400ms")
                # Numbered differently on each LB host.
                order = lab.backends if lb is first else lab.backends[::-1]
                for backend in order:
                    address = (backend.address if name == "ws"
                               else backend.address6)
                    lb.cli("backend", "add", name, address, "--name",
                           backend.name)
            wait_until(lambda: all(
                lb.cli("service", "show", name, json=True)["service"][
                    "available"] == 4 for name in ("ws", "ws6")),
                timeout=30, what="four up")
        lab.route_vips([first])
        fleet = lab.client.start_fleet()
        for vip in (lab.vip, lab.vip6):
            fleet.open(vip, PORT, echo=80, silent=20, interval=0.3)
        self.assertEqual(self.verdict(second, "TX_SYN_NEW"), 0)
        # Half of the fleet drains, then the LB host goes.
        for name in ("ws", "ws6"):
            for lb in (first, second):
                for backend in ("b1", "b2"):
                    lb.cli("backend", "drain", name, backend)
        lab.route_vips([second])
        first.kill9_daemon()
        report = fleet.verify(within=30)
        self.assertEqual(report["broken"], 0, report)
        self.assertEqual(report["verified"], 200)
        self.assertGreater(self.verdict(second, "TX_MISS"), 0)


if __name__ == "__main__":
    main()
