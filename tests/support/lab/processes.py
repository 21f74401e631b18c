"""Running commands inside network namespaces, and ending them again.

Children are started by `setpriv --pdeathsig KILL nsenter --net=... CMD`. Both
wrappers exec, so the child's pid is the program's own pid and a signal reaches
it directly. The death signal ends the children when the owner is killed -9. It
belongs to the thread that forked: one that lives as long as the owner.
`ip netns exec` is not used: it hides /sys/fs/bpf.

Pids wrap quickly (pid_max is 32768), so a signal is sent only to an unreaped
child of ours, whose pid cannot be reused, or through a pidfd whose namespace
was checked after it was opened.
"""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import queue
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from .errors import LabError

NETNS_DIR = pathlib.Path("/run/netns")
# How many times longer than on real hardware everything may take.
_PATIENCE = float(os.environ.get("FL_LAB_PATIENCE", "1"))


def in_netns(netns: str, command: Sequence[str]) -> list[str]:
    """`command` as an argument vector that runs in the namespace `netns`."""
    return ["nsenter", f"--net={NETNS_DIR / netns}", "--", *map(str, command)]


def run(command: Sequence[str], *, check: bool = True, timeout: float = 60,
        stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end; with `check`, a failure is a LabError that
    quotes what the command printed."""
    command = [str(word) for word in command]
    try:
        done = subprocess.run(
            command, text=True, capture_output=True, timeout=timeout,
            input=stdin, stdin=subprocess.DEVNULL if stdin is None else None,
            start_new_session=True)
    except subprocess.TimeoutExpired as error:
        raise LabError(
            f"{' '.join(command)}: no end within {timeout:g} s") from error
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(command)}: exit {done.returncode}: "
                       f"{(done.stderr or done.stdout).strip()}")
    return done


def wait_until(condition: Callable[[], bool], *, timeout: float, what: str,
               interval: float = 0.02) -> None:
    """Polls `condition`; a LabError naming `what` when the time is over."""
    timeout *= _PATIENCE
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not within {timeout:g} s")
        time.sleep(interval)


class _Forker:
    """A thread that forks for all others, and never ends."""

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def popen(self, vector: Sequence[str], **options: Any
              ) -> subprocess.Popen:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
        made: concurrent.futures.Future = concurrent.futures.Future()
        self._asked.put((made, vector, options))
        return made.result()

    def _run(self) -> None:
        while True:
            made, vector, options = self._asked.get()
            try:
                made.set_result(subprocess.Popen(vector, **options))
            except Exception as error:  # The caller's to handle.
                made.set_exception(error)


_forker = _Forker()


class Child:
    """A long-running program; its output goes to a log file."""

    def __init__(self, name: str, netns: str | None, command: Sequence[str],
                 log: pathlib.Path, *, outlive_owner: bool = False,
                 env: dict[str, str] | None = None):
        """Without `netns` it stays in the caller's network."""
        self.name = name
        self.command = [str(word) for word in command]
        self.log = log
        vector = in_netns(netns, self.command) if netns else self.command
        if not outlive_owner:
            vector = ["setpriv", "--pdeathsig", "KILL", "--", *vector]
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "ab") as output:
            output.write(f"--- {' '.join(self.command)}\n".encode())
            output.flush()
            self._process = _forker.popen(
                vector, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True, env={**os.environ, **(env or {})})

    @property
    def pid(self) -> int:
        return self._process.pid

    def running(self) -> bool:
        return self._process.poll() is None

    def exit_code(self) -> int | None:
        """None while it runs; -N when signal N ended it."""
        return self._process.poll()

    def wait(self, timeout: float = 10) -> int:
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise LabError(f"{self.name} (pid {self.pid}) still runs after "
                           f"{timeout:g} s") from error

    def signal(self, number: int) -> None:
        """Does nothing when the program has already ended."""
        self._process.send_signal(number)

    def kill9(self) -> None:
        self.signal(signal.SIGKILL)
        self.wait()

    def stop(self, timeout: float = 10) -> int:
        """SIGTERM, then SIGKILL when `timeout` is over. Returns exit_code()."""
        self.signal(signal.SIGTERM)
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill9()
            return self._process.returncode

    def log_tail(self, lines: int = 40) -> str:
        try:
            text = self.log.read_text(errors="replace")
        except OSError as error:
            return f"({error})"
        return "\n".join(text.splitlines()[-lines:])

    def require_running(self) -> None:
        if not self.running():
            raise LabError(f"{self.name} ended with {self.exit_code()}; "
                           f"its log:\n{self.log_tail()}")


def stop_all(children: Sequence[Child], timeout: float = 3) -> None:
    """Ends all of them at once, so that the slowest sets the time."""
    for child in children:
        child.signal(signal.SIGTERM)
    deadline = time.monotonic() + timeout
    for child in children:
        try:
            child.wait(max(0.0, deadline - time.monotonic()))
        except LabError:
            child.kill9()


def _netns_identity(path: str | pathlib.Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _own_ancestry() -> set[int]:
    pids, pid = set(), os.getpid()
    while pid > 0:
        pids.add(pid)
        try:
            stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            break
        pid = int(stat.rpartition(")")[2].split()[1])
    return pids


def processes_in(netns: str) -> list[int]:
    """Pids of all processes in the namespace, without this process and its
    ancestors (somebody may call `lab down` from a shell inside the lab)."""
    identity = _netns_identity(NETNS_DIR / netns)
    if identity is None:
        return []
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in sorted(set(pids) - _own_ancestry())
            if _netns_identity(f"/proc/{pid}/ns/net") == identity]


def end_processes_in(netns: str, timeout: float = 5) -> list[int]:
    """Kills what runs in the namespace and waits for its end. Returns pids."""
    identity = _netns_identity(NETNS_DIR / netns)
    ended = []
    for pid in processes_in(netns):
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            continue
        try:
            # The pid may have been reused since it was listed; the pidfd
            # cannot change its process, so check what it points at now.
            if _netns_identity(f"/proc/{pid}/ns/net") == identity:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                select.select([pidfd], [], [], timeout)
                ended.append(pid)
        except ProcessLookupError:
            pass
        finally:
            os.close(pidfd)
    return ended
