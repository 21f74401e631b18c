"""Health checks through the data path: what a check straight to the backend
would call up, and clients find dead, is down, with a reason that names it."""

import sys

from lab import LabOptions, wait_until
from lab.hosts import Backend
from lab.testcase import PORT, OneLbTestCase, main

CHECK = ("--check-interval", "400ms", "--check-timeout", "350ms",
         "--check-via", "vip")
ELSEWHERE = PORT + 10

# Listens on one address, and closes what it accepts.
LISTEN = """
import socket, sys
server = socket.create_server(
    (sys.argv[1], int(sys.argv[2])),
    family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
while True:
    server.accept()[0].close()
"""


class ProbePathTest(OneLbTestCase):
    lab_name = "fltppath"
    lab_options = LabOptions(lbs=1, backends=2)

    def setUp(self) -> None:
        super().setUp()
        # Outer and inner family in every mix.
        lab = self.lab
        self.services = {"v4in4": (0, lab.vip), "v4in6": (1, lab.vip),
                         "v6in4": (0, lab.vip6), "v6in6": (1, lab.vip6)}

    def add(self, name: str, *settings: object, port: int = PORT) -> str:
        outer, vip = self.services[name]
        endpoint = f"[{vip}]:{port}" if ":" in vip else f"{vip}:{port}"
        self.lb.cli("service", "add", name, endpoint, *CHECK, *settings)
        self.addCleanup(self.lb.cli, "service", "delete", name, "--force",
                        check=False)
        for backend in self.lab.backends:
            self.lb.cli("backend", "add", name,
                        backend.address6 if outer else backend.address,
                        "--name", backend.name)
        return vip

    def show(self, service: str, name: str) -> dict:
        return self.lb.cli("backend", "show", service, name,
                           json=True)["backend"]

    def wait_up(self, service: str, *names: str) -> None:
        """By a check that took the road of clients' packets."""

        def is_up(name: str) -> bool:
            shown = self.show(service, name)
            return shown["state"] == "up" and bool(
                shown["check"]) and shown["check"]["via"] == "vip"

        for name in names:
            wait_until(lambda n=name: is_up(n), timeout=30,
                       what=f"{name} of {service} up")
            self.assertIsNone(self.show(service, name)["check"]["why_direct"])

    def wait_down(self, service: str, name: str, reason: str,
                  detail: str) -> None:
        wait_until(lambda: self.show(service, name)["state"] == "down",
                   timeout=30, what=f"{name} of {service} down")
        shown = self.show(service, name)
        self.assertEqual(shown["reason"], reason, shown)
        self.assertIn(detail, shown["check"]["detail"], shown)

    def checks(self) -> dict[str, int]:
        return {one["name"]: one["count"] for one in self.lb.cli(
            "verdicts", json=True)["checks"]}

    def lose_vip(self, backend: Backend, vip: str) -> None:
        prefix = f"{vip}/{128 if ':' in vip else 32}"
        backend.run("ip", "address", "del", prefix, "dev", "lo")
        self.addCleanup(backend.run, "ip", "address", "replace", prefix, "dev",
                        "lo", check=False)

    def test_a_backend_without_the_vip_is_down(self) -> None:
        for name in self.services:
            with self.subTest(name):
                vip = self.add(name)
                self.wait_up(name, "b1", "b2")
                self.lose_vip(self.lab.backends[0], vip)
                self.wait_down(name, "b1", "check.vip-timeout",
                               "is the VIP an address there")
                # So a check straight to it would not know.
                self.lb.cli("service", "set", name, "--check-via", "direct")
                wait_until(lambda n=name: self.show(n, "b1")["state"] == "up",
                           timeout=30, what="up for direct checks")
                self.assertEqual(self.show(name, "b2")["state"], "up")
                self.doCleanups()
        counted = self.checks()
        self.assertGreater(counted["TX_PROBE"], 0)
        for verdict, count in counted.items():
            if verdict.startswith("DROP"):
                self.assertEqual(count, 0, counted)

    def test_a_backend_whose_agent_is_gone_is_down(self) -> None:
        backend = self.lab.backends[1]
        self.add("v4in4")
        self.add("v6in6")
        for name in ("v4in4", "v6in6"):
            self.wait_up(name, "b1", "b2")
        backend.stop_agent()
        backend.run("ip", "link", "set", "dev", "eth0", "xdp", "off",
                    check=False)
        backend.run(self.lab.binary("agent/fairlead-agent"), "detach",
                    "--config", backend.config)
        self.addCleanup(lambda: backend.agent.running()
                        or backend.start_agent())
        for name in ("v4in4", "v6in6"):
            self.wait_down(name, "b2", "check.vip-timeout",
                           "does its agent or tunnel take packets")
            self.assertEqual(self.show(name, "b1")["state"], "up")
        backend.start_agent()
        for name in ("v4in4", "v6in6"):
            self.wait_up(name, "b2")

    def test_a_server_that_listens_on_another_address_is_down(self) -> None:
        b1, b2 = self.lab.backends
        self.add("v4in4", port=ELSEWHERE)
        self.add("v6in6", port=ELSEWHERE)
        for number, (backend, address) in enumerate((
                (b1, "0.0.0.0"), (b1, "::"), (b2, b2.address),
                (b2, b2.address6))):
            if address == "0.0.0.0":
                continue  # :: takes both.
            child = backend.start(f"listen{number}", [
                sys.executable, "-c", LISTEN.replace(
                    "family=", "dualstack_ipv6=sys.argv[1] == '::', family="),
                address, ELSEWHERE])
            self.addCleanup(child.stop)
        for name in ("v4in4", "v6in6"):
            self.wait_up(name, "b1")
            self.wait_down(name, "b2", "check.vip-refused",
                           "no server listens on the VIP there")

    def test_checks_are_no_connections_of_the_service(self) -> None:
        self.add("v4in4", "--check", "http", "--check-path", "/healthz")
        self.wait_up("v4in4", "b1", "b2")
        before = self.checks()["TX_PROBE"]
        wait_until(lambda: self.checks()["TX_PROBE"] > before + 100,
                   timeout=30, what="many checks")
        for backend in self.lab.backends:
            shown = self.show("v4in4", backend.name)
            self.assertEqual(
                [shown[key] for key in ("active", "pending", "packets")],
                [0, 0, 0], shown)
            self.assertEqual(shown["agent"]["live_sockets"], 0, shown)

    def test_a_daemon_that_is_killed_goes_on_checking(self) -> None:
        vip = self.add("v4in4")
        self.wait_up("v4in4", "b1", "b2")
        self.lb.restart_daemon(kill9=True)
        self.wait_up("v4in4", "b1", "b2")
        self.lose_vip(self.lab.backends[0], vip)
        self.wait_down("v4in4", "b1", "check.vip-timeout", vip)

    def test_a_fault_of_this_host_takes_no_backend_out(self) -> None:
        vip = self.add("v4in4")
        self.wait_up("v4in4", "b1", "b2")
        # Nobody answers for it on the link.
        self.lb.run("ip", "route", "add", "blackhole", f"{vip}/32")
        self.addCleanup(self.lb.run, "ip", "route", "del", "blackhole",
                        f"{vip}/32", check=False)
        wait_until(lambda: self.show("v4in4", "b1")["check"]["why_direct"],
                   timeout=30, what="checks go another way")
        shown = self.show("v4in4", "b1")
        self.assertEqual((shown["state"], shown["check"]["via"]),
                         ("up", "direct"), shown)
        why = f"no packet to {vip} leaves this host by eth0"
        self.assertIn(why, shown["check"]["why_direct"])
        self.assertIn(why, self.lb.cli("status").stdout)
        self.assertIn(why, self.lb.cli("backend", "show", "v4in4",
                                       "b1").stdout)

    def test_nothing_is_left_when_the_node_is_detached(self) -> None:
        self.add("v4in4")
        self.wait_up("v4in4", "b1", "b2")
        pins = self.lb.pin_path / "probe"
        self.assertTrue(pins.exists())
        self.lb.cli("node", "detach", "--force")
        self.assertFalse(pins.exists())
        self.lb.restart_daemon()
        self.wait_up("v4in4", "b1", "b2")


if __name__ == "__main__":
    main()
