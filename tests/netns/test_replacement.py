"""Five complete replacements of a service's backends within the life of its
connections: each set is added, the one before is drained and deleted at once,
and every time the connections move to an LB host that has not seen them.
"""

from lab import LabOptions, wait_until
from lab.testcase import LabTestCase, main

PORT = 8080
GENERATIONS = 6
SET = 2


class ReplacementTest(LabTestCase):
    lab_name = "fltrepl"
    lab_options = LabOptions(lbs=2, backends=GENERATIONS * SET)

    def generation(self, number: int) -> list:
        return self.lab.backends[number * SET:(number + 1) * SET]

    def add(self, lb, number: int) -> None:
        for backend in self.generation(number):
            lb.cli("backend", "add", "ws", backend.address, "--name",
                   backend.name)
            lb.cli("backend", "add", "ws6", backend.address6, "--name",
                   backend.name)

    def backends(self, lb, service: str) -> dict[str, dict]:
        return {one["name"]: one for one in lb.cli(
            "backend", "list", service, json=True)["backends"]}

    def wait_up(self, lb, number: int) -> None:
        names = [backend.name for backend in self.generation(number)]
        wait_until(lambda: all(self.backends(lb, service)[name]["eligible"]
                               for service in ("ws", "ws6")
                               for name in names),
                   timeout=30, what=f"generation {number} up on {lb.name}")

    def wait_listed(self, lb) -> None:
        wait_until(lambda: not any(
            lb.cli("service", "show", service, json=True)["service"][
                "rows_overflowed"] for service in ("ws", "ws6")),
            timeout=60, what=f"rows with room on {lb.name}")

    def test_connections_outlive_five_fleets(self) -> None:
        lab = self.lab
        for backend in lab.backends:
            backend.start_server(PORT)
        lab.start_fairlead()
        for lb in lab.lbs:
            for name, vip in (("ws", f"{lab.vip}:{PORT}"),
                              ("ws6", f"[{lab.vip6}]:{PORT}")):
                lb.cli("service", "add", name, vip, "--policy", "least-conn",
                       "--check-interval", "500ms", "--check-timeout",
                       "400ms")
            self.add(lb, 0)
            self.wait_up(lb, 0)
        lab.route_vips([lab.lbs[0]])
        fleet = lab.client.start_fleet()
        for vip in (lab.vip, lab.vip6):
            fleet.open(vip, PORT, echo=40, silent=40, interval=0.3,
                       group="first")
        for number in range(1, GENERATIONS):
            for lb in lab.lbs:
                self.add(lb, number)
            for lb in lab.lbs:
                self.wait_up(lb, number)
                for service in ("ws", "ws6"):
                    for backend in self.generation(number - 1):
                        lb.cli("backend", "drain", service, backend.name)
                        lb.cli("backend", "delete", service, backend.name)
            lab.route_vips([lab.lbs[number % 2]])
            report = fleet.verify(within=10, group="first")
            self.assertEqual((report["verified"], report["broken"]), (160, 0),
                             report)
            # What is new goes to the new ones, as soon as every row has them.
            self.wait_listed(lab.lbs[number % 2])
            for vip in (lab.vip, lab.vip6):
                report = fleet.open(vip, PORT, silent=10, group="second")
                self.assertEqual(report["alive"], 10, report)
                names = {one.name for one in self.generation(number)}
                self.assertLessEqual(set(report["backends"]), names)
            fleet.close(group="second")
        # The owners are known by name, and go with their connections.
        first = {backend.name for backend in self.generation(0)}
        last = {backend.name for backend in self.generation(GENERATIONS - 1)}
        for lb in lab.lbs:
            for service in ("ws", "ws6"):
                wait_until(lambda b=lb, s=service: set(self.backends(b, s))
                           == first | last, timeout=60,
                           what="only the first and the last set")
        report = fleet.verify(within=10, group="first")
        self.assertEqual((report["verified"], report["broken"]), (160, 0),
                         report)
        fleet.close(group="first")
        for lb in lab.lbs:
            for service in ("ws", "ws6"):
                wait_until(lambda b=lb, s=service: set(self.backends(b, s))
                           == last, timeout=60, what="only the last set")


if __name__ == "__main__":
    main()
