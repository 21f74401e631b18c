"""WebSocket servers of many backends in one process, for labs in which a
process for each would cost more than what is tested.

A listener in every backend's namespace; each connection gets a real handshake
and the hello of ws_server.py, and nothing after it. Control socket commands:
stats, start, stop.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import hashlib
import json
import os
import secrets
import socket

from . import control, netns
from .ws_server import BACKLOG, raise_file_limit

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455.


def text_frame(text: str) -> bytes:
    body = text.encode()
    assert len(body) < 126
    return bytes((0x81, len(body))) + body


class Connection(asyncio.Protocol):
    def __init__(self, backend: Backend):
        self._backend = backend
        self._head = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self in self._backend.live:
            return  # It has nothing to say that matters.
        self._head += data
        if b"\r\n\r\n" not in self._head:
            return
        fields = dict(line.lower().partition(b":")[::2]
                      for line in self._head.split(b"\r\n")[1:])
        key = self._head.partition(b"Sec-WebSocket-Key: ")[2].split(b"\r\n")[0]
        if fields.get(b"upgrade", b"").strip() != b"websocket" or not key:
            self.transport.close()
            return
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
        self._head = b""
        self._backend.live.add(self)
        self._backend.accepts += 1
        self.transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept
            + b"\r\n\r\n" + text_frame(self._backend.hello()))

    def connection_lost(self, exc: Exception | None) -> None:
        self._backend.live.discard(self)


class Backend:
    def __init__(self, name: str, namespace: str, port: int):
        self.name = name
        self.accepts = 0
        self.live: set[Connection] = set()
        self._incarnation = ""
        self._namespace = namespace
        self._port = port
        self._server: asyncio.Server | None = None

    def hello(self) -> str:
        return json.dumps({"backend": self.name, "accepts": self.accepts,
                           "incarnation": self._incarnation})

    async def start(self) -> None:
        self._incarnation = secrets.token_hex(4)
        listener = netns.socket_in(self._namespace, socket.AF_INET6,
                                   socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("::", self._port))
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self), sock=listener, backlog=BACKLOG)

    def stop(self) -> None:
        """As when the process of a server ends: its kernel closes all."""
        self._server.close()
        for connection in list(self.live):
            connection.transport.close()


async def run(options: argparse.Namespace) -> None:
    backends = {}
    for word in options.backend:
        name, _, namespace = word.partition("=")
        backends[name] = Backend(name, namespace, options.port)
        await backends[name].start()

    async def stats() -> dict:
        return {name: {"accepts": backend.accepts, "live": len(backend.live)}
                for name, backend in backends.items()}

    async def start(name: str) -> dict:
        await backends[name].start()
        return {}

    async def stop(name: str) -> dict:
        backends[name].stop()
        return {}

    await control.serve(options.control, {"stats": stats, "start": start,
                                          "stop": stop})
    print(f"ready: {len(backends)} backends", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--control", required=True, metavar="SOCKET")
    parser.add_argument("backend", nargs="+", metavar="NAME=NETNS")
    options = parser.parse_args()
    os.umask(0o077)
    gc.disable()  # Nothing here is garbage for long.
    raise_file_limit()
    asyncio.run(run(options))


if __name__ == "__main__":
    main()
