"""The BPF programs that the kernel holds."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from .bpf_maps import bpf
from .errors import LabError

_GET_NEXT_ID, _GET_FD_BY_ID, _OBJ_GET_INFO = 11, 13, 15
# struct bpf_prog_info as far as the last field that is wanted of it.
_INFO_SIZE = 220
_NAME, _VERIFIED = 64, 216


def verified_instructions(prefix: str = "fl_") -> dict[str, int]:
    """{name: instructions that the verifier looked at} of the programs that
    are loaded now; the larger number where a name is loaded twice."""
    found: dict[str, int] = {}
    number = 0
    while (number := _next_id(number)) is not None:
        name, verified = _facts(number)
        if name.startswith(prefix):
            found[name] = max(verified, found.get(name, 0))
    return found


def _next_id(number: int) -> int | None:
    words = (ctypes.c_uint64 * 2)(number)
    try:
        bpf(_GET_NEXT_ID, *words, answer=words)
    except LabError:
        if ctypes.get_errno() == errno.ENOENT:
            return None
        raise
    return words[0] >> 32


def _facts(number: int) -> tuple[str, int]:
    info = (ctypes.c_char * _INFO_SIZE)()
    descriptor = bpf(_GET_FD_BY_ID, number)
    try:
        bpf(_OBJ_GET_INFO, descriptor | _INFO_SIZE << 32,
            ctypes.addressof(info))
    finally:
        os.close(descriptor)
    name = info.raw[_NAME:_NAME + 16].partition(b"\0")[0].decode()
    return name, struct.unpack_from("=I", info.raw, _VERIFIED)[0]
