"""Base class of the unittest cases that need a lab.

    class DrainTest(LabTestCase):
        lab_name = "fltdrain"
        lab_options = LabOptions(lbs=2)

The lab lives for all tests of the class. A failing test prints the state of the
lab: addresses, routes, counters, programs and their logs.
"""

from __future__ import annotations

import os
import sys
import unittest

from .hosts import LbHost
from .lab import Lab, LabOptions

PORT = 8080  # of the backends' servers, where a case has no other


def skip(why: str) -> None:
    """A skip that ctest sees; a failure where FL_TEST_NO_SKIP=1."""
    if os.environ.get("FL_TEST_NO_SKIP") == "1":
        raise AssertionError(f"must not be skipped: {why}")
    print(f"SKIPPED: {why}", flush=True)
    raise unittest.SkipTest(why)


class LabTestCase(unittest.TestCase):
    lab_name = ""
    lab_options = LabOptions()
    lab: Lab

    @classmethod
    def setUpClass(cls) -> None:
        if os.geteuid() != 0:
            skip("network namespaces need root")
        cls.lab = Lab(cls.lab_name, cls.lab_options)
        cls.lab.up()
        cls.addClassCleanup(cls.lab.down)

    def run(self, result: unittest.TestResult | None = None):
        before = len(result.failures) + len(result.errors) if result else 0
        outcome = super().run(result)
        if result and len(result.failures) + len(result.errors) > before:
            print(f"##### {self.id()} failed", file=sys.stderr)
            print(self.lab.describe(), file=sys.stderr, flush=True)
        return outcome


class OneLbTestCase(LabTestCase):
    """A lab whose servers, agents and one daemon run, as `lb`."""

    lab_options = LabOptions(lbs=1, backends=2)
    lb: LbHost

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.lab.start_servers(PORT)
        cls.lab.start_fairlead()
        cls.lb = cls.lab.lbs[0]


def main() -> None:
    unittest.main(verbosity=2)
