"""An LB host between two links that clients come by and a third one that the
backends are behind: packets leave by an interface other than they came by,
answers to pings by the same. The third link goes down and comes back."""

import json

import large_echo
from lab import LabOptions, netns, wait_until
from lab.testcase import LabTestCase, main

PORT = 8080
CONNECTIONS = 20
# The second link to the router.
LB, ROUTER = "192.0.2.131", "192.0.2.130"
LB6, ROUTER6 = "2001:db8:31::2", "2001:db8:31::1"
# The link to the backend.
INSIDE, BACKEND = "192.0.2.128", "192.0.2.129"
INSIDE6, BACKEND6 = "2001:db8:30::1", "2001:db8:30::2"


class EgressTest(LabTestCase):
    lab_name = "fltegress"
    lab_options = LabOptions(lbs=1, backends=1, advmss=False)

    def setUp(self) -> None:
        lab = self.lab
        self.lb, self.backend = lab.lbs[0], lab.backends[0]
        self.join(lab.router, "second", (ROUTER, ROUTER6), "eth1", (LB, LB6))
        self.join(self.backend, "inside", (BACKEND, BACKEND6), "inside",
                  (INSIDE, INSIDE6))
        self.lb.interfaces = ["eth0", "eth1", "inside"]
        self.services = {"ws": (lab.vip, f"{lab.vip}:{PORT}", BACKEND),
                         "ws6": (lab.vip6, f"[{lab.vip6}]:{PORT}", BACKEND6)}

    def join(self, host, device, addresses, lb_device, lb_addresses) -> None:
        netns.ip_batch(self.lb.netns, f"link add {lb_device} type veth peer "
                       f"name {device} netns {host.netns}")
        for end, name, own in ((self.lb, lb_device, lb_addresses),
                               (host, device, addresses)):
            netns.assign(end.netns, name, *own, self.lb.link)
        host.run("ethtool", "-K", device, "tx", "off", "tso", "off", "gso",
                 "off", "gro", "off")
        # What is sent to the other end of a pair without a program is lost.
        self.lab.attach_xdp(host, device, "xdp_pass")

    def come_by(self, *gateways: str) -> None:
        """Clients' packets reach the LB host by these links alone."""
        for vip, family in ((self.lab.vip, 0), (self.lab.vip6, 1)):
            hops = " ".join(f"nexthop via {one[family]} dev {one[2]}"
                            for one in gateways)
            netns.ip_batch(self.lab.router.netns,
                           f"route replace {vip} {hops}",
                           options=("-6",) if family else ())

    def arrived(self) -> dict[str, int]:
        """Packets that came by each link to clients."""
        shown = json.loads(self.lb.run("ip", "-s", "-j", "link",
                                       "show").stdout)
        return {link["ifname"]: link["stats64"]["rx"]["packets"]
                for link in shown if link["ifname"] in ("eth0", "eth1")}

    def available(self) -> bool:
        return all(self.lb.cli("service", "show", name, json=True)["service"][
            "available"] == 1 for name in self.services)

    def test_backends_are_behind_a_third_interface(self) -> None:
        lab, lb = self.lab, self.lb
        self.backend.start_server(PORT)
        lab.start_fairlead(agents=False)
        for name, (_, authority, address) in self.services.items():
            lb.cli("service", "add", name, authority, "--guarantee",
                   "flow-table", "--encap", "l2", "--agent-port", 0)
            lb.cli("backend", "add", name, address, "--name", "b1")
        wait_until(self.available, timeout=30, what="b1 up")
        first = (lb.address, lb.address6, lb.link.host)
        second = (LB, LB6, "second")
        self.device_of = {first: "eth0", second: "eth1"}
        fleet, expected = lab.client.start_fleet(), 0
        for links in ((first,), (second,), (first, second)):
            self.come_by(*links)
            before = self.arrived()
            for vip, authority, _ in self.services.values():
                fleet.open(vip, PORT, echo=CONNECTIONS, silent=CONNECTIONS)
                large_echo.exchange(lab.client, authority)
                lab.client.run("ping", "-c1", "-W5", vip)
                expected += 2 * CONNECTIONS
            report = fleet.verify(within=20)
            self.assertEqual(report["verified"], expected, report)
            after = self.arrived()
            used = {name for name in after if after[name] > before[name] + 50}
            self.assertEqual(used, {self.device_of[link] for link in links})
        self.lose_and_find_the_backend()
        self.lose_the_way_for_redirects()
        report = fleet.verify(within=30)
        self.assertEqual(report["verified"], expected, report)

    def lose_and_find_the_backend(self) -> None:
        lb = self.lb
        netns.ip_batch(lb.netns, "link set inside down")
        wait_until(lambda: not self.available(), timeout=20,
                   what="no next hop")
        alarms = "\n".join(lb.cli("status", json=True)["alarms"])
        self.assertIn("b1", alarms)
        netns.ip_batch(lb.netns, "link set inside up",
                       f"address replace {INSIDE6}/64 dev inside nodad")
        wait_until(self.available, timeout=30, what="b1 up again")

    def lose_the_way_for_redirects(self) -> None:
        """Without a program at its other end a pair takes none."""
        lb = self.lb
        netns.ip_batch(self.backend.netns, "link set inside xdp off")
        wait_until(lambda: not self.available(), timeout=20,
                   what="no redirects")
        why = ("route to 192.0.2.129 by inside, which takes no packets that "
               "XDP redirects to it: attach an XDP program to the other end "
               "of the pair, or turn its gro on")
        shown = lb.cli("backend", "show", "ws", "b1").stdout
        self.assertIn("route.no-next-hop", shown)
        self.assertIn(f"none: {why}", shown)
        self.assertIn(f"no next hop for b1 ({BACKEND}): {why}",
                      lb.cli("status").stdout)
        self.lab.attach_xdp(self.backend, "inside", "xdp_pass")
        wait_until(self.available, timeout=30, what="redirects again")


if __name__ == "__main__":
    main()
