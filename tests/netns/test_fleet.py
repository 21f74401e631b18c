"""The judgement of the WebSocket fleet, against servers that misbehave.

Whether a test of Fairlead can fail at all depends on it. Everything here runs
on the loopback, in this process.
"""

import asyncio
import json
import logging
import socket
import struct
import unittest
from collections.abc import Awaitable, Callable

import websockets
from websockets.legacy.server import WebSocketServerProtocol

from lab.ws_connection import ALIVE, BROKEN, CLOSED, Connection, Settings
from lab.ws_server import Protocol, Server

Handler = Callable[..., Awaitable[None]]


async def greet(connection, name: str = "b1") -> None:
    await connection.send(json.dumps(
        {"backend": name, "incarnation": "1", "accepts": 1}))


def answering(change: Callable[[bytes], bytes]) -> Handler:
    """A server that puts `change` of the honest answer on the wire."""

    async def serve(connection) -> None:
        await greet(connection)
        async for message in connection:
            await connection.send(change(b"b1/1\n" + message))

    return serve


def counting(protocol=Protocol):
    """The protocol of a server that greets with `greet`."""
    return lambda *a, **k: protocol(*a, prefix=b"b1/1\n", **k)


class JudgementTest(unittest.IsolatedAsyncioTestCase):
    def setUp(self) -> None:
        logging.getLogger("websockets").setLevel(logging.CRITICAL)

    async def connect(self, handler: Handler, protocol=None,
                      **settings) -> Connection:
        server = await websockets.serve(
            handler, "127.0.0.1", 0, ping_interval=None, close_timeout=1,
            create_protocol=protocol or WebSocketServerProtocol)
        self.addAsyncCleanup(server.wait_closed)
        self.addCleanup(server.close)
        port = server.sockets[0].getsockname()[1]
        connection = Connection(1, Settings("127.0.0.1", port, **settings))
        self.addAsyncCleanup(connection.close)
        await connection.open()
        return connection

    async def end_of(self, connection: Connection) -> str:
        async with asyncio.timeout(5):
            while connection.state == ALIVE:
                await asyncio.sleep(0.01)
        self.assertEqual(connection.state, BROKEN)
        return connection.reason

    async def test_an_honest_server_keeps_the_connection_alive(self) -> None:
        server = Server("b1")
        connection = await self.connect(server.on_connection, kind="silent")
        for _ in range(3):
            self.assertTrue(await connection.echo())
        self.assertEqual((server.accepts, server.messages), (1, 3))
        await connection.close()
        self.assertEqual(connection.state, CLOSED)

    async def test_one_wrong_byte_is_wrong_data(self) -> None:
        def flip(answer: bytes) -> bytes:
            return answer[:-1] + bytes([answer[-1] ^ 1])

        connection = await self.connect(answering(flip), kind="silent")
        self.assertFalse(await connection.echo())
        self.assertEqual(connection.reason, "wrong-data")

    async def test_an_older_answer_again_is_wrong_data(self) -> None:
        first = []

        def repeat(answer: bytes) -> bytes:
            first.append(answer)
            return first[0]

        connection = await self.connect(answering(repeat), kind="silent")
        self.assertTrue(await connection.echo())
        self.assertFalse(await connection.echo())
        self.assertEqual(connection.reason, "wrong-data")

    async def test_unasked_data_is_wrong_data(self) -> None:
        async def serve(connection) -> None:
            await greet(connection)
            await connection.send(b"b1/1\nhello")
            await connection.wait_closed()

        connection = await self.connect(serve, kind="silent")
        self.assertEqual(await self.end_of(connection), "wrong-data")

    async def test_another_peer_is_wrong_peer(self) -> None:
        for other in (b"b2/1\n", b"b1/2\n"):
            with self.subTest(other=other):
                connection = await self.connect(
                    answering(lambda a, o=other: a.replace(b"b1/1\n", o)),
                    kind="silent")
                self.assertFalse(await connection.echo())
                self.assertEqual(connection.reason, "wrong-peer")

    async def test_no_answer_is_no_echo(self) -> None:
        async def serve(connection) -> None:
            await greet(connection)
            await connection.wait_closed()

        connection = await self.connect(serve, interval=0.01,
                                        echo_timeout=0.2)
        self.assertEqual(await self.end_of(connection), "no-echo-30s")

    async def test_a_close_frame_is_eof(self) -> None:
        async def serve(connection) -> None:
            await greet(connection)
            await connection.close(1001)

        for kind in ("silent", "echo"):
            connection = await self.connect(serve, kind=kind)
            self.assertEqual(await self.end_of(connection), "eof")
            self.assertEqual(connection.detail, "close frame 1001")

    async def test_a_reset_and_a_bare_fin_are_told_apart(self) -> None:
        def ending(linger: int) -> Handler:
            async def serve(connection) -> None:
                await greet(connection)
                connection.transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("ii", linger, 0))
                await asyncio.sleep(0.05)
                connection.transport.abort()
            return serve

        for linger, reason in ((1, "rst"), (0, "eof")):
            for kind in ("silent", "echo"):
                with self.subTest(reason=reason, kind=kind):
                    connection = await self.connect(ending(linger), kind=kind)
                    self.assertEqual(await self.end_of(connection), reason)

    async def test_a_refused_connect_and_a_missing_hello_are_failures(
            self) -> None:
        async def mute(connection) -> None:
            await connection.wait_closed()

        connection = await self.connect(mute, connect_timeout=0.2)
        self.assertEqual(connection.reason, "connect-failed")
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))  # Bound, but not listening.
            refused = Connection(
                2, Settings("127.0.0.1", unused.getsockname()[1]))
            self.assertFalse(await refused.open())
        self.assertEqual(refused.reason, "connect-failed")

    async def test_a_half_closed_connection_hears_the_server_count(
            self) -> None:
        server = Server("b1")
        connection = await self.connect(server.on_connection, server.protocol,
                                        kind="half-closed")
        for _ in range(2):
            self.assertTrue(await connection.echo(5))
        self.assertEqual(server.messages, 0)
        await connection.close()
        self.assertEqual(connection.state, CLOSED)

    async def test_a_number_left_out_is_wrong_data(self) -> None:
        class Forgetful(Protocol):
            async def send(self, message) -> None:
                if message != b"b1/1\n1":
                    await super().send(message)

        async def serve(connection) -> None:
            await greet(connection)
            await connection.wait_closed()

        connection = await self.connect(serve, counting(Forgetful),
                                        kind="half-closed")
        self.assertEqual(await self.end_of(connection), "wrong-data")

    async def test_a_half_closed_connection_that_ends_is_broken(self) -> None:
        async def serve(connection) -> None:
            await greet(connection)
            await asyncio.sleep(0.1)
            connection.transport.abort()

        connection = await self.connect(serve, counting(),
                                        kind="half-closed")
        self.assertEqual(await self.end_of(connection), "eof")

    async def test_a_keepalive_connection_says_nothing(self) -> None:
        server = Server("b1")
        connection = await self.connect(server.on_connection,
                                        kind="keepalive")
        await asyncio.sleep(0.05)
        self.assertEqual(server.messages, 0)
        self.assertTrue(await connection.echo())

    async def test_a_close_of_ours_is_not_a_breakage(self) -> None:
        connection = await self.connect(answering(bytes), interval=0.01)
        await asyncio.sleep(0.05)
        await connection.close()
        self.assertEqual((connection.state, connection.reason), (CLOSED, ""))


if __name__ == "__main__":
    unittest.main(verbosity=2)
