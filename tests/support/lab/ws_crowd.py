"""Very many idle WebSocket clients in one process: connect, hear who it is,
stay. One whose server ends comes back after a while. Control socket commands:
grow, turn, report.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import collections
import gc
import json
import os
import random
import secrets
import time

from . import control
from .ws_server import raise_file_limit


class Client(asyncio.Protocol):
    def __init__(self, crowd: Crowd):
        self._crowd = crowd
        self._data = b""
        self.wanted = True
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(self._crowd.request)

    def data_received(self, data: bytes) -> None:
        if self._crowd.place_of(self) is not None:
            return
        self._data += data
        head, _, frame = self._data.partition(b"\r\n\r\n")
        if len(frame) < 2 or len(frame) < 2 + frame[1]:
            return
        if not head.startswith(b"HTTP/1.1 101 "):
            self.transport.abort()
            return
        json.loads(frame[2:])  # The server says who it is, and all of it.
        self._data = b""
        self._crowd.joined(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.left(self)


class Crowd:
    def __init__(self, host: str, port: int, sources: list[str]):
        self._host, self._port = host, port
        self._sources = sources
        self._members: list[Client] = []
        self._places: dict[Client, int] = {}
        self.opened = self.ended = 0
        self.failed: collections.Counter[str] = collections.Counter()
        self._back_within = 0.0
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        self.request = (f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\n"
                        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                        f"Sec-WebSocket-Key: {key}\r\n"
                        "Sec-WebSocket-Version: 13\r\n\r\n").encode()

    def place_of(self, client: Client) -> int | None:
        return self._places.get(client)

    def joined(self, client: Client) -> None:
        self.opened += 1
        self._places[client] = len(self._members)
        self._members.append(client)

    def left(self, client: Client) -> None:
        if self._take_out(client) and client.wanted:
            self.ended += 1
            asyncio.get_running_loop().call_later(
                random.uniform(0, self._back_within), self._open_soon)

    def _take_out(self, client: Client) -> bool:
        place = self._places.pop(client, None)
        if place is None:
            return False
        last = self._members.pop()
        if last is not client:
            self._members[place] = last
            self._places[last] = place
        return True

    def _open_soon(self) -> None:
        asyncio.ensure_future(self._open())

    async def _open(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: Client(self), self._host, self._port,
                local_addr=(random.choice(self._sources), 0))
        except OSError as error:
            self.failed[str(error)] += 1

    async def _paced(self, count: int, rate: float, step) -> None:
        began = time.monotonic()
        for number in range(count):
            await asyncio.sleep(max(0, began + number / rate
                                    - time.monotonic()))
            step()

    async def grow(self, count: int, rate: float) -> dict:
        """`count` more, `rate` a second."""
        await self._paced(count, rate, self._open_soon)
        return await self.report()

    async def turn(self, count: int, rate: float) -> dict:
        """So many leave, anyone, and as many others come."""
        def step() -> None:
            client = random.choice(self._members)
            client.wanted = False
            client.transport.close()
            self._open_soon()

        await self._paced(count, rate, step)
        return await self.report()

    async def report(self, back_within: float | None = None) -> dict:
        """`back_within`: the longest that one waits before it comes back."""
        if back_within is not None:
            self._back_within = back_within
        return {"members": len(self._members), "opened": self.opened,
                "failed": self.failed, "ended": self.ended}


async def run(options: argparse.Namespace) -> None:
    crowd = Crowd(options.host, options.port, options.source)
    await control.serve(options.control, {
        "grow": crowd.grow, "turn": crowd.turn, "report": crowd.report})
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--control", required=True, metavar="SOCKET")
    parser.add_argument("--source", required=True, nargs="+",
                        metavar="ADDRESS")
    options = parser.parse_args()
    os.umask(0o077)
    gc.disable()  # Nothing here is garbage for long.
    raise_file_limit()
    asyncio.run(run(options))


if __name__ == "__main__":
    main()
