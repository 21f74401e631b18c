"""Packets that nobody's stack sends, put straight onto the wire."""

from __future__ import annotations

import errno
import random
import socket
import time
from collections.abc import Iterable

import fake_lb
from lab import Lab, netns
from lab.hosts import LinkedHost

from .arms import PORT, Tuple4

FLAGS = (fake_lb.SYN, fake_lb.ACK, fake_lb.RST)


def transmit(link: socket.socket, frame: bytes) -> None:
    """Waits where the kernel has no room for it right now."""
    while True:
        try:
            link.send(frame)
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            time.sleep(0.001)


class Wire:
    """The router's end of a host's link."""

    def __init__(self, lab: Lab, host: LinkedHost):
        self._socket = netns.socket_in(
            lab.router.netns, socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.bind((host.link.host, 0))
        self._head = (bytes.fromhex(host.link.mac.replace(":", ""))
                      + bytes.fromhex(host.link.gateway_mac.replace(":", "")))

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, packet: bytes) -> None:
        ether_type = 0x0800 if packet[0] >> 4 == 4 else 0x86dd
        transmit(self._socket,
                 self._head + ether_type.to_bytes(2, "big") + packet)


def forged(one: Tuple4, flags: int) -> bytes:
    """A segment with the connection's exact tuple by somebody who does not
    know its sequence numbers."""
    return fake_lb.tcp_packet(
        one.client, one.client_port, one.vip, PORT, flags=flags,
        sequence=random.getrandbits(32), acknowledged=random.getrandbits(32))


def forge(lab: Lab, lbs: Iterable[LinkedHost],
          tuples: Iterable[Tuple4]) -> int:
    """A SYN, an ACK and a RST for each connection at each of the LB hosts, in
    any order: what comes first decides what the host records."""
    sent = 0
    for lb in lbs:
        with Wire(lab, lb) as wire:
            for one in tuples:
                for flags in random.sample(FLAGS, len(FLAGS)):
                    wire.send(forged(one, flags))
                    sent += 1
    return sent
