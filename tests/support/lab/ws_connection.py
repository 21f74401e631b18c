"""One WebSocket connection of the fleet and the judgement whether it is whole.

A connection is broken by a RST, an EOF or close frame that it did not ask for,
an answer with other bytes than were sent, an answer by another process, or no
answer in time. The first of these that happens is the reason that is kept.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import random
import secrets
import socket
import time

import websockets
from websockets.legacy.client import WebSocketClientProtocol

RST = "rst"
EOF = "eof"
WRONG_DATA = "wrong-data"
WRONG_PEER = "wrong-peer"
NO_ECHO = "no-echo-30s"
CONNECT_FAILED = "connect-failed"

# What a connection does by itself: an echo now and then; nothing; nothing, but
# its kernel asks whether the peer is there; nothing ever again, as it has
# closed its half and listens to the numbers that the server counts.
ECHO, SILENT, KEEPALIVE, HALF_CLOSED = KINDS = (
    "echo", "silent", "keepalive", "half-closed")

# Probes after 2 s and every 2 s; the kernel gives up after a minute, for it is
# the fleet that judges.
_KEEPALIVE = ((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
              (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 2),
              (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2),
              (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 30))

OPENING, ALIVE, BROKEN, CLOSED = "opening", "alive", "broken", "closed"


class _Protocol(WebSocketClientProtocol):
    """Keeps the error that ended the TCP connection; None means EOF."""

    lost: Exception | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = exc
        super().connection_lost(exc)


@dataclasses.dataclass(frozen=True)
class Settings:
    host: str
    port: int
    path: str = "/"
    kind: str = ECHO  # All kinds but half-closed echo when they are verified.
    group: str = "default"
    interval: float = 5.0
    payload: int = 256
    connect_timeout: float = 10.0
    echo_timeout: float = 30.0
    local_port: int | None = None

    @property
    def uri(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ws://{host}:{self.port}{self.path}"

    def new_socket(self) -> socket.socket:
        is_ipv6 = ":" in self.host
        new = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET,
                            socket.SOCK_STREAM)
        new.setblocking(False)
        if self.local_port is not None:
            new.bind(("::" if is_ipv6 else "0.0.0.0", self.local_port))
        return new


def _address(pair: tuple) -> str:
    host, port = pair[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Connection:
    def __init__(self, number: int, settings: Settings):
        self.number = number
        self.settings = settings
        self.state = OPENING
        self.reason = self.detail = self.backend = self.incarnation = ""
        self.local = ""
        self.remote = _address((settings.host, settings.port))
        self.accepts = 0  # The server's count when it took this connection.
        self.echo_seconds = 0.0  # Of the latest echo.
        self.broken_at: float | None = None
        self._socket: _Protocol | None = None
        self._sequence = 0
        self._expected: bytes | None = None
        self._answer: asyncio.Future[None] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._tasks: list[asyncio.Task] = []

    async def open(self) -> bool:
        """Connects and reads the server's identity."""
        settings = self.settings
        step = "connect"
        try:
            async with asyncio.timeout(settings.connect_timeout):
                tcp = await self._connect()
                step = "upgrade"
                self._socket = await websockets.connect(
                    settings.uri, create_protocol=_Protocol, compression=None,
                    ping_interval=None, max_queue=4, close_timeout=1,
                    open_timeout=None, sock=tcp)
                step = "hello"
                hello = json.loads(await self._socket.recv())
        except Exception as error:  # The library has many ways to fail.
            self._break(CONNECT_FAILED,
                        f"{step}: {type(error).__name__}: {error}")
            return False
        self.backend = hello["backend"]
        self.incarnation = hello["incarnation"]
        self.accepts = hello["accepts"]
        self.state = ALIVE
        self._tasks.append(asyncio.create_task(self._read()))
        if settings.kind == ECHO:
            self._tasks.append(asyncio.create_task(self._talk()))
        elif settings.kind == KEEPALIVE:
            tcp = self._socket.transport.get_extra_info("socket")
            for option in _KEEPALIVE:
                tcp.setsockopt(*option)
        elif settings.kind == HALF_CLOSED:
            self._socket.transport.write_eof()
            self._tasks.append(asyncio.create_task(self._listen()))
        return True

    async def _connect(self) -> socket.socket:
        settings = self.settings
        tcp = settings.new_socket()
        try:
            await asyncio.get_running_loop().sock_connect(
                tcp, (settings.host, settings.port))
        except BaseException:  # Cancelled at the end of its time, too.
            self.local = _address(tcp.getsockname())
            tcp.close()
            raise
        self.local = _address(tcp.getsockname())
        return tcp

    async def echo(self, timeout: float | None = None) -> bool:
        """One message there and back, or the next number if this end is
        closed; False if the connection is broken."""
        limit = timeout or self.settings.echo_timeout
        began = time.monotonic()
        try:
            async with asyncio.timeout(limit), self._one_at_a_time:
                if self.state != ALIVE:
                    return False
                began = time.monotonic()
                await self._exchange()
        except TimeoutError:
            self._break(NO_ECHO, f"no echo of message {self._sequence} "
                        f"within {limit:g} s")
        except (websockets.ConnectionClosed, OSError) as error:
            # The reader sees the same end and knows the better reason.
            await asyncio.sleep(0)
            self._break(*self._why_lost(error))
        self.echo_seconds = time.monotonic() - began
        return self.state == ALIVE

    async def _exchange(self) -> None:
        self._answer = asyncio.get_running_loop().create_future()
        if self.settings.kind == HALF_CLOSED:
            await self._answer
            return
        self._sequence += 1
        head = f"{self.number}:{self._sequence}:".encode()
        fill = max(0, self.settings.payload - len(head))
        self._expected = head + secrets.token_bytes(fill)
        await self._socket.send(self._expected)
        await self._answer

    async def close(self) -> None:
        """Ends it in good order; from now on nothing counts as a breakage."""
        if self.state != ALIVE:
            return
        self.state = CLOSED
        self._finish()
        try:
            if self.settings.kind == HALF_CLOSED:
                self._socket.transport.abort()
            await self._socket.close()
        except (websockets.WebSocketException, OSError):
            pass

    def describe(self) -> dict:
        return {"id": self.number, "kind": self.settings.kind,
                "group": self.settings.group, "state": self.state,
                "backend": self.backend, "local": self.local,
                "remote": self.remote,
                "reason": self.reason, "detail": self.detail,
                "broken_at": self.broken_at}

    async def _read(self) -> None:
        try:
            async for message in self._socket:
                self._judge(message)
            self._break(EOF, f"close frame {self._socket.close_code}")
        except (websockets.ConnectionClosed, OSError) as error:
            self._break(*self._why_lost(error))

    def _judge(self, message: str | bytes) -> None:
        if isinstance(message, str):
            message = message.encode()
        peer, _, body = message.partition(b"\n")
        expected = f"{self.backend}/{self.incarnation}"
        if peer != expected.encode():
            self._break(WRONG_PEER, f"answer by {peer[:80]!r}, not {expected}")
        elif self.settings.kind == HALF_CLOSED:
            self._count(body)
        elif self._expected is None:
            self._break(WRONG_DATA, f"{len(body)} bytes nobody asked for")
        elif body != self._expected:
            self._break(WRONG_DATA, f"message {self._sequence}: sent "
                        f"{_digest(self._expected)}, received {_digest(body)}")
        else:
            self._expected = None
            self._answered()

    def _count(self, body: bytes) -> None:
        self._sequence += 1
        if body != str(self._sequence).encode():
            self._break(WRONG_DATA, f"number {self._sequence} is {body[:24]!r}")
        self._answered()

    def _answered(self) -> None:
        # Cancelled when the echo ran out of time; _break comes next then.
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)

    async def _listen(self) -> None:
        while await self.echo():
            pass

    async def _talk(self) -> None:
        # A random start and period, or all connections would talk at once.
        await asyncio.sleep(random.uniform(0, self.settings.interval))
        while await self.echo():
            await asyncio.sleep(self.settings.interval
                                * random.uniform(0.75, 1.25))

    def _why_lost(self, error: Exception) -> tuple[str, str]:
        for cause in (self._socket.lost, error, error.__cause__):
            if isinstance(cause, (ConnectionResetError, BrokenPipeError)):
                return RST, str(cause)
            if isinstance(cause, OSError):  # Such as "no route to host".
                return f"error-{cause.errno}", str(cause)
        code = self._socket.close_code
        return EOF, "EOF" if code in (None, 1006) else f"close frame {code}"

    def _break(self, reason: str, detail: str) -> None:
        if self.state not in (OPENING, ALIVE):
            return
        self.state, self.reason, self.detail = BROKEN, reason, detail
        self.broken_at = time.time()
        self._finish()
        if self._socket is not None and self._socket.transport is not None:
            self._socket.transport.abort()

    def _finish(self) -> None:
        # An echo under way must not wait out its time on a dead connection.
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionAbortedError("not alive"))
            self._answer.exception()  # Seen; nobody may be waiting for it.
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()


def _digest(data: bytes) -> str:
    return f"{len(data)} bytes {data[:24]!r}"
