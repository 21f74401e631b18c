"""Who owns a lab, and what of it exists: the lock and the record.

/run/fairlead-lab/NAME.lock is held by flock for as long as the owner lives;
the kernel drops it with the process, so a lab whose lock can be taken has no
owner, whatever pid is written in it. /run/fairlead-lab/NAME/hosts.json lists
the hosts *before* their namespaces and pins are made: clean-up removes what is
listed there, and never guesses from names.
"""

from __future__ import annotations

import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import time

from . import netns
from .errors import LabError
from .processes import end_processes_in, wait_until

ROOT = pathlib.Path("/run/fairlead-lab")
PIN_ROOT = pathlib.Path("/sys/fs/bpf")


def check_name(name: str) -> str:
    """No dash in a lab's name: LAB-HOST must split in one way only."""
    if not re.fullmatch(r"[a-z][a-z0-9]{0,11}", name):
        raise LabError(f'lab name "{name}" is not 1 to 12 of a-z and 0-9, '
                       "beginning with a letter")
    return name


def lab_dir(name: str) -> pathlib.Path:
    return ROOT / name


def lab_names() -> list[str]:
    return sorted(path.name for path in ROOT.glob("*/") if path.is_dir())


class Lock:
    """The right to raise and remove the lab `name`."""

    def __init__(self, name: str):
        self.name = check_name(name)
        self._file = None

    @property
    def path(self) -> pathlib.Path:
        return ROOT / f"{self.name}.lock"

    def try_acquire(self) -> bool:
        ROOT.mkdir(mode=0o755, parents=True, exist_ok=True)
        # Not "w": the owner's record must survive an attempt that fails.
        file = open(self.path, "a+", encoding="ascii")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        file.truncate(0)
        json.dump({"pid": os.getpid(), "start": _start_time(os.getpid()),
                   "since": time.time()}, file)
        file.flush()
        self._file = file
        return True

    def acquire(self, timeout: float = 0.5) -> None:
        # A moment of patience: owner() holds the lock while it looks.
        deadline = time.monotonic() + timeout
        while not self.try_acquire():
            if time.monotonic() < deadline:
                time.sleep(0.02)
                continue
            owner = self.owner() or {}
            raise LabError(f'lab "{self.name}" is in use by process '
                           f"{owner.get('pid', '?')} (tools/lab down "
                           f"--name {self.name} ends it)")

    def release(self) -> None:
        """The file stays: removing it would let two owners lock two files."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def owner(self) -> dict | None:
        """The living owner's record, or None."""
        try:
            with open(self.path, encoding="ascii") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    return None
                except BlockingIOError:
                    return json.load(file)
        except (OSError, ValueError):
            return None


def _start_time(pid: int) -> int | None:
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])


def ask_owner_to_end(lock: Lock, timeout: float = 30) -> bool:
    """SIGTERM to the owner and wait for the lock. False: there is no owner."""
    owner = lock.owner()
    if owner is None:
        return False
    try:
        pidfd = os.pidfd_open(owner["pid"])
    except ProcessLookupError:
        return False
    try:
        # Equal start times: the pidfd is the owner's, not a later process's.
        if _start_time(owner["pid"]) != owner["start"]:
            return False
        signal.pidfd_send_signal(pidfd, signal.SIGTERM)
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)
    wait_until(lambda: lock.owner() is None, timeout=timeout,
               what=f'end of the owner of lab "{lock.name}"')
    return True


class Record:
    """The hosts of a lab on disk. Requires: the lab's lock."""

    def __init__(self, name: str):
        self.name = name
        self.directory = lab_dir(name)
        self._hosts: list[str] = []

    def add(self, host: str, netns_name: str) -> None:
        if netns.exists(netns_name):
            raise LabError(f"namespace {netns_name} already exists and is not "
                           "this lab's")
        self._hosts.append(host)
        temporary = self.directory / "hosts.json.new"
        temporary.write_text(json.dumps(self._hosts))
        temporary.rename(self.directory / "hosts.json")


def recorded_hosts(name: str) -> list[str]:
    try:
        return json.loads((lab_dir(name) / "hosts.json").read_text())
    except (OSError, ValueError):
        return []


SHORT_NAMES = {"client": "cl", "router": "rt"}


def netns_name(lab: str, host: str) -> str:
    return f"{lab}-{SHORT_NAMES.get(host, host)}"


def pin_path(lab: str, host: str) -> pathlib.Path:
    return PIN_ROOT / f"{lab}-{host}"


def remove_lab(name: str) -> bool:
    """Removes everything of a lab that is listed; True if there was one.
    Requires: the lab's lock; own children are already ended."""
    directory = lab_dir(name)
    if not directory.exists():
        return False
    hosts = recorded_hosts(name)
    for host in hosts:
        end_processes_in(netns_name(name, host))
    for host in hosts:
        shutil.rmtree(pin_path(name, host), ignore_errors=True)
        netns.remove(netns_name(name, host))
    shutil.rmtree(directory, ignore_errors=True)
    return True
