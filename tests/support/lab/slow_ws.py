"""A WebSocket server that takes its time: it agrees to each connection after a
second, then answers one ping. For thousands of checks, so it knows no more of
the protocol than a check needs.

    python3 -m lab.slow_ws --port P
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import re

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_PAUSE = 1.0
_BACKLOG = 4096


async def _frame(reader: asyncio.StreamReader) -> bytes:
    """The payload of a client's short frame."""
    head = await reader.readexactly(6)
    payload = await reader.readexactly(head[1] & 0x7F)
    return bytes(b ^ head[2 + i % 4] for i, b in enumerate(payload))


async def _serve(reader: asyncio.StreamReader,
                 writer: asyncio.StreamWriter) -> None:
    try:
        request = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        key = re.search(r"(?im)^sec-websocket-key: *(\S+)", request)
        if key is None:
            return
        accept = base64.b64encode(
            hashlib.sha1((key[1] + _GUID).encode()).digest()).decode()
        await asyncio.sleep(_PAUSE)
        writer.write((
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n").encode())
        ping = await _frame(reader)
        writer.write(bytes([0x8A, len(ping)]) + ping)
        await _frame(reader)
        writer.write(b"\x88\x02\x03\xe8")
        await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # Whoever checks a port only goes at once.
    finally:
        writer.close()


async def _main(port: int) -> None:
    server = await asyncio.start_server(_serve, "::", port, backlog=_BACKLOG)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(_main(parser.parse_args().port))
