"""A virtual machine with another kernel and the host's files.

    kernel = Kernel.named("6.1")
    with Machine(kernel, directory) as machine:
        machine.run(["uname", "-r"]).stdout

The machine sees the host's root file system under the same paths; what it
writes is lost with it, but for `directory`, which both share. There is no
hardware virtualization in it, so that it works the same everywhere: programs
run some ten times slower than on the host, so build on the host.

The machine dies with its owner, and keeps nothing that had to be cleaned up
but `directory`.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import lzma
import pathlib
import shutil
import socket
import struct
import subprocess
import threading
import time
import zlib
from collections.abc import Sequence
from typing import Any

from .errors import LabError
from .processes import Child, run

_HERE = pathlib.Path(__file__).resolve().parent
_REPOSITORY = _HERE.parents[2]
_KERNELS = _REPOSITORY / "build/kernels"
# To see the host's files, talk to the host, and have a network.
_MODULES = ("virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay",
            "virtio_net")
# Without the last ones the emulator translates every process anew, and checks
# at each access what only the host must be safe from.
_PARAMETERS = ("console=ttyS0 quiet panic=-1 nowatchdog mitigations=off "
               "nokaslr norandmaps tsc=reliable no_timer_check net.ifnames=0")
_CPU = "max,-la57,-smap,-smep,-umip,-pku,-pks"


# --- kernels ---

@dataclasses.dataclass(frozen=True)
class Kernel:
    series: str
    release: str
    image: pathlib.Path
    initial: pathlib.Path  # The initial file system.
    modules: pathlib.Path

    @staticmethod
    def named(series: str) -> Kernel:
        """One of those that tools/setup fetches, ready to boot."""
        _KERNELS.mkdir(parents=True, exist_ok=True)
        with open(_KERNELS / "lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            run([_REPOSITORY / "tools/setup", "--kernels", _KERNELS],
                timeout=900)
            return _prepare(series, _KERNELS / series)


def _prepare(series: str, folder: pathlib.Path) -> Kernel:
    try:
        (modules,) = folder.glob("lib/modules/*")
        (packed,) = folder.glob("boot/vmlinuz-*")
    except ValueError as error:
        raise LabError(f"{folder} is not the kernel {series} as tools/setup "
                       "leaves it; remove it and try again") from error
    kernel = Kernel(series, modules.name, folder / "vmlinux",
                    folder / "initial.cpio", modules)
    if not kernel.image.exists():
        _replace(kernel.image, _unpacked(packed.read_bytes()))
    source = _HERE / "vm_init.c"
    if (not kernel.initial.exists()
            or kernel.initial.stat().st_mtime < max(
                source.stat().st_mtime,
                pathlib.Path(__file__).stat().st_mtime)):
        _replace(kernel.initial, _initial_files(folder, kernel, source))
    return kernel


def _replace(path: pathlib.Path, content: bytes) -> None:
    new = path.with_name(path.name + ".new")
    new.write_bytes(content)
    new.rename(path)


def _unpacked(image: bytes) -> bytes:
    """The kernel in a compressed one (see the boot protocol in the kernel's
    documentation), so that the emulated processor need not unpack it: that
    takes it longer than all the rest of the boot."""
    setup_sectors = image[0x1f1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    begin = (setup_sectors + 1) * 512 + offset
    payload = image[begin:begin + length]
    if payload.startswith(b"\xfd7zXZ"):
        return lzma.LZMADecompressor().decompress(payload)
    if payload.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(wbits=31).decompress(payload)
    return image  # It boots as it is, only later.


def _initial_files(folder: pathlib.Path, kernel: Kernel,
                   source: pathlib.Path) -> bytes:
    init = folder / "init"
    run(["cc", "-static", "-O1", "-Wall", "-Werror", "-o", init, source])
    files: dict[str, bytes | None] = {
        "init": init.read_bytes(), "dev": None, "modules": None}
    order = []
    for name in _MODULES:
        shown = run(["modprobe", "-d", folder, "-S", kernel.release,
                     "--show-depends", name]).stdout
        for line in shown.splitlines():
            kind, _, path = line.strip().partition(" ")
            path = pathlib.Path(path.split()[0])
            if kind == "insmod" and f"/modules/{path.name}" not in order:
                order.append(f"/modules/{path.name}")
                files[f"modules/{path.name}"] = path.read_bytes()
    files["modules/order"] = "".join(f"{path}\n" for path in order).encode()
    return _archive(files)


def _archive(files: dict[str, bytes | None]) -> bytes:
    """In the "newc" form that the kernel reads; None is a folder."""
    archive = bytearray()
    for number, (name, content) in enumerate([*files.items(),
                                              ("TRAILER!!!", b"")], 1):
        data = content or b""
        mode = 0o040755 if content is None else 0o100755
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0,
                  len(name) + 1, 0)
        archive += b"070701" + b"".join(b"%08x" % field for field in fields)
        archive += name.encode() + b"\0"
        archive += bytes(-len(archive) % 4)
        archive += data
        archive += bytes(-len(archive) % 4)
    return bytes(archive)


# --- machines ---

@dataclasses.dataclass(frozen=True)
class MachineOptions:
    cpus: int = 2
    memory_mib: int = 1024
    boot_timeout: float = 240
    # The network card of the machine: a TAP device of the namespace.
    netns: str | None = None
    tap: str = ""
    mac: str = ""


class Machine:
    """A booted machine. Requires: the main thread, for the machine shall die
    with its owner; requests may come from any thread, and run in order."""

    def __init__(self, kernel: Kernel, directory: pathlib.Path,
                 options: MachineOptions | None = None):
        self.kernel = kernel
        self.directory = directory
        self._options = options or MachineOptions()
        # A Unix socket's path is short.
        self._socket_path = directory / "host.sock"
        self._socket = socket.socket(socket.AF_UNIX)
        self._stream: Any = None
        self._lock = threading.Lock()
        directory.mkdir(parents=True, exist_ok=True)
        self.console = directory / "console.log"
        self.child = Child(f"machine {kernel.series}", self._options.netns,
                           self._command(), directory / "qemu.log")

    def __enter__(self) -> Machine:
        try:
            self.wait_booted()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def wait_booted(self) -> None:
        deadline = time.monotonic() + self._options.boot_timeout
        while not self._connected():
            self._require_running(deadline)
            time.sleep(0.02)
        self._socket.settimeout(0.5)
        self._stream = self._socket.makefile("rb")
        greeting = b""
        while not greeting.endswith(b"\n"):
            try:
                greeting += self._socket.recv(4096)
            except TimeoutError:
                pass
            self._require_running(deadline)
        release = json.loads(greeting)["release"]
        if release != self.kernel.release:
            raise LabError(f"the machine runs {release}, not "
                           f"{self.kernel.release}")

    def end(self) -> None:
        """Nothing in it is worth a shutdown."""
        self.child.kill9()
        self._socket.close()

    def run(self, command: Sequence[object], *, check: bool = True,
            timeout: float = 60, stdin: str | None = None,
            env: dict[str, str] | None = None
            ) -> subprocess.CompletedProcess[str]:
        """Like processes.run, in the machine."""
        argv = [str(word) for word in command]
        answer = self.call("run", call_timeout=timeout + 20, argv=argv,
                           timeout=timeout, stdin=stdin, env=env)
        done = subprocess.CompletedProcess(argv, answer["code"],
                                           answer["stdout"], answer["stderr"])
        if check and done.returncode != 0:
            raise LabError(f"{' '.join(argv)}: exit {done.returncode}: "
                           f"{(done.stderr or done.stdout).strip()}")
        return done

    def call(self, command: str, call_timeout: float = 180,
             **arguments: Any) -> dict[str, Any]:
        """A request of vm_guest.py, and its answer."""
        request = json.dumps({"command": command, **arguments}) + "\n"
        with self._lock:
            self._socket.settimeout(call_timeout)
            try:
                self._socket.sendall(request.encode())
                line = self._stream.readline()
            except OSError as error:
                raise LabError(f"{self.child.name}: {command}: {error}; its "
                               f"console:\n{self.console_tail()}") from error
        if not line:
            raise LabError(f"{self.child.name} ended during {command}; its "
                           f"console:\n{self.console_tail()}")
        answer = json.loads(line)
        if "error" in answer:
            raise LabError(f"{self.child.name}: {command}: {answer['error']}")
        return answer

    def console_tail(self, lines: int = 25) -> str:
        try:
            text = self.console.read_text(errors="replace")
        except OSError as error:
            return f"({error})"
        return "\n".join(text.splitlines()[-lines:])

    def _connected(self) -> bool:
        try:
            self._socket.connect(str(self._socket_path))
        except OSError:
            return False
        return True

    def _require_running(self, deadline: float) -> None:
        if self.child.running() and time.monotonic() < deadline:
            return
        why = (f"has not booted within {self._options.boot_timeout:g} s"
               if self.child.running()
               else f"ended with {self.child.exit_code()}")
        raise LabError(f"{self.child.name} {why}; its console:\n"
                       f"{self.console_tail()}\n{self.child.log_tail()}")

    def _command(self) -> list[str]:
        emulator = shutil.which("qemu-system-x86_64")
        if emulator is None:
            raise LabError("qemu-system-x86_64 is not installed; tools/setup "
                           "installs it")
        options, kernel = self._options, self.kernel
        guest = (f"/usr/bin/python3 {_HERE / 'vm_guest.py'} {kernel.modules} "
                 f"{self.directory}")
        command = [
            emulator, "-nodefaults", "-no-user-config", "-no-reboot",
            "-display", "none", "-machine", "q35,i8042=off,usb=off,vmport=off",
            "-accel", "tcg,thread=multi,tb-size=256", "-cpu", _CPU,
            "-smp", str(options.cpus), "-m", str(options.memory_mib),
            "-kernel", str(kernel.image), "-initrd", str(kernel.initial),
            "-append", f"{_PARAMETERS} -- {guest}",
            "-serial", f"file:{self.console}",
            "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=host,path={self._socket_path},server=on,"
            "wait=off",
            "-device", "virtserialport,chardev=host,name=host"]
        for tag, path, how in (("root", "/", ",readonly=on"),
                               ("share", self.directory, "")):
            command += [
                "-fsdev", f"local,id={tag},path={path},"
                f"security_model=passthrough,multidevs=remap{how}",
                "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
        if options.tap:
            # What the other end of a veth pair does not do either: XDP meets
            # whole packets with whole checksums.
            command += [
                "-netdev", f"tap,id=net,ifname={options.tap},script=no,"
                "downscript=no",
                "-device", f"virtio-net-pci,netdev=net,mac={options.mac},"
                "csum=off,guest_csum=off,gso=off,guest_tso4=off,"
                "guest_tso6=off,guest_ecn=off,guest_ufo=off,host_tso4=off,"
                "host_tso6=off,host_ecn=off,host_ufo=off"]
        return command


class MachineChild(Child):
    """A long-running program in a machine, with a Child's operations."""

    # The processes that Child knows are the host's own.
    def __init__(self, machine: Machine,  # pylint: disable=super-init-not-called
                 name: str, command: Sequence[object], log: pathlib.Path,
                 env: dict[str, str] | None = None):
        self.name = name
        self.command = [str(word) for word in command]
        self.log = log
        answer = machine.call("start", argv=self.command, log=str(log),
                              env=env or {})
        self._process = _Process(machine, answer["pid"])


class _Process:
    """As much of subprocess.Popen as Child asks for."""

    def __init__(self, machine: Machine, pid: int):
        self._machine, self.pid = machine, pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            if not self._machine.child.running():
                self.returncode = -9
            else:
                self.returncode = self._machine.call("poll",
                                                     pid=self.pid)["code"]
        return self.returncode

    def wait(self, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"pid {self.pid}", timeout)
            time.sleep(0.05)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            self._machine.call("signal", pid=self.pid, number=number)
