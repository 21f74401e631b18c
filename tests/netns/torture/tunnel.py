"""Forged encapsulated packets, and a tap that follows each of them. They are
told apart by their outer UDP source port, which every hop keeps, and which is
below those that LB hosts use.
"""

from __future__ import annotations

import collections
import dataclasses
import ipaddress
import socket
import struct
import threading

import fake_lb
from lab import Lab, netns
from lab.hosts import Backend

from .arms import NOBODY, PORT
from .wire import transmit

_ETH_P_ALL = 3
_OUTGOING = 4
_LB_PORTS = 0xc000
_SO_RCVBUFFORCE = 33
Key = tuple[bytes, int, bytes, int]  # source, port, destination, port


def outer(source: str, target: str, ident: int, payload: bytes) -> bytes:
    """IP and UDP around `payload`, without a UDP checksum."""
    src, dst = (ipaddress.ip_address(a) for a in (source, target))
    udp = struct.pack("!4H", ident, fake_lb.GUE_PORT, 8 + len(payload), 0)
    if src.version == 6:
        return (struct.pack("!IHBB", 6 << 28, 8 + len(payload), 17, 64)
                + src.packed + dst.packed + udp + payload)
    head = struct.pack("!2B3H2BH", 0x45, 0, 28 + len(payload), 0, 0x4000, 64,
                       17, 0) + src.packed + dst.packed
    head = head[:10] + struct.pack("!H", fake_lb._sum(head)) + head[12:]
    return head + udp + payload


class Forger:
    """Sends from the namespace of a backend."""

    def __init__(self, lab: Lab, backend: Backend):
        self._socket = netns.socket_in(
            backend.netns, socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.bind(("eth0", 0))
        self._link = backend.link
        self.sent = 0

    def __enter__(self) -> Forger:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, source: str, target: str, payload: bytes) -> None:
        self.sent += 1
        ether_type = 0x86dd if ":" in target else 0x0800
        head = bytes.fromhex((self._link.gateway_mac + self._link.mac)
                             .replace(":", ""))
        transmit(self._socket, head + ether_type.to_bytes(2, "big")
                 + outer(source, target, self.sent, payload))


@dataclasses.dataclass
class Life:
    """Of one forged packet; devices are the router's."""
    sent: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter)  # By the host behind the device.
    received: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter)
    targets: set[bytes] = dataclasses.field(default_factory=set)


class Tap:
    """Everything that passes the router, while the block runs."""

    def __init__(self, lab: Lab):
        self._socket = netns.socket_in(
            lab.router.netns, socket.AF_PACKET, socket.SOCK_RAW,
            socket.htons(_ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 26)
        self._socket.settimeout(0.2)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._backends = {backend.name for backend in lab.backends}
        self.lives: dict[int, Life] = collections.defaultdict(Life)
        self.segments: dict[Key, bytes] = {}  # The latest of each client's.
        # TCP that backends sent: flags of each segment, by source and target.
        self.answers: dict[Key, set[int]] = collections.defaultdict(set)

    def __enter__(self) -> Tap:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                frame, address = self._socket.recvfrom(2048)
            except TimeoutError:
                continue
            self._look(frame[14:], address[0], address[2] == _OUTGOING)

    def _look(self, packet: bytes, device: str, outgoing: bool) -> None:
        ends = _ends(packet)
        if ends is None:
            return
        proto, key, rest = ends
        if proto == 17 and key[3] == fake_lb.GUE_PORT:
            if key[1] < _LB_PORTS:
                life = self.lives[key[1]]
                (life.received if outgoing else life.sent)[device] += 1
                life.targets.add(key[2])
        elif proto == 6 and not outgoing and len(rest) >= 20:
            if device in self._backends:
                self.answers[key].add(rest[13])
            elif device == "client" and rest[13] & fake_lb.ACK:
                self.segments[key] = packet


def _ends(packet: bytes) -> tuple[int, Key, bytes] | None:
    if len(packet) >= 28 and packet[0] == 0x45:
        proto, source, target = packet[9], packet[12:16], packet[16:20]
        rest = packet[20:]
    elif len(packet) >= 48 and packet[0] >> 4 == 6:
        proto, source, target = packet[6], packet[8:24], packet[24:40]
        rest = packet[40:]
    else:
        return None
    ports = struct.unpack("!2H", rest[:4])
    return proto, (source, ports[0], target, ports[1]), rest


@dataclasses.dataclass
class Findings:
    forwards: int = 0  # The most that one packet had.
    handed_on: int = 0  # Packets that had one at all.
    multiplied: int = 0  # More copies left a host than came to it.
    outside: int = 0  # Copies to an address that is no backend's.
    resets: int = 0
    other_services: int = 0  # Answers from what is no service.


def findings(tap: Tap, lab: Lab, vips: set[str], sender: str) -> Findings:
    """What became of all forged packets; `vips` are of the real arm."""
    fleet = {ipaddress.ip_address(address).packed for backend in lab.backends
             for address in (backend.address, backend.address6)}
    services = {ipaddress.ip_address(vip).packed for vip in vips}
    found = Findings()
    for life in tap.lives.values():
        life.sent[sender] -= 1  # The forged packet itself.
        forwards = sum(life.sent.values())
        found.forwards = max(found.forwards, forwards)
        found.handed_on += forwards > 0
        found.outside += bool(life.targets - fleet)
        found.multiplied += any(count > life.received[host]
                                for host, count in life.sent.items())
    for (source, port, target, _), flags in tap.answers.items():
        to_nobody = any(ipaddress.ip_address(target) in network
                        for network in NOBODY)
        if source in services or to_nobody:
            found.resets += any(one & fake_lb.RST for one in flags)
        if to_nobody:
            found.other_services += (source not in services or port != PORT)
    return found
