"""What is not TCP on the way of a connection: pings of a VIP, a path that is
narrower than both ends know, IPv6 extension headers."""

import socket
import sys

import large_echo
from lab import LabOptions, bpf_maps, services
from lab.testcase import LabTestCase, main

PORT = 8080
# A destination options header of padding, in front of each segment.
WITH_OPTIONS = """
import socket, struct, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
s.settimeout(10)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS,
             struct.pack("!8B", 0, 0, 1, 4, 0, 0, 0, 0))
s.connect((sys.argv[1], int(sys.argv[2])))
s.sendall(b"GET /healthz HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
answer = b""
while chunk := s.recv(4096):
    answer += chunk
assert answer.startswith(b"HTTP/1.1 200"), answer
"""


class IcmpTest(LabTestCase):
    lab_name = "flticmp"
    lab_options = LabOptions(lbs=2, backends=2)

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        lab = cls.lab
        lab.start_servers(PORT)
        lab.start_fairlead()
        both = services.both_families("ws", (lab.vip, lab.vip6), PORT)
        services.add_services(lab.lbs, both, "--check", "tcp")
        services.add_backends(lab.lbs, both, lab.backends)
        services.wait_available(lab.lbs, both, len(lab.backends))

    def verdict(self, name: str) -> int:
        return sum(bpf_maps.verdicts(lb.pin_path, "LB")[name]
                   for lb in self.lab.lbs)

    def test_a_vip_answers_pings(self) -> None:
        before = self.verdict("TX_ECHO")
        for vip in (self.lab.vip, self.lab.vip6):
            for size in (0, 56, 1300):  # Fits when it is encapsulated, too.
                done = self.lab.client.run("ping", "-c", 3, "-i", 0.01, "-W", 2,
                                           "-s", size, vip)
                self.assertIn(" 0% packet loss", done.stdout)
        self.assertEqual(self.verdict("TX_ECHO"), before + 18)

    def test_a_server_hears_of_a_narrow_path(self) -> None:
        """Its segments are as long as its own link takes; a router further on
        says what fits there, to the VIP, and so to any LB host."""
        lab = self.lab
        self.narrow(("mtu", "lock", "1300"))
        self.addCleanup(self.narrow, ())
        for vip in (lab.vip, f"[{lab.vip6}]"):
            before = self.verdict("TX_ICMP_ERROR")
            large_echo.exchange(lab.client, f"{vip}:{PORT}")
            self.assertGreater(self.verdict("TX_ICMP_ERROR"), before)

    def narrow(self, mtu: tuple[str, ...]) -> None:
        """The router's routes to the client, with or without a limit."""
        for family, network, metric in (("-4", "192.0.2.0/24", 0),
                                        ("-6", "2001:db8:1::/64", 256)):
            self.lab.router.run("ip", family, "route", "replace", network,
                                "dev", "client", "metric", metric, *mtu)

    def test_segments_behind_extension_headers(self) -> None:
        self.assertTrue(hasattr(socket, "IPV6_DSTOPTS"))
        self.lab.client.run(sys.executable, "-c", WITH_OPTIONS, self.lab.vip6,
                            PORT)
        for lb in self.lab.lbs:
            bpf_maps.wipe_flows(lb.pin_path)
        self.lab.client.run(sys.executable, "-c", WITH_OPTIONS, self.lab.vip6,
                            PORT)
        self.assertEqual(self.verdict("DROP_EXTENSION"), 0)


if __name__ == "__main__":
    main()
