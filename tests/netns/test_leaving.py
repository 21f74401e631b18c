"""A backend that is deleted on one LB host long before it is on the other."""

from __future__ import annotations

import time

from lab import LabOptions, services, wait_until
from lab.fleet import Fleet
from lab.testcase import LabTestCase, main

PORT = 8080


class LeavingTest(LabTestCase):
    lab_name = "fltleave"
    lab_options = LabOptions(lbs=2, backends=2)

    def names(self, lb, service: services.Service) -> set[str]:
        return {one["name"] for one in services.shown(lb, service)["backends"]}

    def test_it_stays_known_until_all_have_deleted_it(self) -> None:
        lab = self.lab
        first, second = lab.lbs
        lab.start_servers(PORT)
        lab.start_fairlead()
        both = services.both_families("ws", lab.vips[0], PORT)
        services.add_services(lab.lbs, both, "--policy", "least-conn",
                              "--check-interval", "500ms", "--check-timeout",
                              "400ms")
        services.add_backends(lab.lbs, both, lab.backends)
        services.wait_available(lab.lbs, both, 2)

        # Nobody is connected to it; its agent says so again and again.
        for service in both:
            first.cli("backend", "drain", service.name, "b1")
            first.cli("backend", "delete", service.name, "b1")
        end = time.monotonic() + 10
        wait_until(lambda: time.monotonic() > end or not any(
            "b1" in self.names(first, service) for service in both),
            timeout=20, what="time to let it go")
        # The other host still offers it connections.
        lab.route_vips([second])
        fleet = lab.client.start_fleet()
        self.assertIn("b1", self.open(fleet, both))
        for service in both:
            second.cli("backend", "drain", service.name, "b1")
            second.cli("backend", "delete", service.name, "b1")
        for lb in lab.lbs:
            for service in both:
                wait_until(lambda b=lb, s=service: not services.shown(b, s)[
                    "unsettled"], timeout=30, what=f"{lb.name} settled")
        lab.route_vips([first])
        report = fleet.verify(within=10)
        self.assertEqual((report["verified"], report["broken"]), (80, 0),
                         report)
        # Only the first host sees them end.
        lab.client.run("ss", "-K", "dst", lab.vips[0][0])
        lab.client.run("ss", "-K", "dst", f"[{lab.vips[0][1]}]")
        for lb in lab.lbs:
            for service in both:
                wait_until(lambda b=lb, s=service: self.names(b, s) == {"b2"},
                           timeout=30, what=f"b1 gone from {lb.name}")

        # Its host is put away; the client uses its ports again.
        lab.host("b1").run("ip", "link", "set", "dev", "eth0", "down")
        lab.route_vips([second])
        self.assertEqual(self.open(fleet, both, group="again",
                                   connect_timeout=20), {"b2"})
        report = fleet.verify(within=10, group="again")
        self.assertEqual((report["verified"], report["broken"]), (80, 0),
                         report)

    def open(self, fleet: Fleet, both: list[services.Service],
             **settings: object) -> set[str]:
        """Connections from the same ports each time; to which backends."""
        backends = set()
        for number, service in enumerate(both):
            report = fleet.open(service.vip, PORT, silent=40,
                                local_port=5000 + 100 * number, **settings)
            self.assertEqual(report["alive"], 40, report)
            backends |= set(report["backends"])
        return backends


if __name__ == "__main__":
    main()
