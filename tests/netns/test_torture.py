"""The torture test: `test_torture.py [CASE...]`, such as `test_torture.py 1 4`.
See torture/__init__.py."""

import os
import sys
import unittest

from lab.testcase import skip
from torture.run import run

if __name__ == "__main__":
    if os.geteuid() != 0:
        try:
            skip("network namespaces need root")
        except unittest.SkipTest:
            sys.exit(0)
    sys.exit(run(sys.argv[1:]))
