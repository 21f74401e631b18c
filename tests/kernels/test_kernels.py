"""The shipped programs on Debian's kernels, in virtual machines.

    test_kernels.py [--record] [SERIES...], such as test_kernels.py 6.1

Boots each kernel, runs a lab in it with connections through an LB host, to
agents and to the kernel's own tunnels, without VLANs and in them
(guest_lab.py), then the packet suite's executables, and compares how many
instructions the verifier had to look at with what verified_instructions.json
has for that kernel: at a million it refuses a program. --record writes that
file anew.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import re
import signal
import sys
import tempfile
import time
import unittest

from lab import LabError, default_build, programs
from lab.testcase import skip
from lab.vm import Kernel, Machine

HERE = pathlib.Path(__file__).resolve().parent
SUPPORT = HERE.parent / "support"
RECORD = HERE / "verified_instructions.json"
SERIES = ("6.1", "6.12")
GROWTH = 1.10  # A kernel's update may move the numbers a little.
PASSED = re.compile(r"^All tests passed \((\d+) assertions? in (\d+) test "
                    r"cases?\)$", re.MULTILINE)


class Failed(Exception):
    """The suite fails; the message says why."""


def executables(build: pathlib.Path) -> list[pathlib.Path]:
    found = [path for path in sorted((build / "tests/packet").iterdir())
             if path.is_file() and os.access(path, os.X_OK)]
    if not found:
        raise Failed(f"{build} has no packet tests; build it")
    return found


def run_packet_tests(machine: Machine, build: pathlib.Path) -> int:
    """How many test cases passed, which are all."""
    total = 0
    for path in executables(build):
        begun = time.monotonic()
        done = machine.run([path], check=False, timeout=1200,
                           env={"FL_TEST_NO_SKIP": "1"})
        passed = PASSED.search(done.stdout)
        if done.returncode != 0 or not passed:
            raise Failed(f"{path.name} exits with {done.returncode}:\n"
                         f"{done.stdout}{done.stderr}")
        total += int(passed[2])
        print(f"{machine.kernel.series}: {path.name}: {passed[2]} test cases "
              f"passed in {time.monotonic() - begun:.0f} s", flush=True)
    return total


def run_lab(machine: Machine, build: pathlib.Path) -> dict[str, int]:
    begun = time.monotonic()
    # A compiler takes minutes in there.
    program = programs.xdp_object("xdp_pass", build, machine.directory)
    # Its own interpreter's: another python3 in PATH may lack what it imports.
    done = machine.run(["/usr/bin/python3", HERE / "guest_lab.py", program],
                       check=False, timeout=600,
                       env={"FL_BUILD": str(build), "FL_LAB_PATIENCE": "6",
                            "PYTHONPATH": f"{SUPPORT}:{HERE.parent / 'netns'}"})
    if done.returncode != 0:
        raise Failed(f"the lab in the machine fails:\n{done.stdout}"
                     f"{done.stderr}")
    print(f"{machine.kernel.series}: connections through the lab live, "
          f"{time.monotonic() - begun:.0f} s", flush=True)
    return json.loads(done.stdout)


def recorded() -> dict[str, dict[str, int]]:
    return json.loads(RECORD.read_text()) if RECORD.exists() else {}


def complaints(series: str, verified: dict[str, int],
               record: dict[str, int]) -> list[str]:
    """What is not as recorded, and nobody has noticed."""
    found = [f"{name}: {count} instructions, not recorded"
             for name, count in sorted(verified.items()) if name not in record]
    found += [f"{name} is recorded, but was not loaded"
              for name in sorted(record) if name not in verified]
    found += [f"{name}: {verified[name]} instructions, recorded are {count}"
              for name, count in sorted(record.items())
              if verified.get(name, 0) > GROWTH * count]
    return [f"{series}: {text}" for text in found]


def check_instructions(series: str, verified: dict[str, int],
                       record: bool) -> None:
    print(f"{series}: verified instructions: "
          + ", ".join(f"{name} {count}"
                      for name, count in sorted(verified.items())), flush=True)
    if record:
        text = json.dumps(recorded() | {series: verified}, indent=2,
                          sort_keys=True)
        RECORD.write_text(text + "\n")
    elif found := complaints(series, verified, recorded().get(series, {})):
        raise Failed("\n".join(found) + "\nif that must be so, record it: "
                     f"sudo FL_BUILD={default_build()} PYTHONPATH={SUPPORT} "
                     f"/usr/bin/python3 {__file__} --record {series}")


def test(series: str, record: bool) -> None:
    begun = time.monotonic()
    build = default_build()
    with tempfile.TemporaryDirectory(prefix="fl-kernels-") as directory, \
            Machine(Kernel.named(series), pathlib.Path(directory)) as machine:
        print(f"{series}: {machine.kernel.release} booted in "
              f"{time.monotonic() - begun:.0f} s", flush=True)
        check_instructions(series, run_lab(machine, build), record)
        passed = run_packet_tests(machine, build)
    print(f"{series}: {passed} test cases passed on {machine.kernel.release} "
          f"in {time.monotonic() - begun:.0f} s", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("series", nargs="*", metavar="SERIES")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        try:
            skip("the machine's files need root")
        except unittest.SkipTest:
            return 0
    # An end from outside passes by the clean-up, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for series in arguments.series or SERIES:
        try:
            test(series, arguments.record)
        except (Failed, LabError) as error:
            print(f"{series}: FAILED: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
