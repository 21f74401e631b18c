"""Runs in a virtual machine: a small lab with all programs, and connections
through it. Prints one line of JSON: {program: verified instructions}.

    guest_lab.py XDP_PASS

The argument is the lab's own program, compiled outside."""

import json
import shutil
import sys

from lab import Lab, LabError, LabOptions, default_build, wait_until
from lab.bpf_programs import verified_instructions

PORT = 8080
CONNECTIONS = 10
CHECK = ("--check", "tcp", "--check-interval", "2s", "--check-timeout",
         "1900ms", "--rise", 1)


def connect(lab: Lab) -> None:
    """Connections through both VIPs, that go on while a backend drains and
    the flow is found by its hop list."""
    (lb,) = lab.lbs
    for backend in lab.backends:
        backend.start_server(PORT)
    lab.start_fairlead()
    services = {"ws": f"{lab.vip}:{PORT}", "ws6": f"[{lab.vip6}]:{PORT}"}
    for name, authority in services.items():
        lb.cli("service", "add", name, authority, *CHECK)
        for backend in lab.backends:
            lb.cli("backend", "add", name, backend.address, "--name",
                   backend.name)
    wait_until(lambda: all(
        lb.cli("service", "show", name, json=True)["service"]["available"]
        == len(lab.backends) for name in services),
        timeout=90, what="all backends available", interval=0.5)
    fleet = lab.client.start_fleet()
    for vip in (lab.vip, lab.vip6):
        fleet.open(vip, PORT, silent=CONNECTIONS, connect_timeout=30)
    for name in services:
        lb.cli("backend", "drain", name, lab.backends[0].name)
    report = fleet.verify(within=30)
    if report["verified"] != 2 * CONNECTIONS:
        raise LabError(f"not all connections live: {report}")


def main() -> None:
    # Where the lab looks first; what is written in the machine ends with it.
    shutil.copy(sys.argv[1], default_build() / "bpf")
    with Lab("fltguest", LabOptions(lbs=1, backends=2, flows=4096)) as lab:
        try:
            connect(lab)
            print(json.dumps(verified_instructions()))
        except LabError:
            print(lab.describe(), file=sys.stderr)
            raise


if __name__ == "__main__":
    main()
