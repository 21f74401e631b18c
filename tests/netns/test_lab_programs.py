"""How the lab configures, starts, kills and restarts the programs under test.

The programs are stand-ins that only listen where they are told to, so that a
failure here is the lab's own.
"""

import json
import pathlib
import stat
import tempfile
import tomllib

from lab import LabError, LabOptions
from lab.testcase import LabTestCase, main

DAEMON = """#!/usr/bin/python3
import os, socket, sys, tomllib
node = tomllib.load(open(sys.argv[2], "rb"))["node"]
if node["id"] == 2:
    sys.exit("fairleadd: no luck today")
if os.path.exists(node["socket"]):
    os.unlink(node["socket"])
listener = socket.socket(socket.AF_UNIX)
listener.bind(node["socket"])
listener.listen()
while True:
    listener.accept()[0].close()
"""

CLI = """#!/usr/bin/python3
import json, sys
if "nonsense" in sys.argv:
    sys.exit("fairlead: no such noun")
print(json.dumps(sys.argv[1:]))
"""

AGENT = """#!/usr/bin/python3
import socket, sys, tomllib
agent = tomllib.load(open(sys.argv[3], "rb"))["agent"]
if sys.argv[1] == "check":
    sys.exit("rp_filter is wrong")
listeners = []
for address, _, port in (text.rpartition(":") for text in agent["listen"]):
    family = socket.AF_INET6 if "[" in address else socket.AF_INET
    listeners.append(socket.create_server(
        (address.strip("[]"), int(port)), family=family, reuse_port=True))
while True:
    listeners[0].accept()[0].close()
"""


def write_stand_ins(build: pathlib.Path) -> None:
    for path, text in (("daemon/fairleadd", DAEMON), ("cli/fairlead", CLI),
                       ("agent/fairlead-agent", AGENT)):
        file = build / "userspace" / path
        file.parent.mkdir(parents=True)
        file.write_text(text)
        file.chmod(0o755)


class ProgramsTest(LabTestCase):
    lab_name = "fltprog"

    @classmethod
    def setUpClass(cls) -> None:
        directory = tempfile.TemporaryDirectory(prefix="fl_lab_programs_")
        cls.addClassCleanup(directory.cleanup)
        write_stand_ins(pathlib.Path(directory.name))
        cls.lab_options = LabOptions(
            lbs=2, backends=1, build=pathlib.Path(directory.name), flows=1024)
        super().setUpClass()
        cls.lb, cls.bad_lb = cls.lab.lbs
        cls.backend = cls.lab.backends[0]

    def test_the_daemon_is_killed_and_restarted(self) -> None:
        pids = [self.lb.start_daemon().pid]
        pids.append(self.lb.restart_daemon(kill9=True).pid)
        pids.append(self.lb.restart_daemon().pid)
        self.assertEqual(len(set(pids)), 3)
        self.assertTrue(self.lb.daemon.running())
        with self.assertRaisesRegex(LabError, "already running"):
            self.lb.start_daemon()
        self.assertEqual(self.lb.stop_daemon(), -15)

    def test_the_node_config_is_complete(self) -> None:
        self.lb.write_config()
        config = tomllib.loads(self.lb.config.read_text())
        node = config["node"]
        self.assertEqual(set(node), {
            "name", "id", "interfaces", "address", "address6", "key_file",
            "state_dir", "socket", "pin_path"})
        self.assertEqual(config["tables"],
                         {"flows": 1024, "counted_sources": 0})
        self.assertEqual(node["pin_path"], "/sys/fs/bpf/fltprog-lb1")
        key = pathlib.Path(node["key_file"])
        self.assertEqual(stat.S_IMODE(key.stat().st_mode), 0o600)
        self.assertEqual(len(bytes.fromhex(key.read_text())), 32)

    def test_a_daemon_that_ends_at_start_is_quoted(self) -> None:
        with self.assertRaisesRegex(LabError, "no luck today"):
            self.bad_lb.start_daemon()

    def test_the_cli_answers_as_text_or_json(self) -> None:
        socket = str(self.lb.socket)
        words = json.loads(self.lb.cli("service", "list").stdout)
        self.assertEqual(words, ["--socket", socket, "service", "list"])
        words = self.lb.cli("service", "list", json=True)
        self.assertEqual(words[-2:], ["-o", "json"])
        with self.assertRaisesRegex(LabError, "exit 1: .*no such noun"):
            self.lb.cli("nonsense")
        self.assertEqual(self.lb.cli("nonsense", check=False).returncode, 1)

    def test_the_agent_is_killed_and_restarted(self) -> None:
        first = self.backend.start_agent().pid
        self.assertNotEqual(self.backend.restart_agent(kill9=True).pid, first)
        config = tomllib.loads(self.backend.config.read_text())["agent"]
        self.assertEqual(config["listen"], [
            f"{self.backend.address}:6082", f"[{self.backend.address6}]:6082"])
        self.assertEqual(config["lbs"], [
            a for lb in self.lab.lbs for a in (lb.address, lb.address6)])
        self.assertIn("rp_filter", self.backend.check_agent().stderr)
        self.backend.stop_agent()

    def test_a_missing_program_is_named_with_the_remedy(self) -> None:
        with self.assertRaisesRegex(LabError, "nothing.* does not exist; .*"
                                    "FL_BUILD"):
            self.lab.binary("nothing")


if __name__ == "__main__":
    main()
