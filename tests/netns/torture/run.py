"""Runs the cases, one after the other in one lab, and sums up."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable

from lab import Lab, LabError
from lab.progress import during, say

from . import (case_backends, case_cookies, case_flood, case_hosts,
               case_sockets, case_tier, case_tunnel, case_upheaval)
from .arms import OPTIONS, Arms, CaseFailed

LAB = "flttort"
Case = Callable[[Arms], None]


def cases() -> list[tuple[str, Case]]:
    """("1", case_1), ... in their order."""
    found = [(name.removeprefix("case_"), case)
             for module in (case_backends, case_cookies, case_flood,
                            case_hosts, case_sockets, case_tier, case_tunnel,
                            case_upheaval)
             for name, case in vars(module).items()
             if re.fullmatch(r"case_\d+\w*", name)]
    return sorted(found, key=lambda one: int(re.match(r"\d+", one[0])[0]))


def _title(case: Case) -> str:
    return " ".join(case.__doc__.split())


class Torture:
    def __init__(self) -> None:
        self._lab: Lab | None = None
        self._arms: Arms | None = None
        self.connections = 0

    def arms(self) -> Arms:
        """A new lab after a case that failed: it proves nothing more."""
        if self._lab is None:
            self._lab = Lab(LAB, OPTIONS)
            during("raising the lab", self._lab.up)
            self._arms = Arms(self._lab)
            self._arms.start()
        return self._arms

    def run(self, number: str, case: Case) -> bool:
        say(f"\n== {number}. {_title(case)}")
        begun = time.monotonic()
        arms = self.arms()
        try:
            arms.prepare()
            case(arms)
            arms.finish()
        except Exception as error:
            say(f"  FAILED: {error}")
            if not isinstance(error, CaseFailed):
                print(self._lab.describe(), file=sys.stderr, flush=True)
            self.down()
            return False
        say(f"  passed in {time.monotonic() - begun:.0f} s")
        return True

    def down(self) -> None:
        if self._lab is not None:
            self._lab.down()
            self._lab = None
            self.connections += self._arms.opened if self._arms else 0
            self._arms = None


def run(names: list[str]) -> int:
    """Those cases, or all of them if none is named; 0 if all pass."""
    known = dict(cases())
    if unknown := [name for name in names if name not in known]:
        say(f"torture: no case {', '.join(unknown)} (have: "
            f"{', '.join(known)})")
        return 2
    begun = time.monotonic()
    torture = Torture()
    try:
        results = {name: torture.run(name, known[name])
                   for name in names or known}
    except LabError as error:  # No case will do better.
        say(f"  FAILED to begin: {error}")
        return 1
    finally:
        torture.down()
    say("\n== Summary")
    for name, passed in results.items():
        say(f"  {'passed' if passed else 'FAILED':8}{name:>3}. "
            f"{_title(known[name])}")
    say(f"  {torture.connections} connections in both arms, "
        f"{time.monotonic() - begun:.0f} s")
    return 0 if all(results.values()) else 1
