"""The WebSocket server of a backend: echoes, and counts exactly.

On connect it sends {"backend", "incarnation", "accepts"}; every message comes
back with `NAME/INCARNATION\\n` in front, so that a client can tell that it
still talks to the very same process. A client that closes its half is told a
number a second instead. Control socket commands: stats, health, upgrades.

Not a model of a good application server: it never pings and never closes by
itself, so that every close a client sees was caused by something else.
"""

from __future__ import annotations

import argparse
import asyncio
import http
import itertools
import json
import logging
import os
import resource
import secrets
import signal
import socket

import websockets
from websockets.legacy.protocol import State
from websockets.legacy.server import WebSocketServerProtocol

from . import control

BACKLOG = 4096
COUNT_INTERVAL = 1.0  # Seconds.


class Protocol(WebSocketServerProtocol):
    """Goes on when the client has closed its half, which the library does
    not: the library's closing handshake ends both at once."""

    def __init__(self, *args, prefix: bytes, **kwargs):
        super().__init__(*args, **kwargs)
        self._prefix = prefix
        self._counting: asyncio.Task | None = None

    def eof_received(self) -> bool | None:
        if self.state is not State.OPEN:
            return super().eof_received()
        self._counting = asyncio.create_task(self._count())
        return True  # The transport stays open.

    async def _count(self) -> None:
        try:
            for number in itertools.count(1):
                await self.send(self._prefix + str(number).encode())
                await asyncio.sleep(COUNT_INTERVAL)
        except websockets.ConnectionClosed:
            pass


class Server:
    def __init__(self, name: str):
        self.name = name
        self.incarnation = secrets.token_hex(4)
        self.prefix = f"{name}/{self.incarnation}\n".encode()
        self.health_status = 200
        self.takes_upgrades = True
        # TCP connections on the WebSocket port, probes included, against
        # WebSocket connections that completed their handshake.
        self.tcp_accepts = 0
        self.accepts = 0
        self.http_requests = 0
        self.messages = 0
        self.live = 0

    async def on_connection(self, connection: WebSocketServerProtocol) -> None:
        self.accepts += 1
        self.live += 1
        try:
            await connection.send(json.dumps(
                {"backend": self.name, "incarnation": self.incarnation,
                 "accepts": self.accepts}))
            async for message in connection:
                self.messages += 1
                if isinstance(message, str):
                    message = message.encode()
                await connection.send(self.prefix + message)
        except websockets.ConnectionClosed:
            pass
        finally:
            self.live -= 1

    async def on_request(self, path: str, headers):
        """Plain HTTP on the WebSocket port: the health check's path only."""
        if "Upgrade" in headers:
            if self.takes_upgrades:
                return None
            return http.HTTPStatus.SERVICE_UNAVAILABLE, [], b""
        self.http_requests += 1
        status = self.health_status if path == "/healthz" else 404
        return http.HTTPStatus(status), [], f"{status}\n".encode()

    async def on_health_connection(self, reader: asyncio.StreamReader,
                                   writer: asyncio.StreamWriter) -> None:
        """The same answer on the health port, one request per connection."""
        try:
            line = await asyncio.wait_for(reader.readline(), 10)
            while (await asyncio.wait_for(reader.readline(), 10)).strip():
                pass
            path = line.split()[1] if len(line.split()) > 1 else b""
            status = self.health_status if path == b"/healthz" else 404
            body = f"{status}\n"
            writer.write(f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}"
                         f"\r\nContent-Length: {len(body)}\r\n"
                         f"Connection: close\r\n\r\n{body}".encode())
            await writer.drain()
        except (OSError, asyncio.TimeoutError):
            pass
        finally:
            writer.close()

    async def stats(self) -> dict:
        return {"backend": self.name, "incarnation": self.incarnation,
                "accepts": self.accepts, "tcp_accepts": self.tcp_accepts,
                "http_requests": self.http_requests, "live": self.live,
                "messages": self.messages, "health": self.health_status}

    async def set_health(self, status: int) -> dict:
        http.HTTPStatus(status)
        self.health_status = status
        return await self.stats()

    async def set_upgrades(self, taken: bool) -> dict:
        self.takes_upgrades = taken
        return await self.stats()

    def protocol(self, *args, **kwargs) -> WebSocketServerProtocol:
        self.tcp_accepts += 1
        return Protocol(*args, prefix=self.prefix, **kwargs)


def dual_stack_listener(port: int) -> socket.socket:
    """One socket for both families: the VIPs of both are on lo."""
    listener = socket.create_server(
        ("::", port), family=socket.AF_INET6, backlog=BACKLOG,
        dualstack_ipv6=True)
    listener.setblocking(False)
    return listener


async def run(options: argparse.Namespace) -> None:
    server = Server(options.name)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with websockets.serve(
            server.on_connection, sock=dual_stack_listener(options.port),
            backlog=BACKLOG, create_protocol=server.protocol,
            process_request=server.on_request, compression=None,
            ping_interval=None, max_queue=4, close_timeout=1):
        health = await asyncio.start_server(
            server.on_health_connection,
            sock=dual_stack_listener(options.health_port))
        commands = await control.serve(
            options.control,
            {"stats": server.stats, "health": server.set_health,
             "upgrades": server.set_upgrades})
        print(f"ready: {options.name} on port {options.port}", flush=True)
        await stopped.wait()
        health.close()
        commands.close()


def raise_file_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--health-port", type=int, required=True)
    parser.add_argument("--control", required=True, metavar="SOCKET")
    options = parser.parse_args()
    # The library logs a traceback for every probe that connects and leaves.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    os.umask(0o077)
    raise_file_limit()
    asyncio.run(run(options))


if __name__ == "__main__":
    main()
