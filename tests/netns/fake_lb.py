"""An LB host in Python: takes what arrives for the VIPs off the wire and sends
it on in GUE with a hop list, as the test says. No memory of flows at all.

    fake_lb.py --interface eth0 --control SOCKET

Control commands: route (hops, acceptors, flags), stats. The layout is that of
include/fairlead/abi/wire.h.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import pathlib
import socket
import struct

from lab import control

HERE = pathlib.Path(__file__).resolve().parent
GUE_PORT = 6080
SYN, RST, ACK = 0x02, 0x04, 0x10
LB_ID = 1
SETTLED = 0x01
FINAL = 0x02
CLAIM0 = 0x08
HOPS = 8
NO_WEAK = 0xff
_ETH_P_ALL = 3
_PACKET_OUTGOING = 4
_VIPS = [ipaddress.ip_network(prefix)
         for prefix in ("198.51.100.0/24", "2001:db8:100::/64")]


def hop_list(ids: list[int], *, acceptors: int = 1, flags: int = 0,
             index: int = 0, weak: int = NO_WEAK, row: int = 0) -> bytes:
    return struct.pack("!8B2HI8H", 1, flags, index, len(ids), acceptors,
                       weak, 0, 0, LB_ID, row, 0,
                       *ids, *[0] * (HOPS - len(ids)))


def gue(inner: bytes, hops: bytes) -> bytes:
    proto = 4 if inner[0] >> 4 == 4 else 41
    return struct.pack("!BBH", len(hops) // 4, proto, 0) + hops + inner


def _sum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def tcp_packet(source: str, source_port: int, vip: str, port: int, *,
               flags: int, sequence: int = 1000,
               acknowledged: int = 0, tos: int = 0) -> bytes:
    """An IP packet with one TCP segment without data."""
    src, dst = (ipaddress.ip_address(a) for a in (source, vip))
    tcp = struct.pack("!2H2I2B3H", source_port, port, sequence, acknowledged,
                      5 << 4, flags, 65535, 0, 0)
    pseudo = src.packed + dst.packed + struct.pack("!2H", 6, len(tcp))
    tcp = tcp[:16] + struct.pack("!H", _sum(pseudo + tcp)) + tcp[18:]
    if src.version == 6:
        return struct.pack("!IHBB", 6 << 28 | tos << 20, len(tcp), 6, 64) + \
            src.packed + dst.packed + tcp
    head = struct.pack("!2B3H2BH", 0x45, tos, 20 + len(tcp), 1, 0x4000, 64, 6,
                       0)
    head += src.packed + dst.packed
    return head[:10] + struct.pack("!H", _sum(head)) + head[12:] + tcp


def with_checksum(packet: bytes) -> bytes:
    """A TCP segment that was seen before the device filled that in."""
    at, length = (20, 8) if packet[0] >> 4 == 4 else (40, 32)
    tcp = packet[at:at + 16] + b"\0\0" + packet[at + 18:]
    total = _sum(packet[at - length:at] + struct.pack("!2H", 6, len(tcp))
                 + tcp)
    return packet[:at] + tcp[:16] + struct.pack("!H", total) + tcp[18:]


def frag_needed(source: str, quoted: bytes, mtu: int) -> bytes:
    """The ICMP error of `source`, an IPv4 router that `quoted` did not fit."""
    icmp = struct.pack("!2B3H", 3, 4, 0, 0, mtu) + quoted[:28]
    icmp = icmp[:2] + struct.pack("!H", _sum(icmp)) + icmp[4:]
    head = struct.pack("!2B3H2BH", 0x45, 0, 20 + len(icmp), 1, 0, 64, 1, 0)
    head += ipaddress.ip_address(source).packed + quoted[12:16]
    return head[:10] + struct.pack("!H", _sum(head)) + head[12:] + icmp


def packet_too_big(source: str, quoted: bytes, mtu: int) -> bytes:
    """The same of an IPv6 router."""
    icmp = struct.pack("!2BHI", 2, 0, 0, mtu) + quoted[:48]
    addresses = ipaddress.ip_address(source).packed + quoted[8:24]
    pseudo = addresses + struct.pack("!2I", len(icmp), 58)
    icmp = icmp[:2] + struct.pack("!H", _sum(pseudo + icmp)) + icmp[4:]
    return struct.pack("!IHBB", 6 << 28, len(icmp), 58, 64) + addresses + icmp


class FakeLb:
    def __init__(self, interface: str):
        self._wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM,
                                   socket.htons(_ETH_P_ALL))
        self._wire.bind((interface, _ETH_P_ALL))
        self._wire.setblocking(False)
        self._senders = {
            4: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
            6: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)}
        self._target: ipaddress._BaseAddress | None = None
        self._hops = b""
        self._sent = 0

    def on_readable(self) -> None:
        while True:
            try:
                packet, address = self._wire.recvfrom(65535)
            except BlockingIOError:
                return
            if address[2] != _PACKET_OUTGOING and self._target is not None:
                self._forward(packet)

    def _forward(self, packet: bytes) -> None:
        version = packet[0] >> 4 if packet else 0
        if version == 4:
            length, proto = struct.unpack("!H", packet[2:4])[0], packet[9]
            vip = ipaddress.ip_address(packet[16:20])
        elif version == 6:
            length = 40 + struct.unpack("!H", packet[4:6])[0]
            proto, vip = packet[6], ipaddress.ip_address(packet[24:40])
        else:
            return
        if proto != 6 or not any(vip in network for network in _VIPS):
            return
        self._senders[self._target.version].sendto(
            gue(packet[:length], self._hops), (str(self._target), GUE_PORT))
        self._sent += 1

    async def route(self, *, hops: list[list], acceptors: int = 1,
                    flags: int = 0) -> dict:
        """`hops` are [id, address]; the first gets the packets. None: drop."""
        self._target = ipaddress.ip_address(hops[0][1]) if hops else None
        self._hops = hop_list([number for number, _ in hops],
                              acceptors=acceptors, flags=flags)
        return {}

    async def stats(self) -> dict:
        return {"sent": self._sent}

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.add_reader(self._wire.fileno(), self.on_readable)


async def run(options: argparse.Namespace) -> None:
    lb = FakeLb(options.interface)
    lb.attach(asyncio.get_running_loop())
    await control.serve(options.control, {"route": lb.route,
                                          "stats": lb.stats})
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--interface", required=True)
    parser.add_argument("--control", required=True)
    asyncio.run(run(parser.parse_args()))
