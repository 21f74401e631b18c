"""Encapsulation l2: a backend on a link of the LB host gets what clients send
as it is, by MAC address alone; the link may be another one than they come by,
or the same. A backend behind a gateway is told apart."""

import large_echo
from lab import Host, LabOptions, netns, wait_until
from lab.testcase import LabTestCase, main

PORT = 8080
CONNECTIONS = 20
# Of the link between the LB host and the first backend, `direct` on both.
LB, BACKEND = "192.0.2.128", "192.0.2.129"
LB6, BACKEND6 = "2001:db8:30::1", "2001:db8:30::2"
# A subnet that all share: the router, the LB host and the second backend.
LAN = {"router": ("192.0.2.161", "2001:db8:32::1"),
       "lb1": ("192.0.2.162", "2001:db8:32::2"),
       "b2": ("192.0.2.163", "2001:db8:32::3")}


def raise_lan(host: Host, address: str, address6: str) -> None:
    netns.ip_batch(host.netns, f"address add {address}/28 dev lan",
                   f"address add {address6}/64 dev lan nodad",
                   "link set lan up")


class EncapTest(LabTestCase):
    lab_name = "fltencap"
    # Nothing is in front of a packet, so that full segments fit.
    lab_options = LabOptions(lbs=1, backends=2, advmss=False)

    def join_directly(self) -> None:
        lab = self.lab
        lb, backend = lab.lbs[0], lab.backends[0]
        netns.ip_batch(lb.netns, "link add direct type veth peer name direct "
                       f"netns {backend.netns}")
        for host, address, address6 in ((lb, LB, LB6),
                                        (backend, BACKEND, BACKEND6)):
            netns.assign(host.netns, "direct", address, address6, host.link)
        # A frame that is redirected to the other end is only taken there.
        lab.attach_xdp(backend, "direct", "xdp_pass")

    def join_lan(self) -> None:
        """Makes the router a switch with a port `lan` on each other host."""
        lab = self.lab
        router = lab.router
        netns.ip_batch(router.netns, "link add lan type bridge")
        raise_lan(router, *LAN["router"])
        for host in (lab.lbs[0], lab.backends[1]):
            port = f"lan-{host.name}"
            netns.ip_batch(router.netns, f"link add {port} type veth peer name "
                           f"lan netns {host.netns}",
                           f"link set {port} master lan up")
            router.run("ethtool", "-K", port, "tx", "off", "tso", "off", "gso",
                       "off", "gro", "off")
            lab.attach_xdp(router, port, "xdp_pass")
            raise_lan(host, *LAN[host.name])

    def test_a_backend_in_the_subnet_that_clients_come_by(self) -> None:
        lab = self.lab
        lb, backend = lab.lbs[0], lab.backends[1]
        self.join_lan()
        lb.interfaces = ["lan"]
        backend.start_server(PORT + 2)
        lb.restart_daemon()
        fleet = lab.client.start_fleet("lan")
        for family, address in enumerate(lab.vips[1]):
            authority = (f"[{address}]" if family else address) + f":{PORT + 2}"
            netns.ip_batch(
                lab.router.netns,
                f"route replace {address} via {LAN['lb1'][family]} dev lan",
                options=("-6",) if family else ())
            name = f"lan{family}"
            lb.cli("service", "add", name, authority, "--encap", "l2",
                   "--agent-port", 0)
            lb.cli("backend", "add", name, LAN["b2"][family], "--name", "b2")
            wait_until(lambda n=name: self.show(n)["available"] == 1,
                       timeout=30, what="b2 up")
            fleet.open(address, PORT + 2, echo=CONNECTIONS, silent=CONNECTIONS)
            large_echo.exchange(lab.client, authority)
        report = fleet.verify(within=20)
        self.assertEqual(report["verified"], 4 * CONNECTIONS, report)

    def show(self, name: str) -> dict:
        return self.lab.lbs[0].cli("service", "show", name,
                                   json=True)["service"]

    def test_backends_on_the_link_are_reached_by_their_macs(self) -> None:
        lab = self.lab
        lb, (near, far) = lab.lbs[0], lab.backends
        self.join_directly()
        lab.start_servers(PORT)
        lb.interfaces = ["eth0"]
        lb.restart_daemon()
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
