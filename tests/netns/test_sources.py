"""Who may open connections to a service, and how many: real clients of several
addresses, lists and limits that change under traffic, and a daemon that is
killed meanwhile."""

import errno
import random
import subprocess
import threading
import time
from collections.abc import Callable

from lab import LabOptions
from lab.processes import in_netns, run, wait_until
from lab.testcase import PORT, OneLbTestCase, main

# Connects from the address given, and prints the errno.
CONNECT = """
import socket, sys
source, vip, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
client = socket.socket(socket.AF_INET6 if ":" in vip else socket.AF_INET)
client.bind((source, 0))
client.settimeout(1)
print(client.connect_ex((vip, port)))
"""
# Opens that many connections from the address given, all at once, and prints
# how many are open before a SYN is sent again.
CROWD = """
import errno, select, socket, sys, time
source, vip, port, count = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
family = socket.AF_INET6 if ":" in vip else socket.AF_INET
waiting = select.poll()
clients = {}
for _ in range(count):
    client = socket.socket(family)
    client.bind((source, 0))
    client.setblocking(False)
    assert client.connect_ex((vip, port)) == errno.EINPROGRESS
    clients[client.fileno()] = client
    waiting.register(client, select.POLLOUT)
opened, end = 0, time.monotonic() + 0.9
while clients and (left := end - time.monotonic()) > 0:
    for descriptor, _ in waiting.poll(1000 * left):
        waiting.unregister(descriptor)
        opened += clients.pop(descriptor).getsockopt(
            socket.SOL_SOCKET, socket.SO_ERROR) == 0
print(opened)
"""
# Opens connections from the address given and keeps them. Reads "open N", which
# is answered with how many of N are open within two seconds, and "close N", which
# closes the oldest; "state" is answered with how many still echo.
KEEPER = """
import errno, select, socket, sys, time
source, vip, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in vip else socket.AF_INET
kept = []
def open_some(count):
    waiting = select.poll()
    clients = {}
    for _ in range(count):
        client = socket.socket(family)
        client.bind((source, 0))
        client.setblocking(False)
        assert client.connect_ex((vip, port)) == errno.EINPROGRESS
        clients[client.fileno()] = client
        waiting.register(client, select.POLLOUT)
    opened, end = 0, time.monotonic() + 2
    while clients and (left := end - time.monotonic()) > 0:
        for descriptor, _ in waiting.poll(1000 * left):
            waiting.unregister(descriptor)
            client = clients.pop(descriptor)
            assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
            client.setblocking(True)
            kept.append(client)
            opened += 1
    for client in clients.values():
        client.close()
    return opened
for line in sys.stdin:
    verb, count = line.split()
    if verb == "open":
        print(open_some(int(count)), flush=True)
    elif verb == "close":
        for client in kept[:int(count)]:
            client.close()
        del kept[:int(count)]
        print(len(kept), flush=True)
    else:
        states = [client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
                  for client in kept]
        print(states.count(1), flush=True)
"""
SILENCE = errno.EAGAIN  # 0 is connected; a reset would be ECONNREFUSED

# Of the client host, by address family: its own first, from which the crowd
# comes; and a prefix that has the second of the others alone.
SOURCES = {4: ("192.0.2.2", "192.0.2.77", "192.0.2.130"),
           6: ("2001:db8:1::2", "2001:db8:1::77", "2001:db8:1::8000")}
PREFIXES = {4: "192.0.2.128/25", 6: "2001:db8:1::8000/113"}
ALL = {4: "192.0.2.0/24", 6: "2001:db8:1::/64"}


class SourcesTest(OneLbTestCase):
    lab_name = "fltsrc"
    lab_options = LabOptions(lbs=1, backends=2, counted_sources=64)

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        for family, length in ((4, 24), (6, 64)):
            for source in SOURCES[family][1:]:
                cls.lab.client.run("ip", f"-{family}", "address", "add",
                                   f"{source}/{length}", "dev", "eth0",
                                   *(["nodad"] if family == 6 else []))

    def setUp(self) -> None:
        super().setUp()
        self.fleet = self.lab.client.start_fleet()
        self.keepers: list[subprocess.Popen[str]] = []

    def tearDown(self) -> None:
        for keeper in self.keepers:
            keeper.stdin.close()
            keeper.wait(timeout=30)
            keeper.stdout.close()
        self.fleet.close(state="alive")
        self.fleet.stop()
        wait_until(lambda: not any(
            backend.connections(vip) for backend in self.lab.backends
            for vip in (self.lab.vip, self.lab.vip6)), timeout=30,
            what="all closed")
        super().tearDown()

    def add(self, family: int) -> str:
        """A service with all backends; returns its VIP."""
        vip = self.lab.vip6 if family == 6 else self.lab.vip
        self.lb.cli("service", "add", "ws", f"[{vip}]:{PORT}" if family == 6
                    else f"{vip}:{PORT}", "--check", "none")
        self.addCleanup(self.lb.cli, "service", "delete", "ws", "--force",
                        check=False)
        for backend in self.lab.backends:
            self.lb.cli("backend", "add", "ws", backend.address, "--name",
                        backend.name)
        wait_until(lambda: self.lb.cli("service", "show", "ws", json=True)[
            "service"]["available"] == len(self.lab.backends), timeout=30,
            what="all available")
        return vip

    def connect(self, source: str, vip: str) -> int:
        return int(run(in_netns(self.lab.client.netns, [
            "/usr/bin/python3", "-c", CONNECT, source, vip,
            str(PORT)])).stdout)

    def assert_admits(self, vip: str, *sources: str) -> None:
        """Those of this family, and no others."""
        for source in SOURCES[6 if ":" in vip else 4]:
            with self.subTest(source):
                self.assertEqual(self.connect(source, vip),
                                 0 if source in sources else SILENCE)

    def sources(self) -> dict:
        return self.lb.cli("service", "sources", "ws", json=True)["sources"]

    def assert_whole(self) -> None:
        report = self.fleet.verify(within=30)
        self.assertEqual(report["broken"], 0, report)
        self.assertEqual(report["alive"], 40, report)

    def check_lists(self, family: int) -> None:
        vip = self.add(family)
        own, second, third = SOURCES[family]
        self.fleet.open(vip, PORT, echo=30, silent=10, interval=0.2)
        self.assert_admits(vip, own, second, third)
        self.lb.cli("service", "deny", "ws", own, PREFIXES[family])
        self.assert_admits(vip, second)
        self.assert_whole()
        # Without a daemon they stay in force.
        self.lb.kill9_daemon()
        self.assert_admits(vip, second)
        self.assert_whole()
        self.lb.start_daemon()
        self.assert_admits(vip, second)
        denied = self.sources()
        self.assertEqual(len(denied["deny"]), 2)
        self.assertGreater(denied["denied"], 0)
        # The longest prefix decides.
        self.lb.cli("service", "allow", "ws", third)
        self.assert_admits(vip, third)
        self.lb.cli("service", "allow", "ws", ALL[family])
        self.assert_admits(vip, second, third)
        self.lb.cli("service", "unlist", "ws", "--all")
        self.assert_admits(vip, own, second, third)
        self.assert_whole()

    def test_lists_refuse_new_connections_and_leave_old_ones_ipv4(
            self) -> None:
        self.check_lists(4)

    def test_lists_refuse_new_connections_and_leave_old_ones_ipv6(
            self) -> None:
        self.check_lists(6)

    def check_rate(self, family: int) -> None:
        """One second's burst, then no more than the rate; each source has its
        own, whatever the others do, and connections that live go on."""
        vip = self.add(family)
        own, second, third = SOURCES[family]
        self.fleet.open(vip, PORT, echo=30, silent=10, interval=0.2)
        # The first two are one source, the third is another.
        length = ("--source-prefix4", 25) if family == 4 else (
            "--source-prefix6", 113)
        self.lb.cli("service", "set", "ws", "--source-rate", 1,
                    "--source-burst", 4, *length)
        begun = time.monotonic()
        opened = self.crowd(own, vip, 15) + self.crowd(second, vip, 15)
        self.assertGreaterEqual(opened, 4)
        self.assertLessEqual(opened, 4 + (time.monotonic() - begun))
        self.assertEqual(self.connect(third, vip), 0)
        refused = self.lb.cli("service", "show", "ws", json=True)[
            "service"]["over_rate"]
        self.assertGreater(refused, 0)
        self.assert_whole()
        # Without a daemon it stays in force.
        self.lb.kill9_daemon()
        self.assertLess(self.crowd(own, vip, 30), 20)
        self.lb.start_daemon()
        self.assertLess(self.crowd(own, vip, 30), 20)
        self.lb.cli("service", "set", "ws", "--source-rate", 0)
        self.assertEqual(self.crowd(own, vip, 30), 30)
        self.assert_whole()

    def crowd(self, source: str, vip: str, count: int) -> int:
        """How many of that many connections open with their first SYN."""
        return int(run(in_netns(self.lab.client.netns, [
            "/usr/bin/python3", "-c", CROWD, source, vip, str(PORT),
            str(count)])).stdout)

    def test_a_source_opens_connections_by_its_rate_ipv4(self) -> None:
        self.check_rate(4)

    def test_a_source_opens_connections_by_its_rate_ipv6(self) -> None:
        self.check_rate(6)

    def check_conns(self, family: int) -> None:
        """So many connections of a source live at once, and one more when one
        of them has closed; what lives goes on, also without a daemon."""
        vip = self.add(family)
        own, second, third = SOURCES[family]
        # What there is already does not count, and goes on.
        self.fleet.open(vip, PORT, echo=30, silent=10, interval=0.2)
        # The first two are one source, the third is another.
        length = ("--source-prefix4", 25) if family == 4 else (
            "--source-prefix6", 113)
        self.lb.cli("service", "set", "ws", "--source-conns", 5, *length)
        keeper, other = self.keeper(own, vip), self.keeper(second, vip)
        self.assertEqual(keeper("open", 3), 3)
        self.assertEqual(other("open", 4), 2)
        self.assertEqual(self.connect(third, vip), 0)
        shown = self.lb.cli("service", "show", "ws", json=True)["service"]
        self.assertEqual(shown["source_conns"], 5)
        self.assertGreaterEqual(shown["over_source_conns"], 2)
        self.assertEqual(shown["uncounted"], 0)
        text = f"[{own}]:9" if family == 6 else f"{own}:9"
        target = f"[{vip}]:{PORT}" if family == 6 else f"{vip}:{PORT}"
        told = self.lb.cli("flows", "explain", "--src", text, "--dst", target,
                           json=True)
        self.assertEqual(told["source_connections"], 5)
        self.assertEqual(told["syn"]["verdict"], "DROP_SOURCE_CONNS")
        # One closes: one may come, some seconds later.
        self.assertEqual(keeper("close", 1), 2)
        wait_until(lambda: self.connections(text, target) == 4, timeout=30,
                   what="the closed one counts no more")
        self.assertEqual(other("open", 3), 1)
        # Lowered, it touches none; and the next daemon knows them all.
        self.lb.cli("service", "set", "ws", "--source-conns", 2)
        self.assertEqual(keeper("open", 1), 0)
        self.lb.kill9_daemon()
        self.assertEqual(keeper("open", 1), 0)
        self.lb.start_daemon()
        self.assertEqual(keeper("open", 1), 0)
        self.assertEqual(keeper("state", 0), 2)
        self.assertEqual(other("state", 0), 3)
        self.assertEqual(self.connections(text, target), 5)
        self.lb.cli("service", "set", "ws", "--source-conns", 0)
        self.assertEqual(keeper("open", 4), 4)
        self.assert_whole()

    def connections(self, source: str, target: str) -> int:
        return self.lb.cli("flows", "explain", "--src", source, "--dst", target,
                           json=True)["source_connections"]

    def keeper(self, source: str, vip: str) -> Callable[[str, int], int]:
        process = subprocess.Popen(
            in_netns(self.lab.client.netns, [
                "/usr/bin/python3", "-c", KEEPER, source, vip, str(PORT)]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        self.keepers.append(process)

        def ask(verb: str, count: int) -> int:
            process.stdin.write(f"{verb} {count}\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        return ask

    def test_a_source_has_so_many_connections_ipv4(self) -> None:
        self.check_conns(4)

    def test_a_source_has_so_many_connections_ipv6(self) -> None:
        self.check_conns(6)

    def test_a_list_that_changes_admits_whom_both_admit(self) -> None:
        """A client whom every list admits never has to send a SYN twice; one
        whom each refuses is never let in. The daemon is killed at any moment,
        and the next one brings the lists to what is durable."""
        vip = self.add(4)
        own, refused, second = SOURCES[4]
        self.fleet.open(vip, PORT, echo=40, interval=0.2)
        many = [f"198.51.100.{i}" for i in range(200)]
        self.lb.cli("service", "deny", "ws", refused)
        failures: list[str] = []
        over = threading.Event()

        def knock() -> None:
            while not over.is_set():
                if self.connect(own, vip) != 0:
                    failures.append("refused")
                if self.connect(refused, vip) == 0:
                    failures.append("admitted")

        clients = threading.Thread(target=knock)
        clients.start()
        chance = random.Random(4)
        try:
            for _ in range(3):
                change = threading.Thread(target=self.lb.cli, args=(
                    "service", "deny", "ws", *many), kwargs={"check": False})
                change.start()
                time.sleep(chance.uniform(0, 0.1))
                self.lb.kill9_daemon()
                change.join()
                self.lb.start_daemon()
                self.lb.cli("service", "allow", "ws", "192.0.2.0/24")
                self.lb.cli("service", "unlist", "ws", "192.0.2.0/24")
                if len(self.sources()["deny"]) > 1:
                    self.lb.cli("service", "unlist", "ws", *many)
        finally:
            over.set()
            clients.join()
        self.assertEqual(failures, [])
        self.assertEqual(self.sources()["deny"], [f"{refused}/32"])
        self.assert_whole()


if __name__ == "__main__":
    main()
