"""Runs in a virtual machine: a small lab with all programs, and connections
through it. Prints one line of JSON: {program: verified instructions}.

    guest_lab.py XDP_PASS

The argument is the lab's own program, compiled outside."""

import json
import shutil
import sys

import large_echo
from lab import (Backend, Fleet, Host, Lab, LabError, LabOptions, LinkedHost,
                 default_build, netns, wait_until)
from lab.bpf_programs import verified_instructions
from lab.processes import run

PORT = 8080
GUE_PORT = 6080
TUNNELS = ("tunl0", "sit0", "tunl6")
CONNECTIONS = 10
CLIENTS_VLAN, INSIDE_VLAN, BACKEND_VLAN, DIRECT_VLAN = 100, 4094, 300, 1
# The LB host's end of a VLAN, and the other one.
INSIDE = ("192.0.2.130", "2001:db8:31::2"), ("192.0.2.131", "2001:db8:31::1")
DIRECT = ("192.0.2.128", "2001:db8:30::1"), ("192.0.2.129", "2001:db8:30::2")
AGENTS = 2  # Backends that have one; behind them is one without.
CHECK = ("--check", "tcp", "--check-interval", "2s", "--check-timeout",
         "1900ms", "--rise", 1)


def connect(lab: Lab) -> tuple[Fleet, int]:
    """Connections through both VIPs, that go on while a backend drains and
    the flow is found by its hop list."""
    (lb,) = lab.lbs
    backends = lab.backends[:AGENTS]
    for backend in backends:
        backend.start_server(PORT)
        backend.start_agent()
    lb.start_daemon()
    services = {"ws": f"{lab.vip}:{PORT}", "ws6": f"[{lab.vip6}]:{PORT}"}
    for name, authority in services.items():
        lb.cli("service", "add", name, authority, *CHECK)
        for backend in backends:
            lb.cli("backend", "add", name, backend.address, "--name",
                   backend.name)
    wait_until(lambda: all(
        lb.cli("service", "show", name, json=True)["service"]["available"]
        == len(backends) for name in services),
        timeout=90, what="all backends available", interval=0.5)
    fleet = lab.client.start_fleet()
    for vip in (lab.vip, lab.vip6):
        fleet.open(vip, PORT, silent=CONNECTIONS, connect_timeout=30)
    for name in services:
        lb.cli("backend", "drain", name, lab.backends[0].name)
    report = fleet.verify(within=30)
    if report["verified"] != 2 * CONNECTIONS:
        raise LabError(f"not all connections live: {report}")
    for name in services:
        lb.cli("backend", "ready", name, lab.backends[0].name)
    return fleet, 2 * CONNECTIONS


def receive_tunnels(backend: Backend) -> None:
    """The kernel's own receivers take packets from any LB host."""
    for module in ("ipip", "sit", "ip6_tunnel", "fou", "fou6"):
        run(["modprobe", module])
    netns.ip_batch(
        backend.netns, "link set tunl0 up", "link set sit0 up",
        f"link add tunl6 type ip6tnl mode any local {backend.address6}",
        "link set tunl6 up", f"fou add port {GUE_PORT} gue")
    netns.ip_batch(backend.netns, f"fou add port {GUE_PORT} gue",
                   options=("-6",))
    netns.sysctl(backend.netns, *(f"ipv4.conf.{device}.rp_filter=0"
                                  for device in TUNNELS))


def tunnelled(backend: Backend) -> dict[str, int]:
    """Packets that each of the kernel's tunnels has taken."""
    shown = json.loads(backend.run("ip", "-s", "-j", "link", "show").stdout)
    return {link["ifname"]: link["stats64"]["rx"]["packets"]
            for link in shown if link["ifname"] in TUNNELS}


def connect_to_kernel(lab: Lab) -> tuple[Fleet, int]:
    """Connections of both families to a backend whose kernel takes them out
    of IPv4 and IPv6, by GUE and by IP in IP. The encapsulation of a service
    that has connections changes, and they go on."""
    (lb,), backend = lab.lbs, lab.backends[AGENTS]
    receive_tunnels(backend)
    backend.start_server(PORT)
    vips = lab.vips[1:3]
    services = {}
    for (vip, vip6), address in zip(vips, (backend.address, backend.address6)):
        outer = "6" if ":" in address else "4"
        services |= {f"in{outer}": f"{vip}:{PORT}",
                     f"6in{outer}": f"[{vip6}]:{PORT}"}
        for name, authority in list(services.items())[-2:]:
            lb.cli("service", "add", name, authority, *CHECK, "--guarantee",
                   "flow-table", "--agent-port", 0)
            lb.cli("backend", "add", name, address, "--name", backend.name)
    wait_until(lambda: all(
        lb.cli("service", "show", name, json=True)["service"]["available"] == 1
        for name in services), timeout=90, what="the kernel's backend",
        interval=0.5)
    fleet = lab.client.start_fleet("tunnels")
    expected = 0
    for encap in ("gue", "ipip", "gue"):
        before = tunnelled(backend)
        for name, authority in services.items():
            lb.cli("service", "set", name, "--encap", encap)
            large_echo.exchange(lab.client, authority, timeout=120)
        for vip, vip6 in vips:
            for address in (vip, vip6):
                fleet.open(address, PORT, silent=2, connect_timeout=30)
                expected += 2
        report = fleet.verify(within=30)
        if report["verified"] != expected:
            raise LabError(f"encap {encap}: not all live: {report}")
        after = tunnelled(backend)
        # An echo alone is hundreds of packets, in one tunnel each; the last
        # one takes both families.
        if any(after[device] - before[device] < 200 for device in before):
            raise LabError(f"encap {encap}: {before} -> {after}")
    return fleet, expected


def show_packets(host: Host, device: str) -> int:
    """That came by it."""
    shown = json.loads(host.run("ip", "-s", "-j", "link", "show", device)
                       .stdout)
    return shown[0]["stats64"]["rx"]["packets"]


def add_vlan(host: Host, device: str, vlan: int, address: str,
             address6: str) -> None:
    # Tags are to be in the frames, where XDP can see them.
    host.run("ethtool", "-K", device, "txvlan", "off")
    netns.ip_batch(host.netns, f"link add link {device} name {device}.{vlan} "
                   f"type vlan id {vlan}",
                   f"address add {address}/31 dev {device}.{vlan}",
                   f"address add {address6}/64 dev {device}.{vlan} nodad",
                   f"link set {device}.{vlan} up")


def move_to_vlan(lab: Lab, host: LinkedHost, vlan: int, advmss: bool) -> None:
    """The host's link to the router, with all its addresses."""
    link = host.link
    for end, device, address, address6 in (
            (lab.router, link.host, link.gateway, link.gateway6),
            (host, "eth0", link.address, link.address6)):
        netns.ip_batch(end.netns, f"address del {address}/31 dev {device}",
                       f"address del {address6}/64 dev {device}")
        add_vlan(end, device, vlan, address, address6)
    netns.default_routes(host.netns, link, advmss=advmss)


def move_everything(lab: Lab) -> None:
    """Clients' packets come to the LB host by one VLAN, it reaches backends
    by another, and one of these has its own; all under traffic."""
    (lb,), backend = lab.lbs, lab.backends[0]
    move_to_vlan(lab, lb, CLIENTS_VLAN, False)
    move_to_vlan(lab, backend, BACKEND_VLAN, True)
    outside = f"{lb.link.host}.{CLIENTS_VLAN}"
    (lb4, lb6), (router4, router6) = INSIDE
    add_vlan(lb, "eth0", INSIDE_VLAN, lb4, lb6)
    add_vlan(lab.router, lb.link.host, INSIDE_VLAN, router4, router6)
    inside = f"dev eth0.{INSIDE_VLAN}"
    for family, gateway, own in ((4, router4, lb.address),
                                 (6, router6, lb.address6)):
        far = [one.address6 if family == 6 else one.address
               for one in lab.backends]
        netns.ip_batch(lb.netns,
                       *(f"route add {one} via {gateway} {inside} src {own}"
                         for one in far), options=(f"-{family}",))
        netns.ip_batch(lab.router.netns,
                       *(f"route add {vip[family == 6]} via {own} "
                         f"dev {outside}" for vip in lab.vips),
                       options=(f"-{family}",))


def connect_by_vlans(lab: Lab, fleets: dict[Fleet, int]) -> None:
    """Connections of before go on, and new ones come: to agents and to a
    kernel's tunnels by VLANs, and in one by MAC alone."""
    (lb,), backend = lab.lbs, lab.backends[AGENTS - 1]
    run(["modprobe", "8021q"])
    move_everything(lab)
    netns.ip_batch(lb.netns, "link add direct type veth peer name direct "
                   f"netns {backend.netns}")
    for host in (lb, backend):
        netns.ip_batch(host.netns, "link set direct up")
    lab.attach_xdp(backend, "direct", "xdp_pass")
    (lb4, lb6), (own4, own6) = DIRECT
    add_vlan(lb, "direct", DIRECT_VLAN, lb4, lb6)
    add_vlan(backend, "direct", DIRECT_VLAN, own4, own6)
    services = dict(zip(("direct", "direct6"),
                        zip(lab.vips[3], (own4, own6))))
    for name, (vip, address) in services.items():
        authority = f"[{vip}]:{PORT}" if ":" in vip else f"{vip}:{PORT}"
        lb.cli("service", "add", name, authority, *CHECK, "--encap", "l2",
               "--agent-port", 0)
        lb.cli("backend", "add", name, address, "--name", backend.name)
    netns.sysctl(backend.netns, f"ipv4.conf.direct/{DIRECT_VLAN}.rp_filter=0")
    shown = lambda: lb.cli("service", "list", json=True)["services"]
    wait_until(lambda: all(service["available"] >= 1 for service in shown()),
               timeout=90, what="every service available by VLANs",
               interval=0.5)
    for name, (hop, vlan) in {
            "ws": (f"eth0.{INSIDE_VLAN}", {"id": INSIDE_VLAN, "on": "eth0"}),
            "direct6": (f"direct.{DIRECT_VLAN}",
                        {"id": DIRECT_VLAN, "on": "direct"})}.items():
        found = lb.cli("backend", "show", name, backend.name,
                       json=True)["backend"]["next_hop"]
        if (found["interface"], found["vlan"]) != (hop, vlan):
            raise LabError(f"{name}: the next hop is {found}")
    counted = {
        "clients": (lb, f"eth0.{CLIENTS_VLAN}"),
        "inside": (lab.router, f"{lb.link.host}.{INSIDE_VLAN}"),
        "backend": (lab.backends[0], f"eth0.{BACKEND_VLAN}"),
        "direct": (backend, f"direct.{DIRECT_VLAN}")}
    before = {name: show_packets(*at) for name, at in counted.items()}
    fleet, expected = lab.client.start_fleet("vlans"), 0
    for encap in ("gue", "ipip"):
        for name in ("in4", "6in4", "in6", "6in6"):
            lb.cli("service", "set", name, "--encap", encap)
        for family, vip in ((f, pair[f]) for pair in lab.vips for f in (0, 1)):
            fleet.open(vip, PORT, silent=2, connect_timeout=30)
            expected += 2
            authority = f"[{vip}]:{PORT}" if family else f"{vip}:{PORT}"
            large_echo.exchange(lab.client, authority, timeout=120)
            lab.client.run("ping", "-c1", "-W5", vip)
    for one, live in {fleet: expected, **fleets}.items():
        report = one.verify(within=30)
        if report["verified"] != live:
            raise LabError(f"by VLANs: not all live: {report}")
    after = {name: show_packets(*at) for name, at in counted.items()}
    # XDP has taken what the LB host's own VLAN of clients would have seen.
    if any(after[name] - before[name] < 200
           for name in ("inside", "backend", "direct")):
        raise LabError(f"by VLANs: {before} -> {after}")


def main() -> None:
    # Where the lab looks first; what is written in the machine ends with it.
    shutil.copy(sys.argv[1], default_build() / "bpf")
    with Lab("fltguest", LabOptions(lbs=1, backends=AGENTS + 1,
                                    flows=4096)) as lab:
        try:
            fleets = [connect(lab), connect_to_kernel(lab)]
            connect_by_vlans(lab, dict(fleets))
            print(json.dumps(verified_instructions()))
        except LabError:
            print(lab.describe(), file=sys.stderr)
            raise


if __name__ == "__main__":
    main()
