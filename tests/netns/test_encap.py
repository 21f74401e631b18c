"""Encapsulation l2: a backend on a link of the LB host gets what clients send
as it is, by MAC address alone, and one behind a gateway is told apart."""

import large_echo
from lab import LabOptions, netns, wait_until
from lab.testcase import LabTestCase, main

PORT = 8080
CONNECTIONS = 20
# Of the link between the LB host and the first backend, `direct` on both.
LB, BACKEND = "192.0.2.128", "192.0.2.129"
LB6, BACKEND6 = "2001:db8:30::1", "2001:db8:30::2"


class EncapTest(LabTestCase):
    lab_name = "fltencap"
    # Nothing is in front of a packet, so that full segments fit.
    lab_options = LabOptions(lbs=1, backends=2, advmss=False)

    def setUp(self) -> None:
        lab = self.lab
        lb, backend = lab.lbs[0], lab.backends[0]
        netns.ip_batch(lb.netns, "link add direct type veth peer name direct "
                       f"netns {backend.netns}")
        for host, address, address6 in ((lb, LB, LB6),
                                        (backend, BACKEND, BACKEND6)):
            netns.assign(host.netns, "direct", address, address6, host.link)
        # A frame that is redirected to the other end is only taken there.
        lab.attach_xdp(backend, "direct", "xdp_pass")

    def show(self, name: str) -> dict:
        return self.lab.lbs[0].cli("service", "show", name,
                                   json=True)["service"]

    def test_backends_on_the_link_are_reached_by_their_macs(self) -> None:
        lab = self.lab
        lb, (near, far) = lab.lbs[0], lab.backends
        for backend in lab.backends:
            backend.start_server(PORT)
        lab.start_fairlead(agents=False)
        fleet = lab.client.start_fleet()
        services = {"ws": (lab.vip, BACKEND, far.address),
                    "ws6": (lab.vip6, BACKEND6, far.address6)}
        for name, (vip, address, behind) in services.items():
            authority = f"[{vip}]:{PORT}" if ":" in vip else f"{vip}:{PORT}"
            lb.cli("service", "add", name, authority, "--encap", "l2",
                   "--agent-port", 0)
            lb.cli("backend", "add", name, address, "--name", near.name)
            lb.cli("backend", "add", name, behind, "--name", far.name)
            wait_until(lambda n=name: self.show(n)["available"] == 1,
                       timeout=30, what=f"{near.name} up")
            self.assertEqual(self.show(name)["encap"], "l2")
            self.check_gateway(name, far.name)
            fleet.open(vip, PORT, echo=CONNECTIONS, silent=CONNECTIONS)
            large_echo.exchange(lab.client, authority)
            self.assertEqual(self.show(name)["too_big"], 0)
        report = fleet.verify(within=20)
        self.assertEqual(report["verified"], 4 * CONNECTIONS, report)
        self.assertEqual(far.servers[PORT].stats()["accepts"], 0)
        # What does not need the link brings it in.
        lb.cli("service", "set", "ws", "--encap", "gue")
        wait_until(lambda: self.show("ws")["available"] == 2, timeout=30,
                   what=f"{far.name} available")

    def check_gateway(self, service: str, name: str) -> None:
        lb = self.lab.lbs[0]
        shown = lambda: lb.cli("backend", "show", service, name,
                               json=True)["backend"]
        wait_until(lambda: shown()["health"] == "up", timeout=30,
                   what=f"{name} healthy")
        self.assertFalse(shown()["eligible"])
        gateway = shown()["next_hop"]["gateway"]
        self.assertEqual(shown()["reason"], f"route.gateway({gateway})")
        self.assertIn("put it there, or set --encap ipip or gue",
                      lb.cli("backend", "show", service, name).stdout)
        self.assertIn(f"{name} ({shown()['address']}) is behind the gateway "
                      f"{gateway}", lb.cli("status").stdout)


if __name__ == "__main__":
    main()
