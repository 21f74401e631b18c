"""The main job on one LB host: connections through the VIP in every mix of
families, drains, joins, kills and upgrades under traffic."""

import errno
import pathlib
import shutil
import tempfile

from lab import LabOptions
from lab.processes import in_netns, run, wait_until
from lab.testcase import PORT, OneLbTestCase, main

CHECK = ("--check", "http", "--check-path", "/healthz", "--check-interval",
         "500ms", "--check-timeout", "400ms")

# Connects from the port given, 0 for any, and prints the errno.
CONNECT = """
import socket, sys
vip, port, own_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
client = socket.socket(socket.AF_INET6 if ":" in vip else socket.AF_INET)
client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
client.bind(("", own_port))
client.settimeout(2)
print(client.connect_ex((vip, port)))
"""


class ServiceTest(OneLbTestCase):
    lab_name = "fltsvc"
    lab_options = LabOptions(lbs=1, backends=3)

    def setUp(self) -> None:
        super().setUp()
        lab = self.lab
        # Inner and outer family in every mix.
        self.services = {"v4in4": (0, lab.vip), "v4in6": (1, lab.vip),
                         "v6in4": (0, lab.vip6), "v6in6": (1, lab.vip6)}
        self.fleet = lab.client.start_fleet()

    def tearDown(self) -> None:
        self.fleet.stop()
        self.wait_closed()
        super().tearDown()

    def wait_closed(self) -> None:
        """Before a service is deleted: the ends of connections would not reach
        the backends any more, and what is left there is load for the next."""
        self.wait(lambda: not any(
            backend.connections(vip) for backend in self.lab.backends
            for vip in (self.lab.vip, self.lab.vip6)), "all closed")

    def add(self, name: str, **settings: str) -> str:
        """Adds a service with all backends; returns its VIP."""
        outer, vip = self.services[name]
        endpoint = f"[{vip}]:{PORT}" if ":" in vip else f"{vip}:{PORT}"
        flags = [word for key, value in settings.items()
                 for word in (f"--{key.replace('_', '-')}", value)]
        self.lb.cli("service", "add", name, endpoint, *CHECK, *flags)
        self.addCleanup(self.lb.cli, "service", "delete", name, "--force",
                        check=False)
        for backend in self.lab.backends:
            address = backend.address6 if outer else backend.address
            self.lb.cli("backend", "add", name, address, "--name",
                        backend.name)
        self.wait(lambda: self.view(name)["available"] == len(
            self.lab.backends), "all up")
        return vip

    def view(self, service: str) -> dict:
        return self.lb.cli("service", "show", service, json=True)["service"]

    def backend(self, service: str, name: str) -> dict:
        return self.lb.cli("backend", "show", service, name,
                           json=True)["backend"]

    def wait(self, condition, what: str, timeout: float = 30) -> None:
        wait_until(condition, timeout=timeout, what=what)

    def accepts(self, name: str) -> int:
        return self.lab.host(name).servers[PORT].stats()["accepts"]

    def assert_whole(self, **which: str) -> dict:
        report = self.fleet.verify(within=30, **which)
        self.assertEqual(report["broken"], 0, report)
        self.assertGreater(report["verified"], 0)
        return report

    def test_every_mix_of_families_carries_websockets(self) -> None:
        for name in self.services:
            with self.subTest(name):
                vip = self.add(name, policy="least-conn")
                self.fleet.open(vip, PORT, echo=24, silent=6, interval=0.3,
                                group=name)
                report = self.assert_whole(group=name)
                self.assertEqual(len(report["backends"]),
                                 len(self.lab.backends), report)
                self.assertEqual(self.view(name)["guarantee"],
                                 "sockets ({0}/{0} agents)".format(
                                     len(self.lab.backends)))
                self.fleet.close(group=name)
                self.wait_closed()
                self.lb.cli("service", "delete", name, "--force")

    def test_policy_source_keeps_a_client_on_one_backend(self) -> None:
        vip = self.add("v4in4", policy="source")
        self.fleet.open(vip, PORT, echo=20, interval=0.3)
        self.assertEqual(len(self.assert_whole()["backends"]), 1)

    def test_a_drain_lets_old_connections_live_and_admits_no_new_one(
            self) -> None:
        vip = self.add("v4in4", policy="least-conn")
        self.fleet.open(vip, PORT, echo=60, silent=15, interval=0.3,
                        group="old")
        self.lb.cli("backend", "drain", "v4in4", "b2")
        accepted = self.accepts("b2")
        self.fleet.open(vip, PORT, echo=60, interval=0.3, group="new")
        self.assertEqual(self.accepts("b2"), accepted)
        report = self.assert_whole()
        self.assertGreater(report["backends"]["b2"]["alive"], 0)
        # Not drained while one connection is left, whatever the wait.
        done = self.lb.cli("backend", "drain", "v4in4", "b2", "--wait",
                           "--timeout", "2s", check=False)
        self.assertEqual(done.returncode, 6, done.stderr)
        self.fleet.close(backend="b2")
        self.lb.cli("backend", "drain", "v4in4", "b2", "--wait", "--timeout",
                    "30s")
        self.assertEqual(self.backend("v4in4", "b2")["state"], "drained")
        self.lb.cli("backend", "ready", "v4in4", "b2")
        self.fleet.open(vip, PORT, echo=60, interval=0.3, group="again")
        self.assertGreater(self.accepts("b2"), accepted)

    def test_a_backend_drains_itself(self) -> None:
        vip = self.add("v4in4")
        self.fleet.open(vip, PORT, echo=30, silent=10, interval=0.2,
                        group="old")
        agent = self.lab.binary("agent/fairlead-agent")
        first = self.lab.backends[0]
        config = ("--config", first.config)
        self.addCleanup(first.run, agent, "ready", *config)
        first.run(agent, "drain", *config)
        accepts = self.accepts("b1")
        # At once, whether the LB host has heard of it or not.
        report = self.fleet.open(vip, PORT, echo=30, interval=0.2, group="new")
        self.assertEqual((report["alive"], "b1" in report["backends"]),
                         (30, False), report)
        self.wait(lambda: self.backend("v4in4", "b1")["state"] == "draining",
                  "the LB host has heard", timeout=5)
        self.assertEqual(self.backend("v4in4", "b1")["reason"], "signal.agent")
        self.fleet.open(vip, PORT, echo=10, interval=0.2, group="new")
        self.assertEqual(self.accepts("b1"), accepts)
        self.assert_whole()
        first.run(agent, "ready", *config)
        self.wait(lambda: self.backend("v4in4", "b1")["state"] == "up", "up")
        report = self.fleet.open(vip, PORT, silent=30, group="back")
        self.assertIn("b1", report["backends"])

    def test_a_failing_check_closes_nothing(self) -> None:
        vip = self.add("v6in6", policy="least-conn")
        self.fleet.open(vip, PORT, echo=30, silent=6, interval=0.3)
        server = self.lab.host("b1").servers[PORT]
        for status, state, reason in (
                (503, "draining", "signal.http-503"),
                (500, "down", "check.status-mismatch(500)")):
            server.set_health(status)
            self.addCleanup(server.set_health, 200)
            self.wait(lambda s=state: self.backend("v6in6", "b1")["state"] == s,
                      state)
            self.assertEqual(self.backend("v6in6", "b1")["reason"], reason)
            accepted = self.accepts("b1")
            self.fleet.open(vip, PORT, echo=20, interval=0.3)
            self.assertEqual(self.accepts("b1"), accepted)
            self.assert_whole()
        server.set_health(200)
        self.wait(lambda: self.backend("v6in6", "b1")["state"] == "up", "up")

    def test_a_killed_and_upgraded_daemon_breaks_nothing(self) -> None:
        vip = self.add("v4in4", policy="least-conn")
        self.fleet.open(vip, PORT, echo=60, silent=15, interval=0.2)
        self.lb.cli("backend", "drain", "v4in4", "b3")
        self.fleet.start_churn(vip, PORT, rate=20)
        before = self.lb.cli("verdicts", json=True)["packets"]
        other = pathlib.Path(tempfile.mkdtemp(prefix="fl_upgrade_"))
        self.addCleanup(shutil.rmtree, other)
        binary = shutil.copy(self.lab.binary("daemon/fairleadd"),
                             other / "fairleadd")
        for round_number in range(4):
            self.lb.restart_daemon(binary if round_number % 2 else None,
                                   kill9=round_number < 3)
        # Counters and the drain went on.
        self.assertGreater(self.lb.cli("verdicts", json=True)["packets"],
                           before)
        self.assertEqual(self.backend("v4in4", "b3")["admin"], "drain")
        self.wait(lambda: self.fleet.churn_report()["ok"] > 20,
                  "20 short connections")
        churn = self.fleet.stop_churn()
        self.assertEqual(churn["failed"], 0, churn)
        self.assertEqual(self.assert_whole()["opened"], 75)

    def test_a_killed_agent_breaks_nothing(self) -> None:
        vip = self.add("v6in4", policy="least-conn")
        self.fleet.open(vip, PORT, echo=60, silent=15, interval=0.2)
        for backend in self.lab.backends:
            backend.kill9_agent()
        self.fleet.open(vip, PORT, echo=20, interval=0.2)
        self.assert_whole()
        for backend in self.lab.backends:
            backend.start_agent()
        self.wait(lambda: sum(
            b["agent"]["live_sockets"] for b in self.view("v6in4")["backends"])
            == 95, "the agents count all 95")
        self.assert_whole()

    def test_a_joining_and_a_deleted_backend_break_nothing(self) -> None:
        vip = self.add("v4in4", policy="least-conn")
        self.fleet.open(vip, PORT, echo=60, silent=15, interval=0.2)
        added = self.lab.add_backend()
        added.start_server(PORT)
        added.start_agent()
        self.lb.cli("backend", "add", "v4in4", added.address, "--name",
                    "joined")
        self.wait(lambda: self.backend("v4in4", "joined")["eligible"], "up")
        self.fleet.open(vip, PORT, echo=60, interval=0.2)
        self.assertGreater(self.accepts(added.name), 0)
        done = self.lb.cli("backend", "delete", "v4in4", "joined", check=False)
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertIn("drain it first", done.stderr)
        # Deleted while it drains, it keeps its old connections.
        self.lb.cli("backend", "drain", "v4in4", "joined")
        self.lb.cli("backend", "delete", "v4in4", "joined")
        leaving = self.backend("v4in4", "joined")
        self.assertTrue(leaving["leaving"])
        self.assertIn("leaving", leaving["state_text"])
        accepts = self.accepts(added.name)
        self.fleet.open(vip, PORT, echo=40, interval=0.2)
        self.assertEqual(self.accepts(added.name), accepts)
        self.assert_whole()
        self.assertTrue(self.backend("v4in4", "joined")["leaving"])
        self.fleet.close(backend=added.name)
        self.wait(lambda: "joined" not in self.lb.cli(
            "backend", "list", "v4in4").stdout, "gone")
        self.assert_whole()

    def test_explain_says_beforehand_what_the_packet_path_does(self) -> None:
        for name, client in (("v4in6", self.lab.client.address),
                             ("v6in4", f"[{self.lab.client.address6}]")):
            vip = self.add(name)
            dst = f"[{vip}]:{PORT}" if ":" in vip else f"{vip}:{PORT}"
            # Below those that the client's kernel gave to others.
            for port in range(7000, 7012):
                flow = ("--src", f"{client}:{port}", "--dst", dst)
                told = self.lb.cli("flows", "explain", *flow, json=True)
                self.assertEqual(told["syn"]["verdict"], "TX_SYN_NEW", told)
                self.assertEqual(self.connect(vip, port), 0)
                found = self.lb.cli("flows", "lookup", *flow, json=True)
                self.assertEqual(found["slot"]["backend"],
                                 told["syn"]["backend"])
                told = self.lb.cli("flows", "explain", *flow, json=True)
                self.assertEqual(told["segment"]["verdict"], "TX_HIT", told)

    def test_explain_tells_what_the_agents_answer(self) -> None:
        # Of tuples that no earlier connection had.
        for name, port in (("v4in6", 7100), ("v6in4", 7200)):
            self.fleet.open(self.add(name), PORT, silent=6, group=name,
                            local_port=port)
        for one in self.fleet.connections(state="alive"):
            told = self.lb.cli("flows", "explain", "--src", one["local"],
                               "--dst", one["remote"], json=True)
            self.assertEqual(
                {m["backend"]: m["socket"] for m in told["members"]},
                {b.name: "established" if b.name == one["backend"] else "none"
                 for b in self.lab.backends}, told)

    def connect(self, vip: str, port: int = 0) -> int:
        """What a client's connect from `port` comes to within two seconds."""
        done = run(in_netns(self.lab.client.netns,
                            ["/usr/bin/python3", "-c", CONNECT, vip, str(PORT),
                             str(port)]))
        return int(done.stdout)

    def test_a_vip_is_never_answered_by_the_lb_host(self) -> None:
        # 0 is connected, EAGAIN is silence; a reset would be ECONNREFUSED.
        silence = errno.EAGAIN
        for name in ("v4in4", "v6in6"):
            vip = self.add(name)
            self.assertEqual(self.connect(vip), 0)
            self.wait_closed()
            self.lb.cli("service", "delete", name, "--force")
            self.assertEqual(self.connect(vip), silence)
            self.lb.restart_daemon(kill9=True)
            self.assertEqual(self.connect(vip), silence)
        vip = self.add("v4in4")
        self.lb.cli("node", "detach", "--force")
        self.assertEqual(self.connect(vip), silence)
        self.lb.restart_daemon()
        self.wait(lambda: self.connect(vip) == 0, "attached again")

    def test_an_alarm_is_told_once(self) -> None:
        self.lb.cli("service", "add", "dead", f"{self.lab.vip}:9", "--check",
                    "tcp", "--check-interval", "200ms", "--check-timeout",
                    "100ms", "--fall", "1")
        self.addCleanup(self.lb.cli, "service", "delete", "dead", "--force")
        self.lb.cli("backend", "add", "dead", self.lab.backends[0].address)

        def alarms() -> list[str]:
            return self.lb.cli("status", json=True)["alarms"]

        self.wait(lambda: any("0 of 1 backends" in a for a in alarms()),
                  "an alarm")
        told = alarms()
        self.assertEqual(len(told), len(set(told)), told)

    def test_a_second_daemon_is_refused(self) -> None:
        second = self.lb.start(
            "second", [self.lab.binary("daemon/fairleadd"), "--config",
                       self.lb.config])
        self.wait(lambda: not second.running(), "the second daemon ended")
        self.assertIn("another fairleadd", second.log_tail(5))


if __name__ == "__main__":
    main()
