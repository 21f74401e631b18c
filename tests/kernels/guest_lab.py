"""Runs in a virtual machine: a small lab with all programs, and connections
through it. Prints one line of JSON: {program: verified instructions}.

    guest_lab.py XDP_PASS

The argument is the lab's own program, compiled outside."""

import json
import shutil
import sys

import large_echo
from lab import (Backend, Lab, LabError, LabOptions, default_build, netns,
                 wait_until)
from lab.bpf_programs import verified_instructions
from lab.processes import run

PORT = 8080
GUE_PORT = 6080
TUNNELS = ("tunl0", "sit0", "tunl6")
CONNECTIONS = 10
AGENTS = 2  # Backends that have one; behind them is one without.
CHECK = ("--check", "tcp", "--check-interval", "2s", "--check-timeout",
         "1900ms", "--rise", 1)


def connect(lab: Lab) -> None:
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


def connect_to_kernel(lab: Lab) -> None:
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


def main() -> None:
    # Where the lab looks first; what is written in the machine ends with it.
    shutil.copy(sys.argv[1], default_build() / "bpf")
    with Lab("fltguest", LabOptions(lbs=1, backends=AGENTS + 1,
                                    flows=4096)) as lab:
        try:
            connect(lab)
            connect_to_kernel(lab)
            print(json.dumps(verified_instructions()))
        except LabError:
            print(lab.describe(), file=sys.stderr)
            raise


if __name__ == "__main__":
    main()
