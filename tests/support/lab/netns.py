"""Network namespaces, veth pairs and the kernel settings of the lab."""

from __future__ import annotations

import ctypes
import os
import pathlib
import socket

from . import addressing
from .addressing import Link
from .errors import LabError
from .processes import NETNS_DIR, in_netns, run

_CLONE_NEWNET = 0x40000000


def exists(netns: str) -> bool:
    return (NETNS_DIR / netns).exists()


def create(netns: str, parent: str | None = None) -> None:
    """`parent`: the namespace whose tcp_child_ehash_entries counts."""
    if exists(netns):
        raise LabError(f"namespace {netns} already exists and is not ours")
    command = ["ip", "netns", "add", netns]
    run(in_netns(parent, command) if parent else command)


def remove(netns: str) -> None:
    """Also removes the bare file that a crash inside `ip netns add` leaves."""
    if not exists(netns):
        return
    if run(["ip", "netns", "del", netns], check=False).returncode != 0:
        (NETNS_DIR / netns).unlink(missing_ok=True)


def ip_batch(netns: str, *lines: str, options: tuple[str, ...] = ()) -> None:
    """Runs lines of `ip` commands in one process; the first error stops it."""
    run(["ip", *options, "-n", netns, "-batch", "-"], stdin="\n".join(lines))


def sysctl(netns: str, *settings: str) -> None:
    """`settings` are name=value below net., for example ipv4.ip_forward=1."""
    run(in_netns(netns, ["sysctl", "-qw", *(f"net.{s}" for s in settings)]))


def socket_in(netns: str, *kind: int) -> socket.socket:
    """A socket of the namespace, for use in this process. `kind` is that of
    socket.socket()."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(descriptor: int) -> None:
        if libc.setns(descriptor, _CLONE_NEWNET) != 0:
            raise LabError(f"setns: {os.strerror(ctypes.get_errno())}")

    # Only the calling thread changes its namespace, and only for a moment.
    with (open("/proc/thread-self/ns/net", "rb") as home,
          open(NETNS_DIR / netns, "rb") as away):
        enter(away.fileno())
        try:
            return socket.socket(*kind)
        finally:
            enter(home.fileno())


def prepare(netns: str) -> None:
    """Settings of every host: no DAD, no router advertisements, no reverse
    path filter (replies carry the VIP as their source)."""
    settings = [f"ipv6.conf.{scope}.{setting}"
                for scope in ("all", "default")
                for setting in ("accept_dad=0", "dad_transmits=0",
                                "accept_ra=0")]
    settings += ["ipv4.conf.all.rp_filter=0", "ipv4.conf.default.rp_filter=0"]
    sysctl(netns, *settings)
    ip_batch(netns, "link set lo up")


def make_router(netns: str) -> None:
    sysctl(netns, "ipv4.ip_forward=1", "ipv6.conf.all.forwarding=1",
           "ipv4.fib_multipath_hash_policy=1",
           "ipv6.fib_multipath_hash_policy=1",
           "ipv4.conf.all.send_redirects=0",
           "ipv4.conf.default.send_redirects=0")


def make_client(netns: str) -> None:
    """Many connections to one VIP port. Without txrehash=0 a retransmission
    picks a new hash, which veth hands to the router: the flow would change its
    LB although nothing happened."""
    sysctl(netns, "ipv4.ip_local_port_range=10240 65535", "core.txrehash=0")


def connect(router: str, netns: str, link: Link, *, mtu: int,
            static_neighbours: bool) -> None:
    """Joins the host to the router: veth pair, addresses, no routes."""
    ip_batch(router,
             f"link add {link.host} mtu {mtu} address {link.gateway_mac} "
             f"type veth peer name eth0 mtu {mtu} address {link.mac} "
             f"netns {netns}")
    assign(router, link.host, link.gateway, link.gateway6, link)
    assign(netns, "eth0", link.address, link.address6, link)
    # A frame sent by XDP_TX loses the promise of a checksum to be filled in
    # later, and has no use for segments that are still to be cut.
    run(in_netns(router, ["ethtool", "-K", link.host, "tx", "off", "tso",
                          "off", "gso", "off", "gro", "off"]))
    if static_neighbours:
        _pin_neighbours(router, link.host, link.address, link.address6,
                        link.mac)
        _pin_neighbours(netns, "eth0", link.gateway, link.gateway6,
                        link.gateway_mac)


def add_tap(netns: str, link: Link, *, mtu: int) -> None:
    """The router's end of a machine's link."""
    ip_batch(netns, f"tuntap add dev {link.host} mode tap",
             f"link set {link.host} mtu {mtu} address {link.gateway_mac}")
    assign(netns, link.host, link.gateway, link.gateway6, link)


def assign(netns: str, device: str, address: str, address6: str,
           link: Link) -> None:
    ip_batch(netns,
             f"address add {address}/{link.prefix_length} dev {device}",
             f"address add {address6}/64 dev {device} nodad",
             f"link set {device} up")


def _pin_neighbours(netns: str, device: str, address: str, address6: str,
                    mac: str) -> None:
    ip_batch(netns, *(
        f"neighbour replace {a} lladdr {mac} dev {device} nud permanent"
        for a in (address, address6)))


def default_routes(netns: str, link: Link, *, advmss: bool = False) -> None:
    """With `advmss`, peers of this host send segments that still fit once
    they are encapsulated."""
    mss4 = f" advmss {addressing.ADVMSS4}" if advmss else ""
    mss6 = f" advmss {addressing.ADVMSS6}" if advmss else ""
    ip_batch(netns, f"route replace default via {link.gateway}{mss4}")
    ip_batch(netns, f"route replace default via {link.gateway6}{mss6}",
             options=("-6",))


def add_vips(netns: str) -> None:
    """The VIPs on lo, and no ARP answer for them on any wire."""
    sysctl(netns, *(f"ipv4.conf.{scope}.{setting}"
                    for scope in ("all", "default", "eth0")
                    for setting in ("arp_ignore=1", "arp_announce=2",
                                    "rp_filter=0")))
    ip_batch(netns, *(f"address add {a} dev lo nodad"
                      for v4, v6 in addressing.VIPS
                      for a in (f"{v4}/32", f"{v6}/128")))


def load_xdp(program: pathlib.Path, pin: pathlib.Path) -> None:
    """Loads and pins. Not by `ip link set xdp obj`: that litters bpffs."""
    pin.parent.mkdir(exist_ok=True)
    run(["bpftool", "prog", "load", program, pin, "type", "xdp"])


def attach_xdp(netns: str, device: str, pin: pathlib.Path) -> None:
    """Attaches a pinned program in native mode, in the place of the one that
    was there; goes with the device."""
    run(in_netns(netns, ["ip", "-force", "link", "set", "dev", device,
                         "xdpdrv", "pinned", pin]))


def mount_bpffs() -> None:
    with open("/proc/self/mounts", encoding="ascii") as mounts:
        for line in mounts:
            _, target, kind = line.split()[:3]
            if (target, kind) == ("/sys/fs/bpf", "bpf"):
                return
    os.makedirs("/sys/fs/bpf", exist_ok=True)
    run(["mount", "-t", "bpf", "bpf", "/sys/fs/bpf"])
