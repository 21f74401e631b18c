"""Backends that take so many connections and no more, or so many a second:
waves of real clients, with a flood of forged SYNs beside them, with the agents'
word and without."""

import errno
import random
import subprocess
import threading
import time

import fake_lb
from lab.processes import in_netns, run, wait_until
from lab.testcase import PORT, OneLbTestCase, main
from torture.wire import Wire

MAX_CONN = 60
# What a wave may bring above it: clients whose SYN was let in and who had not
# answered yet when the backend was full.
SLACK = 20
WAVE = 400
# A second, and what is given ahead: a tenth of a second's and one.
RATE = 20
AHEAD = 3

# Opens that many connections within a second and holds those that open, also
# late, until its input ends.
CROWD = """
import errno, socket, sys, time
vip, port, count = sys.argv[1], *map(int, sys.argv[2:])
family = socket.AF_INET6 if ":" in vip else socket.AF_INET
clients = []
for _ in range(count):
    client = socket.socket(family)
    client.setblocking(False)
    assert client.connect_ex((vip, port)) == errno.EINPROGRESS
    clients.append(client)
    time.sleep(0.8 / count)
print("all sent", flush=True)
sys.stdin.read()
"""
CONNECT = """
import socket, sys
client = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else
                       socket.AF_INET)
client.settimeout(2)
print(client.connect_ex((sys.argv[1], int(sys.argv[2]))))
"""
# Of the clients' subnets, addresses that nobody has.
NOBODY = {4: "192.0.2.{}", 6: "2001:db8:1:dead::{}"}


class MaxConnTest(OneLbTestCase):
    lab_name = "fltmax"

    def setUp(self) -> None:
        super().setUp()
        self.fleet = self.lab.client.start_fleet()

    def tearDown(self) -> None:
        self.fleet.close(state="alive")
        self.fleet.stop()
        super().tearDown()

    def add(self, vip: str, max_conn: object) -> str:
        """A service with all backends; returns its VIP, which no other test
        has: sockets of a flood outlive it."""
        self.lb.cli("service", "add", "ws", f"[{vip}]:{PORT}" if ":" in vip
                    else f"{vip}:{PORT}", "--check", "none")
        self.addCleanup(self.lb.cli, "service", "delete", "ws", "--force",
                        check=False)
        for backend in self.lab.backends:
            self.lb.cli("backend", "add", "ws", backend.address, "--name",
                        backend.name, "--max-conn", max_conn)
        wait_until(lambda: self.view()["available"] == len(self.lab.backends),
                   timeout=30, what="all available")
        return vip

    def view(self) -> dict:
        return self.lb.cli("service", "show", "ws", json=True)["service"]

    def backend(self, name: str) -> dict:
        return self.lb.cli("backend", "show", "ws", name,
                           json=True)["backend"]

    def established(self, vip: str) -> list[int]:
        """At each backend, by its kernel."""
        source = f"[{vip}]" if ":" in vip else vip
        return [len(backend.run("ss", "-Htn", "state", "established", "src",
                                source).stdout.splitlines())
                for backend in self.lab.backends]

    def connect(self, vip: str) -> int:
        return int(run(in_netns(self.lab.client.netns, [
            "/usr/bin/python3", "-c", CONNECT, vip, str(PORT)])).stdout)

    def crowd(self, vip: str, count: int) -> subprocess.Popen:
        """Their SYNs are sent when this returns."""
        child = subprocess.Popen(
            in_netns(self.lab.client.netns, [
                "/usr/bin/python3", "-c", CROWD, vip, str(PORT), str(count)]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.disperse, child)
        self.assertEqual(child.stdout.readline(), "all sent\n")
        return child

    @staticmethod
    def disperse(crowd: subprocess.Popen) -> None:
        """All that it has open is closed."""
        if crowd.poll() is None:
            crowd.communicate("")

    def flood(self, family: int, over: threading.Event) -> threading.Thread:
        """2,000 SYNs a second from addresses of nobody."""
        vip = self.lab.vip6 if family == 6 else self.lab.vip

        def run_it() -> None:
            with Wire(self.lab, self.lb) as wire:
                while not over.is_set():
                    for _ in range(20):
                        wire.send(fake_lb.tcp_packet(
                            NOBODY[family].format(random.randrange(130, 190)),
                            random.randrange(1024, 65536), vip, PORT,
                            flags=fake_lb.SYN,
                            sequence=random.getrandbits(32)))
                    time.sleep(0.01)

        thread = threading.Thread(target=run_it)
        thread.start()

        def stop() -> None:
            over.set()
            thread.join()

        self.addCleanup(stop)
        return thread

    def assert_filled(self, vip: str) -> None:
        """Each backend has what it may, and little more."""
        for count in self.established(vip):
            self.assertGreaterEqual(count, MAX_CONN - SLACK)
            self.assertLessEqual(count, MAX_CONN + SLACK)

    def watch_filling(self, vip: str) -> None:
        for _ in range(8):
            time.sleep(1)
            for count in self.established(vip):
                self.assertLessEqual(count, MAX_CONN + SLACK)
        self.assert_filled(vip)

    def check_wave(self, family: int) -> None:
        vip = self.add(self.lab.vip6 if family == 6 else self.lab.vip,
                       MAX_CONN)
        self.fleet.open(vip, PORT, echo=30, silent=10, interval=0.3)
        over = threading.Event()
        flooding = self.flood(family, over)
        # A flood alone makes nobody full, however long it lasts.
        time.sleep(3)
        for backend in self.lab.backends:
            self.assertFalse(self.backend(backend.name)["full"])
        self.assertEqual(self.connect(vip), 0)
        self.assertEqual(self.view()["refused_full"], 0)
        crowd = self.crowd(vip, WAVE)
        self.watch_filling(vip)
        self.assertGreater(self.view()["refused_full"], WAVE / 2)
        for backend in self.lab.backends:
            shown = self.backend(backend.name)
            self.assertTrue(shown["full"], shown)
            self.assertRegex(shown["state_text"], r"^full \(\d+/60\)$")
            self.assertEqual(shown["reason"], "max-conn")
            self.assertTrue(shown["eligible"])
        self.assertIn("all 2 backends that take new connections are full",
                      self.lb.cli("status").stdout)
        self.assertNotEqual(self.connect(vip), 0)
        # Without a daemon it stays so for a while.
        self.lb.kill9_daemon()
        self.assertNotEqual(self.connect(vip), 0)
        self.lb.start_daemon()
        self.assertNotEqual(self.connect(vip), 0)
        self.assert_filled(vip)
        # One that may take more takes them, and the other no more.
        self.lb.cli("backend", "set", "ws", "b1", "--max-conn", "off")
        wait_until(lambda: self.connect(vip) == 0, timeout=10,
                   what="somebody has room")
        self.lb.cli("backend", "set", "ws", "b1", "--max-conn", MAX_CONN)
        over.set()
        flooding.join()
        self.assertLessEqual(self.established(vip)[1], MAX_CONN + SLACK)
        self.disperse(crowd)
        wait_until(lambda: not any(self.backend(b.name)["full"]
                                   for b in self.lab.backends),
                   timeout=20, what="there is room")
        self.assertEqual(self.connect(vip), 0)
        report = self.fleet.verify(within=30)
        self.assertEqual(report["broken"], 0, report)
        self.assertEqual(report["alive"], 40, report)

    def test_a_wave_fills_backends_and_a_flood_does_not_ipv4(self) -> None:
        self.check_wave(4)

    def test_a_wave_fills_backends_and_a_flood_does_not_ipv6(self) -> None:
        self.check_wave(6)

    def check_rate(self, family: int) -> None:
        vip = self.add(self.lab.vips[2][family == 6], "off")
        self.fleet.open(vip, PORT, echo=30, silent=10, interval=0.3)
        for backend in self.lab.backends:
            self.lb.cli("backend", "set", "ws", backend.name, "--accept-rate",
                        f"{RATE}/s")
        before = self.established(vip)
        begun = time.monotonic()
        crowd = self.crowd(vip, WAVE)
        shown = [self.backend(b.name) for b in self.lab.backends]
        self.assertTrue(any(b["full"] for b in shown), shown)
        for backend in shown:
            if backend["full"]:
                self.assertEqual(backend["state_text"], f"full ({RATE}/s)")
                self.assertEqual(backend["reason"], f"accept-rate ({RATE}/s)")
        given = []
        for _ in range(12):
            time.sleep(0.5)
            now = self.established(vip)
            most = RATE * (time.monotonic() - begun) + AHEAD
            given = [count - was for count, was in zip(now, before)]
            for count in given:
                self.assertLessEqual(count, most)
        # The SYNs that were refused come again after one second and after
        # three: then what there is is used, and no client is told to go away.
        for count in given:
            self.assertGreaterEqual(count, 2 * RATE)
        self.assertGreater(self.view()["refused_full"], WAVE / 2)
        for backend in self.lab.backends:
            self.lb.cli("backend", "set", "ws", backend.name, "--accept-rate",
                        "off")
        wait_until(lambda: sum(self.established(vip)) - sum(before) == WAVE,
                   timeout=30, what="all clients have come")
        self.disperse(crowd)
        report = self.fleet.verify(within=30)
        self.assertEqual(report["broken"], 0, report)
        self.assertEqual(report["alive"], 40, report)

    def test_a_wave_comes_at_the_accept_rate_ipv4(self) -> None:
        self.check_rate(4)

    def test_a_wave_comes_at_the_accept_rate_ipv6(self) -> None:
        self.check_rate(6)

    def check_shed(self, family: int) -> None:
        """Clients are refused at once, instead of after their time-out."""
        vip = self.add(self.lab.vips[3][family == 6], "off")
        for backend in self.lab.backends:
            self.lb.cli("backend", "set", "ws", backend.name, "--accept-rate",
                        "1/s")
        for shed, answer in (("reset", errno.ECONNREFUSED),
                             ("drop", errno.EAGAIN)):
            self.lb.cli("service", "set", "ws", "--shed", shed)
            before = self.view()["refused_full"]
            answers = {self.connect(vip) for _ in range(8)}
            self.assertLessEqual(answers, {0, answer}, shed)
            self.assertGreater(self.view()["refused_full"], before, shed)
            if shed == "reset":
                self.assertEqual(answers, {0, answer})

    def test_clients_without_room_are_refused_if_asked_for(self) -> None:
        for family in (4, 6):
            self.check_shed(family)
            self.lb.cli("service", "delete", "ws", "--force")

    def test_the_flow_table_counts_where_agents_are_silent(self) -> None:
        vip = self.add(self.lab.vips[1][0], MAX_CONN)
        for backend in self.lab.backends:
            backend.kill9_agent()
        wait_until(lambda: all(
            b["agent"]["presence"] == "lost"
            for b in self.view()["backends"]), timeout=20, what="agents lost")
        try:
            crowd = self.crowd(vip, WAVE)
            # Counted when they begin, then by the walks over the table, as too
            # young to be sure of.
            self.watch_filling(vip)
            self.disperse(crowd)
            wait_until(lambda: not any(self.backend(b.name)["full"]
                                       for b in self.lab.backends),
                       timeout=20, what="there is room")
        finally:
            for backend in self.lab.backends:
                backend.start_agent()
                backend.wait_agent()


if __name__ == "__main__":
    main()
