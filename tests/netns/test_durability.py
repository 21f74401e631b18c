"""kill -9 at random instants: what was acknowledged is there after a restart,
what was not is whole or absent."""

import os
import random
import threading
import time

from lab import LabOptions
from lab.testcase import LabTestCase, main

ROUNDS = 12


class DurabilityTest(LabTestCase):
    lab_name = "fltdur"
    lab_options = LabOptions(lbs=1, backends=1)

    def test_an_acknowledged_change_survives_a_kill(self) -> None:
        seed = int(os.environ.get("FL_SEED", time.time_ns()))
        print(f"FL_SEED={seed}", flush=True)
        rng = random.Random(seed)
        lb = self.lab.lbs[0]
        lb.start_daemon()
        lb.cli("service", "add", "ws", f"{self.lab.vip}:443", "--check",
               "none")
        acknowledged: dict[str, int] = {}  # name -> weight
        unsure: dict[str, int] = {}
        number = 0
        for _ in range(ROUNDS):
            killer = threading.Timer(rng.uniform(0.0, 0.15), lb.kill9_daemon)
            killer.start()
            while lb.daemon.running():
                number += 1
                name, weight = f"w{number}", rng.randint(1, 256)
                done = lb.cli(
                    "backend", "add", "ws", f"192.0.2.{number % 250 + 1}"
                    if number < 250 else f"2001:db8::{number:x}",
                    "--name", name, "--weight", weight, check=False)
                (acknowledged if done.returncode == 0 else unsure)[
                    name] = weight
            killer.join()
            lb.start_daemon()
            found = {b["name"]: b["weight"] for b in lb.cli(
                "service", "show", "ws", json=True)["service"]["backends"]}
            for name, weight in acknowledged.items():
                self.assertEqual(found.get(name), weight, name)
            for name, weight in found.items():
                self.assertIn(name, acknowledged | unsure)
                self.assertEqual((acknowledged | unsure)[name], weight)
            acknowledged |= {name: unsure[name] for name in found
                             if name in unsure}
            events = lb.cli("events", json=True)
            self.assertTrue(events)
            # Below the service's limit of backends.
            for name in list(acknowledged)[:-40]:
                lb.cli("backend", "delete", "ws", name, "--force")
                del acknowledged[name]
        self.assertGreater(number, ROUNDS)


if __name__ == "__main__":
    main()
