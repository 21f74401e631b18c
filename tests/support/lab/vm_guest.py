"""What runs in a virtual machine of the tests, as its first process: does what
the host asks for on a serial port, one line of JSON for each request and each
answer. The other end is vm.py.

    vm_guest.py MODULES SHARE

MODULES is the folder of the kernel's modules, SHARE the folder that host and
machine both write, under the same path; both as the host names them.
"""

from __future__ import annotations

import ctypes
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys
import time
from typing import Any

SUPPORT = pathlib.Path(__file__).resolve().parents[1]
_PORTS = pathlib.Path("/sys/class/virtio-ports")
_MS_BIND = 4096
_SO_TIMESTAMP = 29  # The module socket has no name for it.
_libc = ctypes.CDLL(None, use_errno=True)
_children: dict[int, subprocess.Popen] = {}


def mount(what: str, where: pathlib.Path, kind: str, flags: int = 0,
          options: str = "") -> None:
    where.mkdir(parents=True, exist_ok=True)
    if _libc.mount(what.encode(), bytes(where), kind.encode(), flags,
                   options.encode()) != 0:
        raise OSError(ctypes.get_errno(),
                      f"mount {what}: {os.strerror(ctypes.get_errno())}")


# --- what the host may ask for ---

def run(argv: list[str], timeout: float, stdin: str | None = None,
        env: dict[str, str] | None = None) -> dict[str, Any]:
    """A command, to its end."""
    done = subprocess.run(
        argv, text=True, capture_output=True, timeout=timeout, input=stdin,
        errors="replace", env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL if stdin is None else None)
    return {"code": done.returncode, "stdout": done.stdout,
            "stderr": done.stderr}


def start(argv: list[str], log: str, env: dict[str, str]) -> dict[str, Any]:
    """A long-running program; its output is appended to a shared file."""
    with open(log, "ab") as output:
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True, env={**os.environ, **env})
    _children[child.pid] = child
    return {"pid": child.pid}


def poll(pid: int) -> dict[str, Any]:
    return {"code": _children[pid].poll()}


def send_signal(pid: int, number: int) -> dict[str, Any]:
    _children[pid].send_signal(number)
    return {}


def backend(netns: str, link: dict[str, Any], advmss: bool) -> dict[str, Any]:
    """Makes the machine's network card `eth0` of a namespace that is like
    that of any other backend."""
    from lab import addressing
    from lab import netns as namespaces
    wire = addressing.Link(**link)
    namespaces.create(netns)
    namespaces.prepare(netns)
    subprocess.run(["ip", "link", "set", "eth0", "netns", netns], check=True)
    namespaces.assign(netns, "eth0", wire.address, wire.address6, wire)
    namespaces.add_vips(netns)
    namespaces.default_routes(netns, wire, advmss=advmss)
    return {}


def verdicts(pins: str, which: str) -> dict[str, Any]:
    from lab import bpf_maps
    return bpf_maps.verdicts(pathlib.Path(pins), which)


def control(path: str, request: str,
            arguments: dict[str, Any]) -> dict[str, Any]:
    """Hands a request on to a program in here, see control.py."""
    from lab import control as programs
    return programs.call(pathlib.Path(path), request, **arguments)


COMMANDS = {"run": run, "start": start, "poll": poll, "signal": send_signal,
            "backend": backend, "verdicts": verdicts, "control": control}


# --- the line to the host ---

def open_port() -> int:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for port in _PORTS.glob("*"):
            if (port / "name").read_text().strip() == "host":
                return os.open(f"/dev/{port.name}", os.O_RDWR)
        time.sleep(0.02)
    raise OSError("there is no serial port to the host")


def answer(line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line)
        return COMMANDS[request.pop("command")](**request)
    except Exception as error:  # Whatever it is, the host shall see it.
        return {"error": f"{type(error).__name__}: {error}"}


def send(port: int, message: dict[str, Any]) -> None:
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(port, data):]


def serve(port: int) -> None:
    poller = select.poll()
    poller.register(port, select.POLLIN)
    pending = b""
    while True:
        for _, events in poller.poll():
            if not events & select.POLLIN:
                time.sleep(0.05)  # Nobody has opened the other end yet.
                continue
            pending += os.read(port, 65536)
            while b"\n" in pending:
                line, _, pending = pending.partition(b"\n")
                send(port, answer(line))


def ask_for_timestamps() -> socket.socket:
    """While it is open, no ping is the first socket that asks for timestamps of
    packets, nor the last: then the kernel rewrites its way of packets while
    they pass, and an emulated processor has met half of a jump there."""
    asks = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asks.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMP, 1)
    return asks


def main() -> None:
    modules, share = map(pathlib.Path, sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.path.insert(0, str(SUPPORT))
    mount(str(modules), pathlib.Path("/lib/modules", os.uname().release), "",
          _MS_BIND)
    mount("share", share, "9p", 0, "trans=virtio,version=9p2000.L,"
          "msize=524288,cache=none")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        pathlib.Path("/dev", name).symlink_to(f"/proc/self/fd/{number}")
    pathlib.Path("/dev/fd").symlink_to("/proc/self/fd")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with ask_for_timestamps():
        port = open_port()
        send(port, {"release": os.uname().release})
        serve(port)


if __name__ == "__main__":
    main()
