"""A client whose packets do not fit when encapsulated is told so, and its
upload goes through."""

import large_echo
from lab import LabOptions
from lab.processes import wait_until
from lab.testcase import LabTestCase, main

PORT = 8080


class PathMtuTest(LabTestCase):
    lab_name = "fltmtu"
    # Without advmss the client sends full segments.
    lab_options = LabOptions(lbs=1, backends=1, advmss=False)

    def test_a_large_upload_gets_through(self) -> None:
        lab = self.lab
        backend, lb = lab.backends[0], lab.lbs[0]
        backend.start_server(PORT)
        lab.start_fairlead()
        for name, vip in (("ws", lab.vip), ("ws6", f"[{lab.vip6}]")):
            lb.cli("service", "add", name, f"{vip}:{PORT}")
            lb.cli("backend", "add", name, backend.address, "--name", "b1")
            wait_until(lambda: lb.cli("backend", "show", name, "b1", json=True)[
                "backend"]["eligible"], timeout=30, what="b1 up")
            large_echo.exchange(lab.client, f"{vip}:{PORT}")
            self.assertGreater(
                lb.cli("service", "show", name, json=True)["service"][
                    "too_big"], 0)


if __name__ == "__main__":
    main()
