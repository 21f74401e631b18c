"""Whose connection is it? What an agent says when the tuple alone would lie:
forged SYNs, tuples that come back, sockets of connections that are long over.

Each case puts the wrong backend first in the list, as an LB host does that has
lost its flow table.
"""

from __future__ import annotations

import ipaddress
import time

import fake_lb
from agent_lab import PORT, ROWS, AgentTestCase
from fake_lb import ACK, CLAIM0, FINAL, RST, SETTLED, SYN
from lab import LabOptions, control, tier, wait_until
from lab.hosts import Backend
from lab.testcase import main

CLIENT_PORT = 23000


class ClaimsTest(AgentTestCase):
    lab_name = "fltclaim"
    lab_options = LabOptions(lbs=1, backends=2)

    def open(self, vip: str, *, owner: Backend, count: int = 4,
             port: int | None = None) -> dict:
        """Connections at `owner` that say nothing until they are asked."""
        self.route(owner)
        report = self.fleet.open(vip, PORT, silent=count, local_port=port,
                                 group=f"{vip} {owner.name}")
        self.assertEqual(report["alive"], count, report)
        return report

    def assert_alive(self, count: int, within: float = 5) -> None:
        report = self.fleet.verify(within=within)
        self.assertEqual((report["verified"], report["broken"]), (count, 0),
                         report)

    def ports(self) -> list[tuple[str, str, int]]:
        """(VIP, client, client port) of every living connection."""
        found = []
        for one in self.fleet.connections(state="alive"):
            client, _, port = one["local"].rpartition(":")
            vip = one["remote"].rpartition(":")[0].strip("[]")
            client = ipaddress.ip_address(client.strip("[]"))
            found.append((vip, str(client), int(port)))
        return found

    def forge(self, backend: Backend, flags: int, *, hops: bytes,
              sequence: int = 123456789, acknowledged: int = 0) -> None:
        """A segment with each living connection's exact tuple."""
        for vip, client, port in self.ports():
            self.send(backend, hops, fake_lb.tcp_packet(
                client, port, vip, PORT, flags=flags, sequence=sequence,
                acknowledged=acknowledged))

    def sockets(self, backend: Backend, state: str) -> int:
        return len(backend.run(
            "ss", "-Htan", "state", state,
            f"sport = :{PORT}").stdout.splitlines())

    # --- the cases ---

    def test_a_forged_syn_takes_nothing_over(self) -> None:
        for vip in self.lab.vips[0]:
            self.open(vip, owner=self.b2)
        self.route(self.b1, self.b2)
        for _ in range(3):
            self.forge(self.b1, SYN, hops=fake_lb.hop_list([1, 2]))
        # Half-open sockets on the wrong backend, with the very same tuples.
        self.assertEqual(self.sockets(self.b1, "syn-recv"), 8)
        self.assert_alive(8)
        # What the client says to the SYN+ACKs is not for b1 either.
        self.assertEqual(self.verdict(self.b1, "PASS_WEAK"), 0)

    def test_forged_segments_take_nothing_over(self) -> None:
        for vip in self.lab.vips[0]:
            self.open(vip, owner=self.b2)
        self.route(self.b1, self.b2)
        for flags in (RST, RST | ACK, ACK, SYN | ACK):
            for backend in (self.b1, self.b2):
                hops = fake_lb.hop_list([1, 2] if backend is self.b1
                                        else [2, 1], flags=SETTLED)
                self.forge(backend, flags, hops=hops, acknowledged=987654321)
        self.assert_alive(8)

    def test_a_connection_that_has_ended_claims_nothing(self) -> None:
        for number, vip in enumerate(self.lab.vips[0]):
            port = CLIENT_PORT + 100 * number
            self.open(vip, owner=self.b1, port=port)
            self.assertEqual(self.fleet.close(), 4)
            # The server closes first, so the old connection stays with b1.
            wait_until(lambda n=number: self.sockets(
                self.b1, "time-wait") >= 4 * (n + 1), timeout=10,
                what="TIME_WAIT on b1")
            self.open(vip, owner=self.b2, port=port)
            self.route(self.b1, self.b2)
            self.assert_alive(4)
            self.assertEqual(self.fleet.close(), 4)

    def test_a_zombie_claims_nothing(self) -> None:
        for number, vip in enumerate(self.lab.vips[0]):
            port = CLIENT_PORT + 1000 + 100 * number
            self.open(vip, owner=self.b1, port=port)
            # The client dies; nobody tells the server.
            self.route()
            self.lab.client.run("ss", "-K", "state", "established",
                                "dport", f"= :{PORT}")
            self.fleet.verify(within=1)
            self.assertGreaterEqual(self.sockets(self.b1, "established"),
                                    4 * (number + 1))
            self.open(vip, owner=self.b2, port=port)
            self.route(self.b1, self.b2)
            report = self.fleet.verify(within=5, group=f"{vip} b2")
            self.assertEqual((report["verified"], report["broken"]), (4, 0),
                             report)

    def test_an_unlikely_segment_goes_back_to_the_only_socket(self) -> None:
        for vip in self.lab.vips[0]:
            self.open(vip, owner=self.b1, count=1)
        before = self.verdict(self.b1, "PASS_WEAK")
        back = self.verdict(self.b2, "TX_WEAK_HOP")
        # Far outside every window: no hop is sure of it.
        self.forge(self.b1, ACK, hops=fake_lb.hop_list([1, 2], flags=SETTLED),
                   acknowledged=1)
        wait_until(lambda: self.verdict(self.b1, "PASS_WEAK") >= before + 2,
                   timeout=5, what="two weak deliveries")
        self.assertGreaterEqual(self.verdict(self.b2, "TX_WEAK_HOP"), back + 2)
        self.route(self.b1)
        self.assert_alive(2)

    def test_a_hop_that_cannot_be_reached_is_left_out(self) -> None:
        gone = max(self.number(b) for b in self.lab.backends) + 1
        for vip in self.lab.vips[0]:
            self.open(vip, owner=self.b1, count=2)
        control.call(self.control, "route", hops=[
            [2, self.b2.address], [gone, ""], [1, ""], [gone + 1, ""]])
        self.assert_alive(4)
        self.assertEqual(self.verdict(self.b2, "DROP_NO_PEER"), 0)

    def test_congestion_on_the_way_is_told_to_the_connection(self) -> None:
        """RFC 6040, section 4.2: what leaves the tunnel has the mark, and a
        packet that cannot have it is lost."""
        not_ect, ect1, ect0, marked = range(4)
        names, times = ("NoECT", "ECT1", "ECT0", "CE"), 5
        hops = fake_lb.hop_list([self.number(self.b1)])
        for vip, prefix in zip(self.lab.vips[0], ("IpExt", "Ip6")):
            self.open(vip, owner=self.b1, count=1)
            ((_, client, port),) = (one for one in self.ports()
                                    if one[0] == vip)
            for outer, inner, becomes in (
                    (not_ect, not_ect, not_ect), (not_ect, ect0, ect0),
                    (ect0, ect1, ect1), (ect1, ect0, ect1),
                    (ect0, marked, marked), (marked, ect0, marked),
                    (marked, ect1, marked), (marked, marked, marked),
                    (marked, not_ect, None)):
                before = self.received(prefix, names)
                lost = self.verdict(self.b1, "DROP_CONGESTION")
                for _ in range(times):
                    self.send(self.b1, hops, fake_lb.tcp_packet(
                        client, port, vip, PORT, flags=ACK, tos=inner),
                        tos=outer)
                after = self.received(prefix, names)
                with self.subTest(vip=vip, outer=outer, inner=inner):
                    for ecn, name in enumerate(names):
                        grown = after[ecn] - before[ecn]
                        if ecn == not_ect:  # As other traffic is, too.
                            self.assertGreaterEqual(
                                grown, times * (ecn == becomes), name)
                        else:
                            self.assertEqual(
                                grown, times * (ecn == becomes), name)
                    self.assertEqual(
                        self.verdict(self.b1, "DROP_CONGESTION") - lost,
                        times if becomes is None else 0)
            self.fleet.close(state="alive")

    def received(self, prefix: str, names: tuple[str, ...]) -> list[int]:
        """Packets that b1's stack has taken, by their ECN."""
        lines = self.b1.run("nstat", "-asz").stdout.splitlines()[1:]
        counts = {line.split()[0]: int(line.split()[1]) for line in lines}
        return [counts[f"{prefix}In{name}Pkts"] for name in names]

    def test_a_packet_without_a_list_is_for_a_plain_service(self) -> None:
        vip = self.lab.vip
        self.open(vip, owner=self.b1, count=1)
        before = self.verdict(self.b1, "DROP_NO_LIST")
        self.forge(self.b1, RST, hops=b"")
        self.assertEqual(self.verdict(self.b1, "DROP_NO_LIST"), before + 1)
        self.push(self.b1, lb=2, digest="22", vips=[
            {"vip": f"{vip}:{PORT}", "policy": "hash", "rows": ROWS,
             "hop_lists": False, "table": "aa"}])
        self.addCleanup(self.push, self.b1, lb=2, digest="0", vips=[])
        before = self.verdict(self.b1, "PASS_PLAIN")
        self.forge(self.b1, ACK, hops=b"")
        self.assertEqual(self.verdict(self.b1, "PASS_PLAIN"), before + 1)
        self.assert_alive(1)

    def test_nobody_is_sure_enough_for_a_reset_alone(self) -> None:
        """A segment of a connection that nobody has: the list's end resets it
        if the LB host is sure of its table, and its row is this host's."""
        port = CLIENT_PORT + 3000
        for number, vip in enumerate(self.lab.vips[0]):
            client = (self.lab.client.address6 if ":" in vip
                      else self.lab.client.address)
            row = tier.flow_row(tier.flow_hash(
                self.lab.key_file, (client, port), (vip, PORT)), ROWS)
            segment = fake_lb.tcp_packet(client, port, vip, PORT, flags=ACK,
                                         acknowledged=7)
            for flags, sent, verdict, resets in (
                    (0, row, "DROP_NOBODY", 0),
                    (SETTLED, row ^ 1, "DROP_SKEW", 0),
                    (SETTLED, row, "PASS_SETTLED", 1)):
                before = (self.verdict(self.b2, verdict),
                          self.b2.counter("TcpOutRsts"))
                self.send(self.b1, fake_lb.hop_list(
                    [1, 2], flags=flags, row=sent), segment)
                wait_until(lambda b=before, v=verdict: self.verdict(
                    self.b2, v) > b[0], timeout=5,
                    what=f"{verdict} on b2 (round {number})")
                self.assertEqual(self.b2.counter("TcpOutRsts") - before[1],
                                 resets, verdict)

    def test_a_host_may_be_in_the_list_twice(self) -> None:
        """A backend that was deleted and added again: 11 and 12 are ids that b1
        and b2 had before."""
        client, port, vip = self.lab.client.address, 4446, self.lab.vip
        row = tier.flow_row(tier.flow_hash(
            self.lab.key_file, (client, port), (vip, PORT)), ROWS)
        both = (self.b1, self.b2)
        for backend in both:
            document = self.document(digest="2222")
            document["peers"] += [
                {"id": 10 + self.number(b), "address": b.address}
                for b in both]
            answer = self.http(self.lb, backend, "/v1/peers", body=document)
            self.assertEqual(answer[0], 200, answer)
        cases = [("PASS_SYN", self.b1, SYN, {"ids": [11, 1, 2],
                                             "acceptors": 0b010}),
                 ("PASS_SYN", self.b2, SYN, {"ids": [11, 2, 1],
                                             "acceptors": 0b110}),
                 ("PASS_SYN", self.b2, SYN, {"ids": [11, 1, 12, 2],
                                             "acceptors": 0b1000}),
                 ("PASS_SETTLED", self.b2, ACK, {"ids": [1, 11, 2, 12],
                                                 "flags": SETTLED}),
                 ("PASS_SETTLED", self.b1, ACK, {"ids": [11, 1],
                                                 "flags": SETTLED})]
        for verdict, backend, flags, hops in cases:
            with self.subTest(verdict=verdict, hops=hops):
                before = self.verdict(backend, verdict)
                self.send(self.b1, fake_lb.hop_list(**hops, row=row),
                          fake_lb.tcp_packet(client, port, vip, PORT,
                                             flags=flags, acknowledged=7))
                wait_until(lambda v=verdict, b=backend, n=before:
                           self.verdict(b, v) == n + 1,
                           timeout=5, what=verdict)

    def test_the_way_back_is_only_for_a_socket(self) -> None:
        self.open(self.lab.vip, owner=self.b1, count=1)
        back = {"flags": FINAL, "index": 2}
        cases = [("PASS_WEAK", self.b1, fake_lb.hop_list([1, 2], weak=0,
                                                         **back)),
                 ("DROP_NOBODY", self.b2, fake_lb.hop_list([1, 2], weak=1,
                                                           **back)),
                 ("DROP_HOP_LIST", self.b2, fake_lb.hop_list([1, 2], weak=0,
                                                             **back)),
                 ("DROP_HOP_LIST", self.b1, fake_lb.hop_list([1, 2], **back)),
                 ("DROP_HOP_LIST", self.b1, fake_lb.hop_list(
                     [1, 2], weak=0, flags=FINAL, index=0)),
                 # A hop is called weak before it was asked.
                 ("DROP_HOP_LIST", self.b2, fake_lb.hop_list([2], weak=0)),
                 ("DROP_HOP_LIST", self.b2, fake_lb.hop_list(
                     [1, 2], weak=1, index=1))]
        for verdict, backend, hops in cases:
            with self.subTest(verdict=verdict, backend=backend.name):
                before = self.verdict(backend, verdict)
                self.forge(backend, ACK, hops=hops, acknowledged=1)
                wait_until(lambda v=verdict, b=backend, n=before:
                           self.verdict(b, v) > n,
                           timeout=5, what=verdict)

    def test_a_claimed_syn_is_kept_only_with_a_socket(self) -> None:
        self.open(self.lab.vip, owner=self.b1, count=1)
        hops = fake_lb.hop_list([1, 2], acceptors=2, flags=CLAIM0)
        kept = self.verdict(self.b1, "PASS_SYN_CLAIM")
        self.forge(self.b1, SYN, hops=hops)
        wait_until(lambda: self.verdict(self.b1, "PASS_SYN_CLAIM") > kept,
                   timeout=5, what="the SYN of a living connection")
        taken = self.verdict(self.b2, "PASS_SYN")
        self.send(self.b1, hops, fake_lb.tcp_packet(
            "192.0.2.2", 4445, self.lab.vip, PORT, flags=SYN))
        wait_until(lambda: self.verdict(self.b2, "PASS_SYN") > taken,
                   timeout=5, what="the SYN of nobody")
        self.route(self.b1)
        self.assert_alive(1)

    def test_an_icmp_error_finds_the_connection(self) -> None:
        makers = (fake_lb.frag_needed, fake_lb.packet_too_big)
        routers = ("192.0.2.1", "2001:db8:2::1")
        for vip, make, router in zip(self.lab.vips[0], makers, routers):
            self.open(vip, owner=self.b2, count=1)
            _, client, port = next(c for c in self.ports() if c[0] == vip)
            quoted = fake_lb.tcp_packet(vip, PORT, client, port, flags=ACK)
            handed_on = self.verdict(self.b1, "TX_NEXT_HOP")
            taken = self.verdict(self.b2, "PASS_SOCKET")
            self.send(self.b1, fake_lb.hop_list([1, 2]),
                      make(router, quoted, 1300))
            wait_until(lambda n=taken:
                       self.verdict(self.b2, "PASS_SOCKET") > n,
                       timeout=5, what="the error at the owner")
            self.assertGreater(self.verdict(self.b1, "TX_NEXT_HOP"),
                               handed_on)
        # About a connection that nobody has.
        nobody = self.verdict(self.b2, "DROP_NOBODY")
        quoted = fake_lb.tcp_packet(self.lab.vip, PORT, "192.0.2.2", 9,
                                    flags=ACK)
        self.send(self.b1, fake_lb.hop_list([1, 2], flags=SETTLED),
                  fake_lb.frag_needed("192.0.2.1", quoted, 1300))
        wait_until(lambda: self.verdict(self.b2, "DROP_NOBODY") > nobody,
                   timeout=5, what="an error about nobody")

    def test_a_syn_cookie_is_known_by_who_sent_it(self) -> None:
        self.b1.run("sysctl", "-w", "net.ipv4.tcp_syncookies=2")
        self.addCleanup(self.b1.run, "sysctl", "-w",
                        "net.ipv4.tcp_syncookies=1")
        for vip in self.lab.vips[0]:
            with self.subTest(vip=vip):
                # The SYN is for b1; every other segment meets b2 first.
                self.route(self.b2, self.b1, acceptors=2)
                before = self.verdict(self.b1, "PASS_COOKIE")
                report = self.fleet.open(vip, PORT, silent=5)
                self.assertEqual(report["alive"], 5, report)
                self.assertEqual(list(report["backends"]), ["b1"])
                self.assertGreaterEqual(self.verdict(self.b1, "PASS_COOKIE"),
                                        before + 5)
        self.assert_alive(10)
        # The agent that takes over knows when that was. What asks it shall get
        # no cookie itself.
        self.b1.run("sysctl", "-w", "net.ipv4.tcp_syncookies=1")
        self.live(self.b1)
        age = self.state(self.b1)["syn_cookie_age_ms"]
        time.sleep(1)
        self.b1.agent.kill9()
        self.b1.start_agent()
        self.assertGreaterEqual(self.state(self.b1)["syn_cookie_age_ms"],
                                age + 1000)


if __name__ == "__main__":
    main()
