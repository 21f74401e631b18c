"""Pinned BPF maps, read and written without the programs under test."""

from __future__ import annotations

import array
import ctypes
import mmap
import os
import pathlib
import re

from .errors import LabError

_SYS_BPF = 321  # x86-64
_LOOKUP_ELEM, _OBJ_GET = 1, 7
_libc = ctypes.CDLL(None, use_errno=True)
_CPUS = pathlib.Path("/sys/devices/system/cpu/possible")
_VERDICTS = (pathlib.Path(__file__).resolve().parents[3]
             / "include/fairlead/abi/verdict.h")


class _Attr(ctypes.Structure):
    """What the two commands need of union bpf_attr."""
    _fields_ = [("words", ctypes.c_uint64 * 16)]


def bpf(command: int, *words: int,
        answer: ctypes.Array[ctypes.c_uint64] | None = None) -> int:
    """The system call; `words` are the union, and `answer` is what the kernel
    makes of its beginning."""
    attr = _Attr((ctypes.c_uint64 * 16)(*words))
    result = _libc.syscall(_SYS_BPF, command, ctypes.byref(attr),
                           ctypes.sizeof(attr))
    if answer is not None:
        answer[:] = attr.words[:len(answer)]
    if result < 0:
        number = ctypes.get_errno()
        raise LabError(f"bpf command {command}: {os.strerror(number)}")
    return result


class PinnedMap:
    """An array map found by its name below a host's pin path."""

    def __init__(self, pins: pathlib.Path, name: str):
        found = sorted(pins.glob(f"*/{name}"))
        if len(found) != 1:
            raise LabError(f"{pins}: {len(found)} maps are called {name}")
        path = ctypes.create_string_buffer(os.fsencode(found[0]))
        self._fd = bpf(_OBJ_GET, ctypes.addressof(path))
        info = pathlib.Path(f"/proc/self/fdinfo/{self._fd}").read_text()
        facts = dict(re.findall(r"(\w+):\s+(\d+)", info))
        self.value_size = int(facts["value_size"])
        self.max_entries = int(facts["max_entries"])

    def __enter__(self) -> PinnedMap:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def per_cpu_sums(self) -> list[int]:
        """Of a per-CPU array of u64."""
        cpus = int(_CPUS.read_text().strip().rpartition("-")[2]) + 1
        values = (ctypes.c_uint64 * cpus)()
        sums = []
        for index in range(self.max_entries):
            key = ctypes.c_uint32(index)
            bpf(_LOOKUP_ELEM, self._fd, ctypes.addressof(key),
                 ctypes.addressof(values), 0)
            sums.append(sum(values))
        return sums

    def memory(self) -> mmap.mmap:
        """Of a map with BPF_F_MMAPABLE; changes are seen at once."""
        return mmap.mmap(self._fd, self.value_size * self.max_entries)


def verdicts(pins: pathlib.Path, which: str) -> dict[str, int]:
    """{name: packets} of the program below `pins`; `which`: LB or AGENT."""
    text = _VERDICTS.read_text().partition(f"#define FL_{which}_VERDICTS")[2]
    text = re.split(r"\n(?=[^\t])", text)[0]
    names = re.findall(r"\bX\((\w+), \w+,", text)
    name = "fl_verdicts" if which == "LB" else "fl_averdicts"
    with PinnedMap(pins, name) as table:
        return dict(zip(names, table.per_cpu_sums()))


def flows(pins: pathlib.Path) -> dict[int, int]:
    """{tag: backend id} of all recorded flows; see fairlead/abi/flow_slot.h."""
    with PinnedMap(pins, "fl_flows") as table, table.memory() as memory:
        words = array.array("Q", memory[:])[::2]
    return {word & TAG_MASK: word & 0xffff for word in words if word >> 16 & 7}


def flow_tags(pins: pathlib.Path) -> set[int]:
    return set(flows(pins))


TAG_MASK = (1 << 64) - (1 << 19)


def wipe_flows(pins: pathlib.Path) -> int:
    """Frees every slot; how many were taken."""
    with PinnedMap(pins, "fl_flows") as table, table.memory() as memory:
        words = array.array("Q", memory[:])[::2]
        memory[:] = bytes(len(memory))
    return sum(bool(word >> 16 & 7) for word in words)
