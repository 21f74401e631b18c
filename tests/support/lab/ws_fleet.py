"""The WebSocket clients of a lab: thousands of connections in one process.

Commands on the control socket: open, report, verify, connections, close,
churn_start, churn_report, churn_stop. Their arguments and answers are described
where tests call them, in fleet.py.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import itertools
import os
import signal
import time

from . import control
from .ws_churn import Churn, percentiles_ms
from .ws_connection import ALIVE, BROKEN, CONNECT_FAILED, Connection, Settings
from .ws_server import raise_file_limit


def _matches(connection: Connection, wanted: dict) -> bool:
    seen = connection.describe()
    return all(value is None or seen[key] == value
               for key, value in wanted.items())


class Fleet:
    def __init__(self) -> None:
        self._connections: list[Connection] = []
        self._numbers = itertools.count(1)
        self._churns: dict[str, Churn] = {}

    async def open(self, *, kinds: dict[str, int], concurrency: int = 64,
                   local_port: int | None = None, **settings) -> dict:
        kinds = [kind for kind, count in kinds.items() for _ in range(count)]
        wanted = [Connection(next(self._numbers), Settings(
            kind=kind, local_port=local_port and local_port + number,
            **settings)) for number, kind in enumerate(kinds)]
        self._connections += wanted
        slots = asyncio.Semaphore(concurrency)

        async def open_one(connection: Connection) -> None:
            async with slots:
                await connection.open()

        began = time.monotonic()
        await asyncio.gather(*map(open_one, wanted))
        return {**_summary(wanted),
                "seconds": round(time.monotonic() - began, 2)}

    async def report(self, **wanted) -> dict:
        chosen = self._choose(wanted)
        echoes = [c.echo_seconds for c in chosen if c.echo_seconds > 0]
        return {**_summary(chosen), "echo": percentiles_ms(echoes)}

    async def verify(self, *, within: float = 30.0, **wanted) -> dict:
        """Every living connection, the silent ones too, must echo now."""
        chosen = self._choose(wanted)
        alive = [c for c in chosen if c.state == ALIVE]
        await asyncio.gather(*(c.echo(within) for c in alive))
        return {**_summary(chosen), "verified":
                sum(c.state == ALIVE for c in alive),
                "echo": percentiles_ms([c.echo_seconds for c in alive])}

    async def connections(self, *, limit: int = 100, **wanted) -> dict:
        chosen = self._choose(wanted)[:limit]
        return {"connections": [c.describe() for c in chosen]}

    async def close(self, *, count: int | None = None, **wanted) -> dict:
        chosen = [c for c in self._choose(wanted) if c.state == ALIVE][:count]
        await asyncio.gather(*(c.close() for c in chosen))
        return {"closed": len(chosen)}

    async def churn_start(self, *, name: str, rate: float,
                          **settings) -> dict:
        if name in self._churns:
            raise ValueError(f'churn "{name}" is running')
        self._churns[name] = Churn(Settings(**settings), rate)
        return {}

    async def churn_report(self, *, name: str) -> dict:
        return self._churns[name].report()

    async def churn_stop(self, *, name: str) -> dict:
        return await self._churns.pop(name).stop()

    def _choose(self, wanted: dict) -> list[Connection]:
        return [c for c in self._connections if _matches(c, wanted)]


def _summary(connections: list[Connection]) -> dict:
    """opened = alive + closed + broken after the hello; broken also has the
    connections that could not be opened."""
    states = collections.Counter(c.state for c in connections)
    broken = [c for c in connections if c.state == BROKEN]
    backends: dict[str, collections.Counter] = {}
    for connection in connections:
        if connection.backend:
            counts = backends.setdefault(
                connection.backend,
                collections.Counter(opened=0, alive=0, closed=0, broken=0))
            counts.update(("opened", connection.state))
    reasons = collections.Counter(c.reason for c in broken)
    return {"requested": len(connections),
            "opened": sum(bool(c.backend) for c in connections),
            "opening": states["opening"], "alive": states["alive"],
            "closed": states["closed"], "broken": len(broken),
            "connect_failed": reasons[CONNECT_FAILED],
            "reasons": {k: v for k, v in reasons.items() if v},
            "backends": {name: dict(backends[name])
                         for name in sorted(backends)},
            "examples": [c.describe() for c in broken[:10]]}


async def run(options: argparse.Namespace) -> None:
    fleet = Fleet()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    commands = await control.serve(options.control, {
        name: getattr(fleet, name) for name in (
            "open", "report", "verify", "connections", "close", "churn_start",
            "churn_report", "churn_stop")})
    print("ready", flush=True)
    await stopped.wait()
    commands.close()
    # Without this, ending the loop would say good-bye on every connection.
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--control", required=True, metavar="SOCKET")
    options = parser.parse_args()
    raise_file_limit()
    asyncio.run(run(options))


if __name__ == "__main__":
    main()
