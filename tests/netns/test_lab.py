"""The lab itself, without Fairlead: what it promises to the other tests.

The VIPs are routed straight to a backend, or through a program that bounces
packets by XDP_TX in the place of the load balancer.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import unittest

from lab import Lab, LabError, LabOptions, ownership, wait_until
from lab.processes import processes_in
from lab.testcase import LabTestCase, main, skip

PORT = 8080
TOOL = pathlib.Path(__file__).parents[2] / "tools/lab"


def traces_of(name: str) -> list[str]:
    """Everything that a lab could leave behind."""
    found = [str(path) for directory in ("/run/netns", "/sys/fs/bpf")
             if os.path.isdir(directory)
             for path in pathlib.Path(directory).iterdir()
             if path.name.startswith(f"{name}-")]
    if ownership.lab_dir(name).exists():
        found.append(str(ownership.lab_dir(name)))
    # The lab's own folder is in the command line of each of its programs.
    folder = f"{ownership.lab_dir(name)}/".encode()
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if folder in path.read_bytes():
                found.append(str(path))
        except OSError:
            pass
    return found


class TrafficTest(LabTestCase):
    lab_name = "fltlab"
    lab_options = LabOptions(lbs=1, backends=2)

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.lab.start_servers(PORT)

    def setUp(self) -> None:
        self.b1, self.b2 = self.lab.backends[:2]
        self.lab.route_vips([self.b1])
        for backend in (self.b1, self.b2):
            if not backend.servers[PORT].child.running():
                backend.start_server(PORT)
            backend.servers[PORT].set_health(200)
        self.fleet = self.lab.client.start_fleet()
        self.addCleanup(self.fleet.stop)

    def http_status(self, address: str, port: int) -> str:
        host = f"[{address}]" if ":" in address else address
        return self.lab.client.run(
            "curl", "-s", "-m5", "-o", "/dev/null", "-w", "%{http_code}",
            f"http://{host}:{port}/healthz", check=False).stdout

    def test_every_host_is_reached_over_both_families(self) -> None:
        for host in (*self.lab.lbs, self.b1, self.b2):
            for address in (host.address, host.address6):
                with self.subTest(host=host.name, address=address):
                    # Port 9 is closed everywhere: "refused" is an answer.
                    done = self.lab.client.run(
                        "timeout", "5", "bash", "-c",
                        f"exec 3<>/dev/tcp/{address}/9", check=False)
                    self.assertIn("Connection refused", done.stderr)

    def test_the_health_answer_is_what_the_test_says(self) -> None:
        server = self.b1.servers[PORT]
        for status in (503, 200):
            server.set_health(status)
            for port in (PORT, server.health_port):
                for address in (self.b1.address, self.b1.address6):
                    self.assertEqual(self.http_status(address, port),
                                     str(status))

    def test_a_backend_takes_connections_for_every_vip(self) -> None:
        before = self.b1.servers[PORT].stats()
        opened = 0
        for vips in self.lab.vips:
            for vip in vips:
                opened += 2
                answer = self.fleet.open(vip, PORT, echo=1, silent=1)
                self.assertEqual(answer["alive"], 2, answer)
        after = self.b1.servers[PORT].stats()
        self.assertEqual(after["accepts"] - before["accepts"], opened)
        self.assertEqual(after["tcp_accepts"] - before["tcp_accepts"], opened)
        self.assertEqual(list(self.fleet.report()["backends"]), ["b1"])

    def test_probes_do_not_count_as_accepted_websockets(self) -> None:
        before = self.b1.servers[PORT].stats()
        self.assertEqual(self.http_status(self.lab.vip, PORT), "200")
        after = self.b1.servers[PORT].stats()
        self.assertEqual(after["accepts"], before["accepts"])
        self.assertEqual(after["tcp_accepts"], before["tcp_accepts"] + 1)

    def test_silent_connections_are_verified_too(self) -> None:
        for vip in self.lab.vips[0]:
            self.fleet.open(vip, PORT, echo=20, silent=20, interval=0.2)
        before = self.b1.servers[PORT].stats()["messages"]
        answer = self.fleet.verify(kind="silent")
        self.assertEqual(answer["verified"], 40, answer)
        self.assertEqual(self.fleet.verify()["verified"], 80)
        self.assertGreaterEqual(
            self.b1.servers[PORT].stats()["messages"] - before, 120)
        self.assertEqual(self.fleet.close(kind="echo"), 40)
        report = self.fleet.report()
        self.assertEqual((report["alive"], report["closed"], report["broken"]),
                         (40, 40, 0), report)

    def test_a_killed_server_is_reported_and_named(self) -> None:
        self.fleet.open(self.lab.vip, PORT, echo=10, silent=10, interval=0.2)
        self.lab.route_vips([self.b2])
        self.fleet.open(self.lab.vip6, PORT, echo=5, silent=5, interval=0.2)
        self.b1.servers[PORT].kill9()
        wait_until(lambda: self.fleet.report()["broken"] == 20, timeout=10,
                   what="20 broken connections")
        report = self.fleet.verify()
        self.assertEqual(report["backends"]["b1"]["broken"], 20, report)
        self.assertEqual(report["backends"]["b2"]["alive"], 10, report)
        self.assertLessEqual(set(report["reasons"]), {"rst", "eof"}, report)
        self.assertEqual(report["examples"][0]["backend"], "b1")

    def test_a_silent_connection_that_lost_its_way_is_found(self) -> None:
        self.fleet.open(self.lab.vip, PORT, silent=5)
        self.lab.route_vips([])
        self.assertEqual(self.fleet.report()["alive"], 5)
        report = self.fleet.verify(within=2)
        self.assertEqual(report["reasons"], {"no-echo-30s": 5}, report)

    def test_connections_that_cannot_open_are_counted(self) -> None:
        report = self.fleet.open(self.lab.vip, 9, echo=3)
        self.assertEqual(
            (report["requested"], report["opened"], report["connect_failed"]),
            (3, 0, 3), report)

    def test_vips_spread_over_several_hosts_by_flow(self) -> None:
        self.lab.route_vips([self.b1, self.b2])
        for vip in self.lab.vips[0]:
            report = self.fleet.open(vip, PORT, echo=40, interval=0.1,
                                     group=vip)
            self.assertEqual(report["alive"], 40, report)
            self.assertEqual(set(report["backends"]), {"b1", "b2"})
        self.assertEqual(self.fleet.verify()["verified"], 80)

    def test_churn_counts_failures_and_backends(self) -> None:
        self.fleet.start_churn(self.lab.vip, PORT, rate=100, name="v4",
                               connect_timeout=0.5)
        wait_until(lambda: self.fleet.churn_report("v4")["ok"] >= 20,
                   timeout=20, what="20 good connections on b1")
        self.lab.route_vips([self.b2])
        wait_until(lambda: self.fleet.churn_report("v4")["backends"]
                   .get("b2", 0) >= 20, timeout=20, what="20 on b2")
        self.lab.route_vips([])
        wait_until(lambda: self.fleet.churn_report("v4")["failed"] >= 20,
                   timeout=20, what="20 failures")
        report = self.fleet.stop_churn("v4")
        self.assertEqual(report["attempts"], report["ok"] + report["failed"])
        self.assertEqual(set(report["backends"]), {"b1", "b2"})
        # One that was open while the route moved may be reset instead.
        self.assertGreaterEqual(report["reasons"]["connect-failed"], 15)
        self.assertIn("reason", report["examples"][0])

    def test_a_backend_added_later_serves(self) -> None:
        backend = self.lab.add_backend()
        backend.start_server(PORT)
        self.lab.route_vips([backend])
        report = self.fleet.open(self.lab.vip6, PORT, echo=4)
        self.assertEqual(report["backends"],
                         {backend.name: {"opened": 4, "alive": 4, "closed": 0,
                                         "broken": 0}})

    def test_segments_leave_room_for_the_encapsulation(self) -> None:
        for vip, limit in zip(self.lab.vips[0], (1380, 1340)):
            self.fleet.open(vip, PORT, silent=1, group=vip)
            local = self.fleet.connections(group=vip)[0]["local"]
            info = self.lab.client.run("ss", "-Htni", "src", local).stdout
            sizes = dict(word.split(":", 1) for word in info.split()
                         if word.startswith(("mss:", "pmtu:")))
            # ss counts without the 12 bytes of the timestamp option.
            self.assertLessEqual(int(sizes["mss"]), limit - 12, info)


class XdpTransmitTest(LabTestCase):
    """XDP_TX on veth loses packets and checksums unless both ends are set up
    for it. Here every packet to a VIP takes that way."""

    lab_name = "fltxdp"
    lab_options = LabOptions(lbs=1, backends=1)

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        lab = cls.lab
        lab.attach_xdp(lab.lbs[0], "eth0", "xdp_bounce")
        # What the LB sends back goes on to the backend.
        backend = lab.backends[0]
        for family, via in (("-4", backend.address), ("-6", backend.address6)):
            lab.router.run("ip", family, "route", "add", "default", "via", via,
                           "table", "100")
            lab.router.run("ip", family, "rule", "add", "iif", "lb1", "table",
                           "100")
        backend.start_server(PORT)

    def test_bulk_and_small_messages_arrive_with_right_checksums(self) -> None:
        fleet = self.lab.client.start_fleet()
        self.addCleanup(fleet.stop)
        for vip in self.lab.vips[0]:
            report = fleet.open(vip, PORT, echo=4, payload=500_000,
                                interval=0.2)
            self.assertEqual(report["alive"], 4, report)
            report = fleet.open(vip, PORT, silent=50)
            self.assertEqual(report["alive"], 50, report)
        report = fleet.verify()
        self.assertEqual(report["verified"], 108, report)
        # Far below the minimum retransmission time: nothing was lost.
        self.assertLess(fleet.verify(kind="silent")["echo"]["p50_ms"], 200)
        for host in (self.lab.client, self.lab.backends[0]):
            self.assertEqual(host.counter("TcpInCsumErrors"), 0, host.name)


OWNER = """
    import os, signal, subprocess, sys
    from lab import Lab, LabOptions
    with Lab(sys.argv[1], LabOptions(backends=1)) as lab:
        backend = lab.backends[0]
        server = backend.start_server(8080)
        # One that escapes the death signal: not a child of the owner.
        backend.run("bash", "-c", "setsid sleep 1000 >/dev/null 2>&1 &")
        # As deep as a daemon's own pins.
        path = lab.lbs[0].pin_path / "v2" / "maps" / "fl_rows"
        path.parent.mkdir(parents=True)
        subprocess.run(["bpftool", "map", "create", path, "type", "array",
                        "key", "4", "value", "8", "entries", "1", "name",
                        "fl_rows"], check=True)
        print(server.child.pid, flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            sys.exit(130)
"""


class LifecycleTest(unittest.TestCase):
    def setUp(self) -> None:
        if os.geteuid() != 0:
            skip("network namespaces need root")

    def start_owner(self, name: str) -> tuple[subprocess.Popen, int]:
        """A process that raises a lab; returns it and its server's pid."""
        owner = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(OWNER), name],
            stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.addCleanup(subprocess.run, [TOOL, "down", "--name", name],
                        capture_output=True, check=False)
        self.addCleanup(owner.stdout.close)
        self.addCleanup(owner.wait)
        self.addCleanup(owner.terminate)
        line = owner.stdout.readline()
        self.assertTrue(line, "the owner ended early")
        self.assertGreater(len(traces_of(name)), 6)
        return owner, int(line)

    def test_nothing_is_left_after_the_end(self) -> None:
        with Lab("fltend", LabOptions(backends=1)) as lab:
            lab.backends[0].start_server(PORT)
            lab.client.start_fleet()
            self.assertNotEqual(traces_of("fltend"), [])
        self.assertEqual(traces_of("fltend"), [])

    def test_nothing_is_left_after_an_exception(self) -> None:
        with self.assertRaises(ZeroDivisionError):
            with Lab("fltexc", LabOptions(backends=1)) as lab:
                lab.backends[0].start_server(PORT)
                raise ZeroDivisionError
        self.assertEqual(traces_of("fltexc"), [])

    def test_nothing_is_left_after_failing_to_come_up(self) -> None:
        with self.assertRaises(ValueError):
            Lab("fltbad", LabOptions(lbs=4)).up()
        self.assertEqual(traces_of("fltbad"), [])

    def test_signals_end_a_lab_in_good_order(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with self.subTest(signal=number.name):
                owner, _ = self.start_owner("fltsig")
                owner.send_signal(number)
                owner.wait(20)
                self.assertEqual(traces_of("fltsig"), [])

    def test_a_killed_owner_takes_its_programs_along(self) -> None:
        owner, server_pid = self.start_owner("fltcrash")
        netns_name = ownership.netns_name("fltcrash", "b1")
        self.assertIn(server_pid, processes_in(netns_name))
        owner.kill()
        owner.wait()
        wait_until(lambda: server_pid not in processes_in(netns_name),
                   timeout=5, what="end of the orphaned server")
        # The sleep in the background, the pin and the namespaces are still
        # there; the next lab of this name clears them away first.
        self.assertEqual(len(processes_in(netns_name)), 1)
        pin = ownership.pin_path("fltcrash", "lb1")
        self.assertTrue(pin.exists())
        with Lab("fltcrash", LabOptions(backends=1)):
            self.assertEqual(processes_in(netns_name), [])
            self.assertFalse(pin.exists())
        self.assertEqual(traces_of("fltcrash"), [])

    def test_a_name_in_use_is_refused_and_its_owner_named(self) -> None:
        owner, server_pid = self.start_owner("fltuse")
        with self.assertRaisesRegex(LabError, f"process {owner.pid}"):
            Lab("fltuse").up()
        self.assertIn(server_pid, processes_in(
            ownership.netns_name("fltuse", "b1")))

    def test_two_labs_run_side_by_side(self) -> None:
        options = LabOptions(backends=1)
        with Lab("fltone", options) as one, Lab("flttwo", options) as two:
            for lab in (one, two):
                lab.backends[0].start_server(PORT)
                lab.route_vips(lab.backends)
            fleets = [lab.client.start_fleet() for lab in (one, two)]
            for fleet in fleets:
                report = fleet.open(one.vip, PORT, echo=3)
                self.assertEqual(report["alive"], 3, report)
            one.down()
            self.assertEqual(traces_of("fltone"), [])
            self.assertEqual(fleets[1].verify()["verified"], 3)
        self.assertEqual(traces_of("flttwo"), [])

    def test_a_lab_can_be_left_running_and_removed_later(self) -> None:
        lab = Lab("fltkeep", LabOptions(backends=1, may_outlive_owner=True))
        lab.up()
        server = lab.backends[0].start_server(PORT)
        lab.leave_running()
        self.assertEqual(server.stats()["backend"], "b1")
        subprocess.run([TOOL, "down", "--name", "fltkeep"], check=True)
        self.assertEqual(traces_of("fltkeep"), [])
        server.child.wait()


class ToolTest(unittest.TestCase):
    def setUp(self) -> None:
        if os.geteuid() != 0:
            skip("network namespaces need root")

    def tool(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([TOOL, *words], text=True,
                              capture_output=True, timeout=60)

    def test_up_exec_list_and_down(self) -> None:
        name = ("--name", "flttool")
        up = self.tool("up", *name, "--backends", "1", "--servers", "--detach")
        self.addCleanup(self.tool, "down", *name)
        self.assertEqual(up.returncode, 0, up.stdout + up.stderr)
        self.assertIn("--net=/run/netns/flttool-b1", up.stdout)
        self.assertIn("flttool", self.tool("list").stdout)
        answer = self.tool("exec", *name, "b1", "ip", "-j", "address", "show",
                           "dev", "eth0")
        addresses = [a["local"] for a in
                     json.loads(answer.stdout)[0]["addr_info"]]
        self.assertIn("203.0.113.35", addresses)
        missing = self.tool("exec", *name, "b9", "true")
        self.assertEqual(missing.returncode, 1)
        self.assertIn("router, client, lb1, b1", missing.stderr)
        self.assertEqual(self.tool("down", *name).returncode, 0)
        self.assertEqual(traces_of("flttool"), [])
        self.assertEqual(self.tool("down", *name).returncode, 1)


if __name__ == "__main__":
    main()
