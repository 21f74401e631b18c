"""An LB host that has never seen a flow: every segment is a miss, the hop list
finds the owner, and the agents' reports make it a hit."""

from lab import LabOptions, services
from lab.processes import wait_until
from lab.testcase import LabTestCase, main

PORT = 8080


class FailoverTest(LabTestCase):
    lab_name = "fltfo"
    lab_options = LabOptions(lbs=2, backends=4)

    def verdict(self, lb, name: str) -> int:
        verdicts = lb.cli("verdicts", json=True)["verdicts"]
        return next(v["count"] for v in verdicts if v["name"] == name)

    def count(self, lb, *fields: str) -> int:
        return sum(backend[field] for name in ("ws", "ws6") for backend in
                   lb.cli("backend", "list", name, json=True)["backends"]
                   for field in fields)

    def recorded(self, lb) -> int:
        return self.count(lb, "active")

    def load(self, lb) -> int:
        return self.count(lb, "active", "pending", "elsewhere")

    def test_connections_survive_the_move_to_another_lb_host(self) -> None:
        lab = self.lab
        lab.start_servers(PORT)
        lab.start_fairlead()
        first, second = lab.lbs
        both = services.both_families("ws", lab.vips[0], PORT)
        services.add_services(lab.lbs, both, "--policy", "least-conn",
                              "--check-interval", "500ms", "--check-timeout",
                              "400ms")
        # Numbered differently on each LB host.
        services.add_backends([first], both, lab.backends)
        services.add_backends([second], both, lab.backends[::-1])
        services.wait_available(lab.lbs, both, 4)
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
        # What the agents count is load here, recorded or not, by two polls.
        wait_until(lambda: abs(self.load(second) - 200) <= 2, timeout=3,
                   what="the load of 200 connections")
        report = fleet.verify(within=30)
        self.assertEqual(report["broken"], 0, report)
        self.assertEqual(report["verified"], 200)
        self.assertGreater(self.verdict(second, "TX_MISS"), 0)
        # The agents have told where each flow is, and the flow table has it.
        wait_until(lambda: self.recorded(second) == 200, timeout=10,
                   what="200 recorded flows")
        before = {name: self.verdict(second, name)
                  for name in ("TX_MISS", "TX_HIT")}
        self.assertEqual(fleet.verify(within=30)["verified"], 200)
        self.assertEqual(self.verdict(second, "TX_MISS"), before["TX_MISS"])
        self.assertGreater(self.verdict(second, "TX_HIT"),
                           before["TX_HIT"] + 200)
        self.assertLessEqual(abs(self.load(second) - 200), 2)
        # One agent, asked at both of its addresses.
        alarms = second.cli("status", json=True)["alarms"]
        self.assertEqual([a for a in alarms if "LB host lb1" not in a], [])


if __name__ == "__main__":
    main()
