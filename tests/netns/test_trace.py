"""`fairlead trace` on a host that carries connections: what it shows is what
tcpdump finds in its file, and it neither breaks nor outlives anything."""

import json
import re

from lab import services
from lab.processes import Child, wait_until
from lab.testcase import PORT, OneLbTestCase, main


class TraceTest(OneLbTestCase):
    lab_name = "flttrc"

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.services = services.both_families("web", cls.lab.vips[0], PORT)
        services.add_services([cls.lb], cls.services)
        services.add_backends([cls.lb], cls.services, cls.lab.backends)
        services.wait_available([cls.lb], cls.services, 2)
        cls.fleet = cls.lab.client.start_fleet()

    def trace(self, *arguments: str) -> Child:
        child = self.lb.start(f"trace{len(self.lb.children)}", [
            self.lab.binary("cli/fairlead"), "--socket", self.lb.socket,
            "trace", *arguments])
        self.addCleanup(child.stop)
        wait_until(lambda: not child.running() or self.has_begun(child),
                   timeout=10, what="the trace begins")
        return child

    def has_begun(self, child: Child) -> bool:
        said = child.log.read_text()
        return "tracing;" in said or "VERDICT" in said

    def test_packets_are_told_in_and_out(self) -> None:
        # Four bytes of GUE, 32 of hops, UDP and the outer IP header.
        for service, tunnel in zip(self.services, (64, 84)):
            name = service.name
            child = self.trace("--service", name, "--count", "40", "-o",
                               "json")
            self.fleet.open(service.vip, PORT, echo=10, interval=0.2,
                            group=name)
            self.assertEqual(child.wait(20), 0, child.log_tail())
            packets = [json.loads(line) for line in
                       child.log.read_text().splitlines()
                       if line.startswith("{")]
            self.assertEqual(len(packets), 40)
            self.assertEqual({p["service"] for p in packets}, {name})
            self.assertIn("TX_SYN_NEW", {p["verdict"] for p in packets})
            for packet in packets:
                self.assertRegex(packet["in"]["text"],
                                 re.escape(f"{PORT} TCP "))
                self.assertRegex(packet["out"]["text"], "GUE hops b[12],b[12]")
                self.assertEqual(packet["out"]["length"],
                                 packet["in"]["length"] + tunnel)

    def test_the_file_is_what_tcpdump_reads(self) -> None:
        path = self.lb.directory / "trace.pcapng"
        child = self.trace("--dst", f"{self.lab.vip}:{PORT}", "--src",
                           f"{self.lab.client.address}/32", "--count", "20",
                           "-w", str(path))
        self.fleet.open(self.lab.vip, PORT, echo=10, interval=0.2)
        self.assertEqual(child.wait(20), 0, child.log_tail())
        lines = self.lb.run("tcpdump", "-nn", "-r", path).stdout.splitlines()
        to_vip = [line for line in lines
                  if f"> {self.lab.vip}.{PORT}: Flags" in line]
        tunnelled = [line for line in lines if ".6080: " in line]
        self.assertEqual((len(to_vip), len(tunnelled)), (20, 20), lines)

    def test_one_trace_at_a_time_and_it_ends_with_its_client(self) -> None:
        first = self.trace("--service", "web")
        done = self.lb.cli("trace", "--count", "1", check=False)
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertIn("another trace is under way", done.stderr)
        first.kill9()
        wait_until(lambda: self.has_begun(self.trace("--service", "web")),
                   timeout=10, what="another one may begin")

    def test_kill_9_of_a_tracing_daemon_breaks_nothing(self) -> None:
        self.fleet.open(self.lab.vip, PORT, echo=20, interval=0.1,
                        group="kill")
        child = self.trace("--service", "web")
        self.lb.kill9_daemon()
        self.assertEqual(child.wait(10), 3, child.log_tail())
        self.assertEqual(self.fleet.verify(within=30, group="kill")["broken"],
                         0)
        self.lb.start_daemon()
        again = self.trace("--service", "web", "--count", "5", "-o", "json")
        self.assertEqual(again.wait(20), 0, again.log_tail())
        self.assertEqual(self.fleet.verify(within=30)["broken"], 0)

    def test_more_than_can_be_told_is_counted(self) -> None:
        self.fleet.open(self.lab.vip, PORT, echo=100, interval=0.02,
                        group="many")
        child = self.trace("--service", "web", "--count", "1500", "-o", "json")
        self.assertEqual(child.wait(20), 0, child.log_tail())
        self.assertIn("came too fast to be told", child.log.read_text())
        self.fleet.close(group="many")

    def test_what_cannot_match_is_refused(self) -> None:
        for arguments, code, words in (
                (("--service", "wob"), 4, 'no service "wob"'),
                (("--verdict", "TX_HITS"), 4, "TX_HIT"),
                (("--src", "client"), 1, "ADDRESS/LENGTH"),
                (("--count", "none"), 2, "count"),
                (("-w", "/nowhere/x.pcapng", "--count", "1"), 1,
                 "create /nowhere/x.pcapng: No such file")):
            done = self.lb.cli("trace", *arguments, check=False, timeout=10)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(words, done.stderr)


if __name__ == "__main__":
    main()
