"""The test's handle on the WebSocket clients in the client namespace."""

from __future__ import annotations

import pathlib
import sys
from typing import Any

from . import control
from .errors import LabError
from .processes import Child, wait_until

SUPPORT = pathlib.Path(__file__).resolve().parents[1]

# For programs that are modules of this package.
MODULE_ENV = {"PYTHONPATH": str(SUPPORT), "PYTHONUNBUFFERED": "1"}


def module_command(module: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", f"lab.{module}", *map(str, arguments)]


def wait_for_socket(child: Child, path: pathlib.Path, timeout: float) -> None:
    def answering() -> bool:
        child.require_running()
        return control.answers(path)

    wait_until(answering, timeout=timeout, what=f"{child.name} on {path}")


class Fleet:
    """Every summary that comes back has: requested, opened, opening, alive,
    closed, broken, connect_failed, reasons {reason: count}, backends {name:
    {opened, alive, closed, broken}} and examples, the first ten broken ones.
    `which` narrows a call down by kind, group, backend or state.
    """

    def __init__(self, child: Child, path: pathlib.Path):
        self.child = child
        self._path = path

    def open(self, host: str, port: int, *, echo: int = 0, silent: int = 0,
             keepalive: int = 0, half_closed: int = 0,
             timeout: float = 120, **settings: Any) -> dict[str, Any]:
        """Opens connections and returns when each of them is open or failed.
        What the kinds do is said in ws_connection.py.

        `settings`: group, interval (mean seconds between echoes), payload
        (bytes), concurrency (connects at a time), connect_timeout,
        echo_timeout, path, local_port (of the first; then upwards).
        """
        kinds = {"echo": echo, "silent": silent, "keepalive": keepalive,
                 "half-closed": half_closed}
        return self._call("open", host=host, port=port, kinds=kinds,
                          call_timeout=timeout, **settings)

    def report(self, **which: Any) -> dict[str, Any]:
        return self._call("report", **which)

    def verify(self, *, within: float = 30.0, **which: Any) -> dict[str, Any]:
        """Every living connection, also a silent one, must echo now; those
        that do not are broken. The answer also has `verified`."""
        return self._call("verify", within=within, call_timeout=within + 30,
                          **which)

    def connections(self, limit: int = 100, **which: Any) -> list[dict]:
        """id, kind, group, state, backend, local, remote, reason, detail."""
        return self._call("connections", limit=limit, **which)["connections"]

    def close(self, *, count: int | None = None, **which: Any) -> int:
        """Closes them in good order; they are `closed`, not `broken`."""
        return self._call("close", count=count, **which)["closed"]

    def start_churn(self, host: str, port: int, *, rate: float,
                    name: str = "churn", **settings: Any) -> None:
        """`rate` short connections a second, until stop_churn."""
        self._call("churn_start", name=name, host=host, port=port, rate=rate,
                   **settings)

    def churn_report(self, name: str = "churn") -> dict[str, Any]:
        """attempts, ok, failed, skipped, reasons, backends {name: count},
        p50_ms, p99_ms, max_ms."""
        return self._call("churn_report", name=name)

    def stop_churn(self, name: str = "churn") -> dict[str, Any]:
        """Waits for the connections under way; the last churn_report."""
        return self._call("churn_stop", name=name)

    def stop(self) -> None:
        self.child.stop()

    def _call(self, command: str, call_timeout: float = 60,
              **arguments: Any) -> dict[str, Any]:
        try:
            return control.call(self._path, command, timeout=call_timeout,
                                **arguments)
        except LabError as error:
            raise LabError(f"{error}; log of the fleet:\n"
                           f"{self.child.log_tail(10)}") from error
