"""A message of many segments to a WebSocket server, and its echo."""

from __future__ import annotations

import sys

from lab.hosts import Host
from lab.processes import in_netns, run

_PROGRAM = """
import asyncio, sys, websockets
async def exchange():
    async with websockets.connect(sys.argv[1], max_size=None) as ws:
        await ws.recv()
        await ws.send(b"x" * 400000)
        echo = await asyncio.wait_for(ws.recv(), float(sys.argv[2]))
        # It has a prefix.
        assert echo.endswith(b"x" * 400000)
asyncio.run(exchange())
"""


def exchange(client: Host, authority: str, timeout: float = 20) -> None:
    run(in_netns(client.netns, [sys.executable, "-c", _PROGRAM,
                                f"ws://{authority}", timeout]),
        timeout=3 * timeout)
