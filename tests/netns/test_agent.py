"""fairlead-agent on real backends: packets from an LB host made of Python reach
real sockets, are handed on to the backend that has the connection, and nothing
of that stops when an agent is killed, replaced or misconfigured.
"""

import json
import pathlib
import shutil
import signal
import subprocess
import sys

import fake_lb
from agent_lab import PORT, ROWS, AgentTestCase
from fake_lb import SYN
from lab import LabOptions, tier, wait_until
from lab.errors import LabError
from lab.testcase import main


class TrafficTest(AgentTestCase):
    lab_name = "fltagent"
    lab_options = LabOptions(lbs=1, backends=2)

    def setUp(self) -> None:
        super().setUp()
        # The end of the connections of the case before finds its way too.
        self.route(self.b1, self.b2)
        wait_until(lambda: not any(sum(self.live(b).values())
                                   for b in (self.b1, self.b2)),
                   timeout=20, what="backends without connections")
        self.route(self.b1)

    def test_the_report_has_every_field(self) -> None:
        state = self.state(self.b1)
        boot_id = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text()
        self.assertEqual(state["boot_id"], boot_id.strip())
        self.assertEqual(state["peer_map_digest"], "abcd")
        self.assertEqual([s["vip"] for s in state["services"]],
                         [f"{self.lab.vip}:{PORT}",
                          f"[{self.lab.vip6}]:{PORT}"])
        self.assertLess(state["scan_begun_age_ms"], 10_000)
        self.assertRegex(state["version"], r"^\d+\.\d+\.\d+$")
        self.assertIn("TX_NEXT_HOP", state["verdicts"])
        self.assertEqual(self.state(self.b1, lb=9)["peer_map_digest"], "")
        wait_until(lambda: self.state(self.b1)["scan"] > state["scan"],
                   timeout=5, what="a newer scan")

    def test_connections_reach_the_listener_over_both_families(self) -> None:
        # Both inner families in both outer ones.
        for vip in self.lab.vips[0]:
            for family in (4, 6):
                with self.subTest(vip=vip, outer=family):
                    for backend in (self.b1, self.b2):
                        self.push(backend, digest=f"f{family}", family=family)
                    self.route(self.b1, self.b2, family=family)
                    report = self.fleet.open(vip, PORT, echo=2, silent=3)
                    self.assertEqual(report["alive"], 5, report)
                    self.assertEqual(list(report["backends"]), ["b1"])
        self.assertEqual(self.fleet.verify()["verified"], 20)
        live = self.live(self.b1)
        self.assertEqual(live, {f"{self.lab.vip}:{PORT}": 10,
                                f"[{self.lab.vip6}]:{PORT}": 10})
        self.assertEqual(sum(self.live(self.b2).values()), 0)
        self.fleet.close(count=6)
        wait_until(lambda: sum(self.live(self.b1).values()) == 14,
                   timeout=10, what="14 live sockets")

    def test_segments_are_handed_on_to_the_backend_with_the_socket(
            self) -> None:
        for vip in self.lab.vips[0]:
            self.fleet.open(vip, PORT, echo=5, silent=5, interval=0.1)
        before = self.verdict(self.b2, "TX_NEXT_HOP")
        sockets = self.verdict(self.b1, "PASS_SOCKET")
        # From now on everything goes to the wrong backend first.
        self.route(self.b2, self.b1)
        report = self.fleet.verify()
        self.assertEqual(report["verified"], 20, report)
        self.assertGreaterEqual(
            self.verdict(self.b2, "TX_NEXT_HOP") - before, 20)
        self.assertGreater(self.verdict(self.b1, "PASS_SOCKET"), sockets)
        # A SYN is for the acceptor: new connections are b2's.
        report = self.fleet.open(self.lab.vip, PORT, silent=3, group="new")
        self.assertEqual(list(report["backends"]), ["b2"], report)

    def test_a_segment_that_nobody_owns_is_dropped_not_reset(self) -> None:
        self.fleet.open(self.lab.vip, PORT, silent=2)
        before = self.verdict(self.b2, "DROP_NOBODY")
        self.route(self.b2)
        report = self.fleet.verify(within=0.5)
        self.assertEqual(report["reasons"], {"no-echo-30s": 2}, report)
        self.assertGreater(self.verdict(self.b2, "DROP_NOBODY"), before)

    def test_strangers_and_lies_are_dropped_and_counted(self) -> None:
        syn = fake_lb.tcp_packet("192.0.2.2", 4444, self.lab.vip, PORT,
                                 flags=SYN)
        other = fake_lb.tcp_packet("192.0.2.2", 4444, "198.51.100.13", 9,
                                   flags=SYN)
        cases = [
            ("DROP_SOURCE", self.lab.client, fake_lb.hop_list([1]), syn),
            ("DROP_HOP_LIST", self.lb, fake_lb.hop_list([2]), syn),
            ("DROP_HOP_LIST", self.lb, fake_lb.hop_list([1], index=1), syn),
            ("DROP_NOT_SERVICE", self.lb, fake_lb.hop_list([1]), other),
            ("DROP_INNER", self.lb, fake_lb.hop_list([1]), syn[:30]),
            ("DROP_TUNNEL_HEADER", self.lb, b"\2" + fake_lb.hop_list([1])[1:],
             syn),
            ("PASS_SYN", self.lb, fake_lb.hop_list([1]), syn)]
        for verdict, host, hops, inner in cases:
            with self.subTest(verdict=verdict):
                before = self.verdict(self.b1, verdict)
                self.send(self.b1, hops, inner, host)
                wait_until(lambda v=verdict, n=before:
                           self.verdict(self.b1, v) == n + 1,
                           timeout=5, what=verdict)

    def test_a_killed_agent_stops_nothing_and_the_next_takes_over(
            self) -> None:
        self.fleet.open(self.lab.vip, PORT, echo=20, silent=10, interval=0.05)
        self.fleet.start_churn(self.lab.vip6, PORT, rate=40)
        for kill9 in (True, False, True):
            last = self.state(self.b1)
            if kill9:
                self.b1.kill9_agent()
                report = self.fleet.verify(within=5)
                self.assertEqual(report["verified"], 30, report)
            self.b1.restart_agent()
            state = self.state(self.b1)
            # Nobody had to say anything again.
            self.assertEqual(state["peer_map_digest"], "abcd")
            self.assertGreater(state["scan"], last["scan"])
            self.assertGreater(state["verdicts"]["PASS_SOCKET"],
                               last["verdicts"]["PASS_SOCKET"])
        report = self.fleet.verify(within=5)
        self.assertEqual((report["verified"], report["broken"]), (30, 0),
                         report)
        wait_until(lambda: self.fleet.churn_report()["ok"] > 20, timeout=20,
                   what="20 short connections")
        churn = self.fleet.stop_churn()
        self.assertEqual(churn["failed"], 0, churn)

    def test_a_new_binary_takes_over_under_traffic(self) -> None:
        upgraded = self.b1.directory / "fairlead-agent-new"
        shutil.copy(self.binary, upgraded)
        self.route(self.b2, self.b1)
        self.fleet.open(self.lab.vip, PORT, echo=10, interval=0.05)
        for backend in (self.b1, self.b2):
            self.assertEqual(backend.stop_agent(), 0)
            backend.start_agent(upgraded)
        report = self.fleet.verify(within=5)
        self.assertEqual((report["verified"], report["broken"]), (10, 0))

    def test_handing_on_works_at_once_after_a_restart(self) -> None:
        self.fleet.open(self.lab.vip, PORT, echo=10, interval=0.02)
        self.route(self.b2, self.b1)
        before = self.verdict(self.b2, "DROP_NO_PEER")
        for _ in range(3):
            self.b2.restart_agent(kill9=True)
        report = self.fleet.verify(within=5)
        self.assertEqual(report["verified"], 10, report)
        self.assertEqual(self.verdict(self.b2, "DROP_NO_PEER"), before)

    def test_a_draining_host_hands_new_connections_on(self) -> None:
        self.route(self.b1, self.b2, acceptors=3)
        report = self.fleet.open(self.lab.vip, PORT, echo=4, interval=0.05,
                                 group="old")
        self.assertEqual(set(report["backends"]), {"b1"})
        self.addCleanup(self.agent, self.b1, "ready", "--config",
                        self.b1.config)
        self.assertEqual(self.agent(self.b1, "drain", "--config",
                                    self.b1.config).returncode, 0)
        self.assertTrue(self.state(self.b1)["draining"])
        for vip in self.lab.vips[0]:
            self.route(self.b1, self.b2, acceptors=3)
            report = self.fleet.open(vip, PORT, echo=4, interval=0.05,
                                     group="new")
            self.assertEqual(report["alive"], 4, report)
        self.assertEqual(set(report["backends"]), {"b2"}, report)
        # What was said outlives the agent, and the old ones live on.
        self.b1.restart_agent(kill9=True)
        self.assertTrue(self.state(self.b1)["draining"])
        self.assertIn("draining", self.agent(
            self.b1, "status", "--config", self.b1.config).stdout)
        # Better here than nowhere.
        self.route(self.b1)
        report = self.fleet.open(self.lab.vip, PORT, silent=1, group="only")
        self.assertEqual(set(report["backends"]), {"b1"})
        self.route(self.b1, self.b2, acceptors=3)
        report = self.fleet.verify(within=5)
        self.assertEqual((report["verified"], report["broken"]), (13, 0),
                         report)
        self.assertEqual(self.agent(self.b1, "ready", "--config",
                                    self.b1.config).returncode, 0)
        report = self.fleet.open(self.lab.vip, PORT, silent=2, group="back")
        self.assertEqual(set(report["backends"]), {"b1"})
        # Nobody but the host itself may say so.
        status, answer = self.http(self.lb, self.b1, "/v1/drain", body={})
        self.assertIn(status, (403, 405), answer)

    def test_a_lost_state_folder_keeps_what_the_maps_hold(self) -> None:
        self.fleet.open(self.lab.vip, PORT, echo=5, interval=0.05)
        self.b1.kill9_agent()
        for file in self.b1.state_dir.iterdir():
            file.unlink()
        self.b1.start_agent()
        self.assertEqual(self.state(self.b1)["peer_map_digest"], "")
        self.assertEqual(self.fleet.verify(within=5)["verified"], 5)
        self.push(self.b1)
        self.assertEqual(self.state(self.b1)["peer_map_digest"], "abcd")

    def test_services_are_the_union_of_all_lb_hosts(self) -> None:
        extra = "198.51.100.11:9000"
        both = f"{self.lab.vip}:{PORT}"
        self.addCleanup(self.push, self.b1, lb=2, digest="0", vips=[])
        self.push(self.b1, lb=2, digest="22", vips=[extra, both])
        services = [s["vip"] for s in self.state(self.b1)["services"]]
        self.assertEqual(services, [both, extra,
                                    f"[{self.lab.vip6}]:{PORT}"])
        self.push(self.b1, lb=1, digest="11", vips=[])
        services = [s["vip"] for s in self.state(self.b1)["services"]]
        self.assertEqual(services, [both, extra])
        self.assertEqual(self.state(self.b1, lb=2)["peer_map_digest"], "22")
        self.b1.restart_agent(kill9=True)
        self.assertEqual(self.state(self.b1, lb=1)["peer_map_digest"], "11")
        self.push(self.b1, lb=2, digest="23", vips=[])
        self.assertEqual(self.state(self.b1)["services"], [])

    def test_a_withdrawn_service_is_dropped_and_counted(self) -> None:
        self.push(self.b1, digest="00", vips=[])
        before = self.verdict(self.b1, "DROP_NOT_SERVICE")
        report = self.fleet.open(self.lab.vip, PORT, silent=1,
                                 connect_timeout=0.5)
        self.assertEqual(report["connect_failed"], 1, report)
        self.assertGreater(self.verdict(self.b1, "DROP_NOT_SERVICE"), before)

    def test_wrong_requests_are_refused_and_change_nothing(self) -> None:
        good = self.document(digest="beef")

        def vip(endpoint: str) -> dict:
            return {"vip": endpoint, "policy": "hash", "rows": 256,
                    "hop_lists": True, "table": "aa"}

        cases = [
            ("{", 400, "the body is not JSON"),
            ({**good, "epoch": 1}, 400, 'unknown field "epoch"'),
            ({**good, "vips": [vip("198.51.100.10")]}, 400,
             'vips[0].vip: "198.51.100.10"'),
            ({**good, "vips": [{**vip("198.51.100.10:80"), "rows": 300}]},
             400, "vips[0].rows: 300 is not a power of two"),
            ({**good, "vips": [{**vip("198.51.100.10:80"), "policy": "x"}]},
             400, 'vips[0].policy: "x" is none of'),
            ({**good, "lb_id": 0}, 400, "lb_id: 0"),
            ({**good, "vips": [vip(f"198.51.100.10:{p}")
                               for p in range(1, 4098)]}, 507,
             "4097 entries; the limit is 4096")]
        for body, expected, text in cases:
            status, answer = self.http(self.lb, self.b1, "/v1/peers",
                                       body=body)
            self.assertEqual(status, expected, answer)
            self.assertIn(text, answer["error"]["message"])
        self.assertEqual(self.state(self.b1)["peer_map_digest"], "abcd")
        for path, expected in (("/v1/state?lb=x", 400),
                               ("/v1/state?cluster=1", 400),
                               ("/v1/nothing", 404), ("/v1/peers", 405)):
            self.assertEqual(self.http(self.lb, self.b1, path)[0], expected)

    def test_the_report_names_rows_and_learned_flows(self) -> None:
        def hashes(report_of: str) -> dict[int, str]:
            found = {}
            for one in self.fleet.connections(group=report_of, limit=100):
                client, _, port = one["local"].rpartition(":")
                vip = one["remote"].rpartition(":")[0].strip("[]")
                client = client.strip("[]").removeprefix("::ffff:")
                found[tier.flow_hash(self.lab.key_file, (client, int(port)),
                                     (vip, PORT))] = vip
            return found

        for vip in self.lab.vips[0]:
            self.fleet.open(vip, PORT, silent=20, group="rows")
        self.live(self.b1)
        state = self.state(self.b1)
        expected = {vip: set() for vip in self.lab.vips[0]}
        for hash_, vip in hashes("rows").items():
            expected[vip].add(tier.flow_row(hash_, ROWS))
        for service in state["services"]:
            vip = service["vip"].rpartition(":")[0].strip("[]")
            self.assertEqual((service["rows"], service["row_by"]),
                             (ROWS, "flow"))
            owned = {4 * at + bit for at, digit in enumerate(service["owned"])
                     for bit in range(4) if int(digit, 16) >> bit & 1}
            # Rows of connections that have just ended may be there still.
            self.assertLessEqual(expected[vip], owned)
        # Two scans agree that the rows of what has ended are free.
        self.fleet.close(group="rows")
        wait_until(lambda: not any(
            s["owned"].strip("0") for s in self.state(self.b1)["services"]),
            timeout=10, what="rows without owners")
        self.assertIsNotNone(
            self.state(self.b1)["previous_scan_begun_age_ms"])

        tick = self.state(self.b1)["tick"]
        for vip in self.lab.vips[0]:
            self.fleet.open(vip, PORT, silent=5, group="learn")
        self.assertEqual(self.learned(self.b1, tick), set())
        self.route(self.b2, self.b1)
        self.assertEqual(self.fleet.verify(group="learn")["verified"], 10)
        expected = {f"{hash_:016x}" for hash_ in hashes("learn")}
        self.assertEqual(self.learned(self.b1, tick), expected)
        # Only for the LB host that did not know, and not for ever.
        self.assertEqual(self.learned(self.b1, tick, lb=2), set())
        self.assertEqual(self.learned(self.b1, tick + 1000), set())

    def learned(self, backend, tick: int, lb: int = 1) -> set[str]:
        status, state = self.http(
            self.lb, backend, f"/v1/state?lb={lb}&learned_since={tick}")
        self.assertEqual(status, 200, state)
        return {flow for flows in state["learned"].values() for flow in flows}

    def test_only_who_has_the_secret_is_answered(self) -> None:
        authority = f"{self.b1.address}:6082"
        target = "/v1/state?lb=1"
        bare = self.lb.run("curl", "-s", f"http://{authority}{target}").stdout
        self.assertIn("not signed", bare)
        other = self.lb.directory / "other.key"
        other.write_text("ff" * 32)
        stranger = tier.Caller(self.lb, other)
        with self.assertRaisesRegex(LabError, "not signed as"):
            stranger.call(authority, target)
        self.assertEqual(self.state(self.b1)["peer_map_digest"], "abcd")
        # The same words again.
        signed = self.callers[self.lb].sign(authority, target, "GET", "")
        words = ["curl", "-s", "-g", f"http://{authority}{target}"]
        for name, value in signed.items():
            words += ["-H", f"{name}: {value}"]
        self.assertIn("boot_id", self.lb.run(*words).stdout)
        again = self.lb.run(*words).stdout
        self.assertIn("has been seen before", again)

    def test_only_lb_hosts_and_this_host_are_answered(self) -> None:
        status, answer = self.http(self.lab.client, self.b1, "/v1/state?lb=1")
        self.assertEqual(status, 403)
        self.assertIn("192.0.2.2", answer["error"]["message"])
        status, _ = self.http(self.b2, self.b1, "/v1/peers",
                              body=self.document())
        self.assertEqual(status, 403)
        self.assertEqual(self.http(self.b1, self.b1, "/v1/status")[0], 200)
        self.assertEqual(
            self.http(self.lb, self.b1, "/v1/state?lb=1", family=6)[0], 200)

    def test_a_second_agent_is_refused_and_names_the_first(self) -> None:
        done = self.agent(self.b1, "run", "--config", self.b1.config)
        self.assertEqual(done.returncode, 1)
        self.assertIn("another fairlead-agent", done.stderr)
        self.assertIn(f"(pid {self.b1.agent.pid})", done.stderr)
        done = self.agent(self.b1, "detach", "--config", self.b1.config)
        self.assertEqual(done.returncode, 5, done.stderr)
        # Another pin folder, the same state.
        config = self.b1.directory / "second.toml"
        config.write_text(self.b1.config.read_text().replace(
            str(self.b1.pin_path), f"{self.b1.pin_path}-second").replace(
                'interface = "eth0"', 'interface = "lo"'))
        done = self.agent(self.b1, "run", "--config", config)
        self.agent(self.b1, "detach", "--config", config)
        self.assertEqual(done.returncode, 1)
        self.assertIn("uses state_dir", done.stderr)

    def test_status_tells_of_the_agent_or_of_its_maps(self) -> None:
        self.fleet.open(self.lab.vip, PORT, silent=4)
        done = self.agent(self.b1, "status", "--config", self.b1.config)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, rf"{self.lab.vip}:{PORT} +\d+\n")
        self.assertRegex(done.stdout, r"PASS_SYN +\d+ ")
        done = self.agent(self.b1, "status", "-o", "json", "--config",
                          self.b1.config)
        self.assertEqual(json.loads(done.stdout)["lbs"][0]["digest"], "abcd")
        self.b1.stop_agent()
        done = self.agent(self.b1, "status", "-o", "json", "--config",
                          self.b1.config)
        self.assertEqual(done.returncode, 3)
        self.assertIn("no agent answers", done.stderr)
        self.assertEqual(json.loads(done.stdout)["vips"], 2)


class SetUpTest(AgentTestCase):
    """A third backend, set up wrong in every way, and mended by what `check`
    says."""

    lab_name = "fltcheck"
    lab_options = LabOptions(lbs=1, backends=3)

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.b3 = cls.lab.backends[2]

    def check(self, *words: object, code: int | None = None) -> list[dict]:
        self.b3.write_config()
        done = self.agent(self.b3, "check", "-o", "json", "--config",
                          self.b3.config, *words)
        self.assertTrue(done.stdout, done.stderr)
        answer = json.loads(done.stdout)
        self.assertEqual(done.returncode, 0 if answer["ok"] else 1)
        if code is not None:
            self.assertEqual(done.returncode, code, answer)
        return answer["tests"]

    def stop_b3(self) -> None:
        self.b3.stop_agent()
        self.agent(self.b3, "detach", "--config", self.b3.config)

    def break_everything(self) -> None:
        b3 = self.b3
        b3.run("ip", "address", "del", f"{self.lab.vip}/32", "dev", "lo")
        b3.run("ip", "address", "add", f"{self.lab.vip}/24", "dev", "lo")
        b3.run("ip", "address", "del", f"{self.lab.vip6}/128", "dev", "lo")
        b3.run("sysctl", "-w", "net.ipv4.conf.all.arp_ignore=3",
               "net.ipv4.conf.eth0.arp_ignore=0",
               "net.ipv4.conf.all.arp_announce=0",
               "net.ipv4.conf.eth0.arp_announce=1",
               "net.ipv4.conf.all.rp_filter=1")
        b3.run("ip", "route", "change", "default", "via", b3.link.gateway)
        b3.run("ip", "-6", "route", "change", "default", "via",
               b3.link.gateway6)
        b3.start("squatter", [
            sys.executable, "-c",
            "import socket, signal; s = socket.socket(socket.AF_INET, "
            "socket.SOCK_DGRAM); s.bind(('0.0.0.0', 6080)); signal.pause()"])
        wait_until(lambda: ":6080" in b3.run("ss", "-Huln").stdout,
                   timeout=10, what="the squatter")

    def test_every_failure_comes_with_the_command_that_mends_it(self) -> None:
        vips = [w for v in (f"{self.lab.vip}:{PORT}",
                            f"[{self.lab.vip6}]:{PORT}")
                for w in ("--vip", v)]
        self.addCleanup(self.stop_b3)
        self.break_everything()
        failed = [t for t in self.check(*vips, code=1)
                  if t["result"] == "FAIL"]
        self.assertEqual(
            sorted(t["test"] for t in failed),
            ["agent", "agent", "arp_announce", "arp_ignore", "gue_port",
             "listener", "listener", "mtu", "mtu", "rp_filter", "vip", "vip",
             "xdp"], failed)
        for finding in failed:
            if finding["test"] == "listener":
                self.assertIn("start the server", finding["detail"])
            elif finding["fix"].startswith("fairlead-agent run"):
                if not (self.b3.agent and self.b3.agent.running()):
                    self.b3.start_agent()
            else:
                self.b3.run("sh", "-ec", finding["fix"])
        self.b3.start_server(PORT)
        wait_until(lambda: ":6080" not in self.b3.run("ss", "-Huln").stdout,
                   timeout=10, what="the end of the squatter")
        self.assertEqual([t for t in self.check(*vips, code=0)
                          if t["result"] != "ok"], [])
        # And it works.
        self.push(self.b3)
        self.route(self.b3)
        for vip in self.lab.vips[0]:
            report = self.fleet.open(vip, PORT, silent=2, group=vip)
            self.assertEqual(list(report["backends"]), ["b3"], report)
        # What the LB host has told is tested without being named.
        self.assertEqual(len([t for t in self.check(code=0)
                              if t["test"] == "listener"]), 2)

    def test_another_xdp_program_is_named_and_left_alone(self) -> None:
        self.stop_b3()
        self.addCleanup(self.b3.run, "ip", "link", "set", "dev", "eth0",
                        "xdpdrv", "off")
        self.lab.attach_xdp(self.b3, "eth0", "xdp_pass")
        before = self.b3.run("ip", "link", "show", "eth0").stdout
        self.b3.write_config()
        done = self.agent(self.b3, "run", "--config", self.b3.config)
        self.assertEqual(done.returncode, 1)
        self.assertIn("another XDP program, \"lab_pass\"", done.stderr)
        self.assertEqual(self.b3.run("ip", "link", "show", "eth0").stdout,
                         before)
        xdp = next(t for t in self.check(code=1) if t["test"] == "xdp")
        self.b3.run("sh", "-ec", xdp["fix"])
        self.b3.start_agent()
        self.assertEqual(next(t for t in self.check()
                              if t["test"] == "xdp")["result"], "ok")
        self.stop_b3()

    def test_detach_leaves_nothing(self) -> None:
        self.b3.restart_agent()
        self.assertIn("xdp", self.b3.run("ip", "link", "show", "eth0").stdout)
        self.assertEqual(self.b3.stop_agent(), 0)
        # Stopping is not detaching.
        self.assertIn("xdp", self.b3.run("ip", "link", "show", "eth0").stdout)
        done = self.agent(self.b3, "detach", "--config", self.b3.config)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertNotIn("xdp",
                         self.b3.run("ip", "link", "show", "eth0").stdout)
        self.assertFalse(self.b3.pin_path.exists())
        done = self.agent(self.b3, "detach", "--config", self.b3.config)
        self.assertEqual(done.returncode, 0)
        self.assertIn("nothing is attached", done.stderr)

    def test_maps_of_another_shape_are_refused(self) -> None:
        self.stop_b3()
        folder = self.b3.pin_path / "v5"
        folder.mkdir(parents=True)
        self.addCleanup(self.stop_b3)
        for name in ("fl_vips", "fl_peers", "fl_sources", "fl_averdicts",
                     "fl_learned", "fl_state"):
            subprocess.run(["bpftool", "map", "create", folder / name, "type",
                            "hash", "key", "20", "value", "8", "entries", "1",
                            "name", name, "flags", "1"], check=True)
        done = self.agent(self.b3, "run", "--config", self.b3.config)
        self.assertEqual(done.returncode, 1)
        self.assertIn("fl_vips has the shape of another fairlead-agent",
                      done.stderr)
        self.assertIn("fairlead-agent detach", done.stderr)

    def test_usage_config_and_permission_have_their_exit_codes(self) -> None:
        cases = [
            (2, ("chek",), 'did you mean "check"'),
            (2, (), "--help"),
            (2, ("check", "--config", self.b3.config, "--vip", "nonsense"),
             "--vip"),
            (8, ("run", "--config", "/nonexistent"), "cannot be read"),
            (8, ("check", "--config", "/proc/self/cmdline"), "")]
        self.b3.write_config()
        for code, words, text in cases:
            done = self.agent(self.b3, *words)
            self.assertEqual(done.returncode, code, (words, done.stderr))
            self.assertIn(text, done.stderr)
        for verb in ("run", "check", "detach"):
            done = self.b3.run("setpriv", "--bounding-set", "-all",
                               "--inh-caps", "-all", self.binary, verb,
                               "--config", self.b3.config, check=False)
            self.assertEqual(done.returncode, 77, done.stderr)
            self.assertIn("CAP_BPF", done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertRegex(self.agent(self.b3, "--version").stdout,
                         r"^fairlead-agent \d")
        self.assertIn("Examples:", self.agent(self.b3, "--help").stdout)

    def test_a_manager_is_told(self) -> None:
        """READY=1 once it reports, STOPPING=1 at SIGTERM."""
        listener = self.b3.start("manager", [sys.executable, "-c", MANAGER,
                                             self.b3.directory / "notify"])
        self.addCleanup(self.stop_b3)
        wait_until((self.b3.directory / "notify").exists, timeout=10,
                   what="the manager's socket")
        self.b3.write_config()
        agent = self.b3.start(
            "notifying", [self.binary, "run", "--config", self.b3.config],
            env={"NOTIFY_SOCKET": str(self.b3.directory / "notify"),
                 "WATCHDOG_USEC": "200000"})
        for word in ("READY=1", "WATCHDOG=1"):
            wait_until(lambda w=word: w in listener.log_tail(), timeout=20,
                       what=word)
        agent.signal(signal.SIGTERM)
        self.assertEqual(agent.wait(), 0)
        wait_until(lambda: "STOPPING=1" in listener.log_tail(), timeout=10,
                   what="STOPPING=1")


MANAGER = """
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
while True:
    print(s.recv(100).decode(), flush=True)
"""


if __name__ == "__main__":
    main()
