"""LB hosts that compare their tables: only while they agree, and know where every
connection lives, is a packet for nobody answered with a reset."""

from __future__ import annotations

import sys

import fake_lb
from lab import LabOptions, services, wait_until
from lab.testcase import LabTestCase, main

PORT = 8080

# One TCP segment of the client's, whose connection nobody has, and the flags of
# the answer within TIMEOUT seconds: "rst", "other" or "none".
PROBE = """
import socket, struct, sys, time
source, port, vip, packet, timeout = sys.argv[1:]
six = ":" in vip
family = socket.AF_INET6 if six else socket.AF_INET
seen = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
seen.bind(("eth0", 3))
out = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
out.sendto(bytes.fromhex(packet), (vip, 0, 0, 0) if six else (vip, 0))
end = time.monotonic() + float(timeout)
while time.monotonic() < end:
    seen.settimeout(max(0.01, end - time.monotonic()))
    try:
        data, where = seen.recvfrom(65535)
    except TimeoutError:
        break
    if where[2] == 4 or not data:
        continue
    tcp = data[40:] if data[0] >> 4 == 6 else data[(data[0] & 15) * 4:]
    if len(tcp) < 20 or struct.unpack("!H", tcp[2:4])[0] != int(port):
        continue
    print("rst" if tcp[13] & 4 else "other")
    sys.exit()
print("none")
"""


class TierTest(LabTestCase):
    lab_name = "flttier"
    lab_options = LabOptions(lbs=2, backends=3)

    def setUp(self) -> None:
        self.port = 40000

    def answer(self, vip: str, timeout: float = 0.5) -> str:
        """To an ACK of a connection that never was."""
        client = self.lab.client
        source = client.address6 if ":" in vip else client.address
        self.port += 1
        packet = fake_lb.tcp_packet(source, self.port, vip, PORT,
                                    flags=fake_lb.ACK, acknowledged=1)
        return client.run(sys.executable, "-c", PROBE, source, self.port, vip,
                          packet.hex(), timeout).stdout.strip()

    def wait_reset(self, vip: str) -> None:
        wait_until(lambda: self.answer(vip) == "rst", timeout=10,
                   what=f"a reset from {vip}")

    def wait_silence(self, vip: str) -> None:
        """A lease is renewed once a second, for three."""
        wait_until(lambda: self.answer(vip) == "none", timeout=10,
                   what=f"silence from {vip}")

    def unsettled(self, lb, service: str = "ws") -> str:
        return lb.cli("service", "show", service, json=True)["service"][
            "unsettled"] or ""

    def wait_settled(self, *lbs) -> None:
        for lb in lbs:
            for service in ("ws", "ws6"):
                wait_until(lambda b=lb, s=service: not self.unsettled(b, s),
                           timeout=30, what=f"{service} settled on {lb.name}")

    def wait_unsettled(self, lb, why: str) -> None:
        wait_until(lambda: why in self.unsettled(lb), timeout=10,
                   what=f"{lb.name}: {why}")

    def alarms(self, lb) -> str:
        return "\n".join(lb.cli("status", json=True)["alarms"])

    def test_a_reset_needs_that_everybody_agrees(self) -> None:
        lab = self.lab
        first, second = lab.lbs
        lab.start_servers(PORT)
        lab.start_fairlead()
        both = services.both_families("ws", lab.vips[0], PORT)
        services.add_services(lab.lbs, both, "--check-interval", "500ms",
                              "--check-timeout", "400ms")
        services.add_backends(lab.lbs, both, lab.backends[:2])
        lab.route_vips([first])
        self.wait_settled(first, second)
        # As soon as the agents have found each other.
        for vip in (lab.vip, lab.vip6):
            self.wait_reset(vip)
        peers = first.cli("status", json=True)["peers"]
        self.assertEqual([(p["name"], p["state"]) for p in peers],
                         [("lb2", "agrees")])
        self.assertNotIn("LB host", self.alarms(first))

        # Another table on one host: neither is sure.
        third = lab.backends[2]
        second.cli("backend", "add", "ws", third.address, "--name", third.name)
        for lb, other in ((first, "lb2"), (second, "lb1")):
            self.wait_unsettled(lb, f"LB host {other}")
            self.assertIn("has another table", self.alarms(lb))
            self.assertIn("differs", lb.cli("status").stdout)
        self.assertEqual(self.answer(lab.vip), "none")
        # The other service is not meant.
        self.wait_reset(lab.vip6)
        first.cli("backend", "add", "ws", third.address, "--name", third.name)
        self.wait_settled(first, second)
        self.wait_reset(lab.vip)

        # An agent that is away: who knows what it has?
        lab.backends[0].kill9_agent()
        self.wait_unsettled(first, "the agent of b1 is lost")
        self.wait_silence(lab.vip)
        lab.backends[0].start_agent()
        self.wait_settled(first, second)

        # A daemon that is away renews nothing.
        first.kill9_daemon()
        self.wait_silence(lab.vip)
        wait_until(lambda: "silent" in self.alarms(second), timeout=10,
                   what="the alarm of the other host")
        self.assertEqual(self.unsettled(second), "")
        first.start_daemon()
        self.wait_settled(first, second)
        self.wait_reset(lab.vip)

        # One with another key is not believed, and not answered.
        second.stop_daemon()
        second.key_file = second.directory / "foreign.key"
        second.key_file.write_text("f" * 64)
        second.key_file.chmod(0o600)
        second.start_daemon()
        for lb in (first, second):
            self.wait_unsettled(lb, "has not the tier's key")
            self.assertIn("has not the tier's key", self.alarms(lb))
        self.wait_silence(lab.vip)


if __name__ == "__main__":
    main()
