"""A backend that says 200 while it takes no new WebSocket: what a check by
WebSocket sees of it, straight and through the data path, and what becomes of
the connections that it has."""

from lab.processes import wait_until
from lab.testcase import PORT, OneLbTestCase, main

CHECK = ("--check-interval", "500ms", "--check-timeout", "400ms")
STEPS = ["connect", "upgrade", "pong", "close"]


class ChecksTest(OneLbTestCase):
    lab_name = "fltchk"

    def setUp(self) -> None:
        super().setUp()
        self.fleet = self.lab.client.start_fleet()

    def tearDown(self) -> None:
        self.lab.backends[0].servers[PORT].set_upgrades(True)
        self.fleet.close(state="alive")
        self.fleet.stop()
        super().tearDown()

    def add(self, name: str, vip: str, *settings: str) -> None:
        self.lb.cli("service", "add", name, f"[{vip}]:{PORT}" if ":" in vip
                    else f"{vip}:{PORT}", *CHECK, *settings)
        self.addCleanup(self.lb.cli, "service", "delete", name, "--force",
                        check=False)
        for backend in self.lab.backends:
            self.lb.cli("backend", "add", name, backend.address, "--name",
                        backend.name)
        for backend in self.lab.backends:
            self.wait_state(name, backend.name, "up")

    def show(self, service: str, name: str) -> dict:
        return self.lb.cli("backend", "show", service, name,
                           json=True)["backend"]

    def wait_state(self, service: str, name: str, state: str) -> None:
        wait_until(lambda: self.show(service, name)["state"] == state,
                   timeout=30, what=f"{name} of {service} is {state}")

    def run_check(self, service: str, name: str) -> tuple[int, dict]:
        done = self.lb.cli("check", "run", service, name, "-v", check=False)
        result = self.lb.cli("check", "run", service, name, json=True,
                             check=False)["result"]
        for step in result["steps"]:
            self.assertIn(step["step"], done.stdout)
        return done.returncode, result

    def check_refusal(self, vip: str, via: str) -> None:
        self.add("ws", vip, "--check", "ws", "--check-via", via)
        self.add("health", self.lab.vips[1][0], "--check", "http",
                 "--check-path", "/healthz")
        code, result = self.run_check("ws", "b1")
        self.assertEqual((code, [s["step"] for s in result["steps"]]),
                         (0, STEPS), result)
        self.assertEqual(result["via"], via)
        self.fleet.open(vip, PORT, echo=24, silent=6, interval=0.3, group="old")
        old = self.fleet.verify(within=30, group="old")
        self.assertGreater(old["backends"]["b1"]["alive"], 0, old)
        b1 = self.lab.backends[0].servers[PORT]
        b1.set_upgrades(False)
        self.wait_state("ws", "b1", "down")
        shown = self.show("ws", "b1")
        self.assertEqual(shown["reason"], "check.ws-handshake(503)", shown)
        history = self.lb.cli("backend", "show", "ws", "b1", json=True)["checks"]
        self.assertIn("check.ws-handshake(503)",
                      [one["reason"] for one in history])
        code, result = self.run_check("ws", "b1")
        self.assertEqual((code, result["reason"]),
                         (1, "check.ws-handshake(503)"))
        # Who asks for a health page is told that all is well.
        self.assertEqual(self.show("health", "b1")["state"], "up")
        self.assertEqual(self.run_check("health", "b1")[1]["http_status"], 200)
        self.fleet.open(vip, PORT, echo=30, interval=0.3, group="new")
        new = self.fleet.verify(within=30, group="new")
        self.assertEqual(list(new["backends"]), ["b2"], new)
        report = self.fleet.verify(within=30)
        self.assertEqual((report["broken"], report["alive"]), (0, 60), report)
        b1.set_upgrades(True)
        self.wait_state("ws", "b1", "up")

    def test_new_websockets_go_to_who_takes_them_ipv4(self) -> None:
        self.check_refusal(self.lab.vip, "direct")

    def test_new_websockets_go_to_who_takes_them_ipv6_by_way_of_the_vip(
            self) -> None:
        self.check_refusal(self.lab.vip6, "vip")

    def check_several(self, vip: str) -> None:
        """A health page says 200 while the WebSocket is refused: one service
        with a check of each."""
        self.add("both", vip, "--check", "http", "--check-path", "/healthz")
        self.lb.cli("check", "add", "both", "live", "--check", "ws", *CHECK)
        self.assertEqual(
            [one["name"] for one in self.lb.cli("check", "list", "both",
                                                json=True)["checks"]],
            ["main", "live"])
        self.fleet.open(vip, PORT, echo=30, interval=0.3, group="old")
        old = self.fleet.verify(within=30, group="old")
        self.assertGreater(old["backends"]["b1"]["alive"], 0, old)
        b1 = self.lab.backends[0].servers[PORT]
        b1.set_upgrades(False)
        self.wait_state("both", "b1", "down")
        shown = self.show("both", "b1")
        self.assertEqual((shown["reason"], shown["reason_check"]),
                         ("check.ws-handshake(503)", "live"), shown)
        self.assertEqual(
            {one["name"]: one["health"] for one in shown["health_checks"]},
            {"main": "up", "live": "down"}, shown)
        self.assertIn("check.ws-handshake(503) [live]",
                      self.lb.cli("backend", "list", "both").stdout)
        done = self.lb.cli("check", "run", "both", "b1", check=False)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("main: success", done.stdout)
        done = self.lb.cli("check", "run", "both", "b1", "--check", "main")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.fleet.open(vip, PORT, echo=30, interval=0.3, group="new")
        new = self.fleet.verify(within=30, group="new")
        self.assertEqual(list(new["backends"]), ["b2"], new)
        report = self.fleet.verify(within=30)
        self.assertEqual((report["broken"], report["alive"]), (0, 60), report)
        # Checks survive the daemon.
        self.lb.restart_daemon(kill9=True)
        self.wait_state("both", "b1", "down")
        self.lb.cli("check", "delete", "both", "live")
        self.wait_state("both", "b1", "up")

    def test_one_check_of_several_takes_a_backend_out_ipv4(self) -> None:
        self.check_several(self.lab.vip)

    def test_one_check_of_several_takes_a_backend_out_ipv6(self) -> None:
        self.check_several(self.lab.vip6)


if __name__ == "__main__":
    main()
