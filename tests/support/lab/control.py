"""Line-delimited JSON over a Unix socket: how tests drive the WebSocket
programs. Unix sockets are files, so the network namespace does not matter.

One request is one line {"command": NAME, ...arguments}; one answer is one
line, an object; {"error": TEXT} if it failed. Requests on one connection run
in order, connections run side by side.
"""

from __future__ import annotations

import asyncio
import json
import pathlib
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from .errors import LabError

Handler = Callable[..., Awaitable[dict[str, Any]]]


async def _answer(handlers: Mapping[str, Handler], line: bytes) -> dict:
    try:
        request = json.loads(line)
        name = request.pop("command")
        if name not in handlers:
            raise ValueError(f'no command "{name}" (have: '
                             f"{', '.join(sorted(handlers))})")
        return await handlers[name](**request)
    except Exception as error:  # Whatever it is, the caller shall see it.
        return {"error": f"{type(error).__name__}: {error}"}


async def serve(path: str, handlers: Mapping[str, Handler]) -> asyncio.Server:
    """Answers requests on the socket `path` until the server is closed."""

    async def on_connection(reader: asyncio.StreamReader,
                            writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                answer = await _answer(handlers, line)
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    # asyncio replaces the socket file that a killed predecessor left.
    return await asyncio.start_unix_server(on_connection, path)


def call(path: pathlib.Path, command: str, *, timeout: float = 60,
         **arguments: Any) -> dict[str, Any]:
    """One request, one answer, one connection; thread-safe therefore."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(str(path))
            request = {"command": command, **arguments}
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as stream:
                line = stream.readline()
        except OSError as error:
            raise LabError(f"{command} to {path}: {error}") from error
    if not line:
        raise LabError(f"{command} to {path}: the program ended")
    answer = json.loads(line)
    if "error" in answer:
        raise LabError(f"{command} to {path}: {answer['error']}")
    return answer


def answers(path: pathlib.Path) -> bool:
    """Whether somebody listens on the socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(path))
        except OSError:
            return False
    return True
