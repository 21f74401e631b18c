"""The lab's own XDP programs, compiled on demand."""

from __future__ import annotations

import pathlib
import shutil

from .errors import LabError
from .processes import run

_SOURCES = pathlib.Path(__file__).resolve().parent


def xdp_object(name: str, build: pathlib.Path,
               directory: pathlib.Path) -> pathlib.Path:
    """The object of `name`.bpf.c: from the build folder if that has one, else
    compiled into `directory`."""
    built = build / "bpf" / f"{name}.bpf.o"
    if built.exists():
        return built
    compiler = shutil.which("clang-14") or shutil.which("clang")
    if compiler is None:
        raise LabError("neither clang-14 nor clang is installed; tools/setup "
                       "installs it")
    target = directory / f"{name}.bpf.o"
    run([compiler, "-target", "bpf", "-g", "-O2", "-mcpu=v3", "-Wall",
         "-Werror", "-idirafter", "/usr/include/x86_64-linux-gnu", "-c",
         _SOURCES / f"{name}.bpf.c", "-o", target])
    return target
