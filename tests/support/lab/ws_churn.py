"""Short WebSocket connections at a steady rate: connect, one echo, close."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import time

from .ws_connection import ALIVE, Connection, Settings

MAX_OUTSTANDING = 1024


def percentiles_ms(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {"p50_ms": 0.0, "p99_ms": 0.0, "max_ms": 0.0}
    ordered = sorted(seconds)
    last = len(ordered) - 1
    return {"p50_ms": round(1000 * ordered[last // 2], 2),
            "p99_ms": round(1000 * ordered[last * 99 // 100], 2),
            "max_ms": round(1000 * ordered[-1], 2)}


class Churn:
    def __init__(self, settings: Settings, rate: float):
        self._settings = dataclasses.replace(settings, kind="silent")
        self._rate = rate
        self._attempts = self._ok = self._skipped = 0
        self._reasons: collections.Counter[str] = collections.Counter()
        self._backends: collections.Counter[str] = collections.Counter()
        self._seconds: list[float] = []
        self._failures: list[dict] = []
        self._outstanding: set[asyncio.Task] = set()
        self._pacer = asyncio.create_task(self._pace())

    async def stop(self) -> dict:
        """Starts nothing more and waits for what is under way."""
        self._pacer.cancel()
        if self._outstanding:
            await asyncio.wait(self._outstanding)
        return self.report()

    def report(self) -> dict:
        return {"attempts": self._attempts, "ok": self._ok,
                "failed": sum(self._reasons.values()),
                "skipped": self._skipped,
                "outstanding": len(self._outstanding),
                "reasons": dict(self._reasons),
                "backends": dict(self._backends),
                "examples": self._failures, **percentiles_ms(self._seconds)}

    async def _pace(self) -> None:
        # Due times come from the start, so a late wake-up is caught up.
        began = time.monotonic()
        due = 0
        while True:
            due += 1
            await asyncio.sleep(began + due / self._rate - time.monotonic())
            if len(self._outstanding) >= MAX_OUTSTANDING:
                self._skipped += 1
                continue
            task = asyncio.create_task(self._one())
            self._outstanding.add(task)
            task.add_done_callback(self._outstanding.discard)

    async def _one(self) -> None:
        self._attempts += 1
        connection = Connection(self._attempts, self._settings)
        began = time.monotonic()
        if await connection.open():
            await connection.echo()
        # A new connection counts for its backend even if its echo failed.
        if connection.backend:
            self._backends[connection.backend] += 1
        if connection.state == ALIVE:
            self._ok += 1
            self._seconds.append(time.monotonic() - began)
            await connection.close()
            return
        self._reasons[connection.reason] += 1
        if len(self._failures) < 10:
            self._failures.append(connection.describe())
