"""A start of the daemon that cannot succeed says why in one line, and leaves
the host as it was."""

import pathlib
import subprocess

from lab import LabOptions
from lab.testcase import LabTestCase, main


class StartTest(LabTestCase):
    lab_name = "fltstart"
    lab_options = LabOptions(lbs=1, backends=1)

    def setUp(self) -> None:
        super().setUp()
        self.lb = self.lab.lbs[0]
        self.lb.write_config()

    def tearDown(self) -> None:
        self.lb.kill9_daemon()
        self.lb.run("ip", "link", "set", "dev", "eth0", "xdp", "off")
        super().tearDown()

    def edit(self, old: str, new: str) -> None:
        text = self.lb.config.read_text()
        self.assertIn(old, text)
        self.lb.config.write_text(text.replace(old, new))

    def start(self, *before: str) -> subprocess.CompletedProcess[str]:
        return self.lb.run(*before, self.lab.binary("daemon/fairleadd"),
                           "--config", self.lb.config, check=False)

    def xdp_program(self) -> str:
        link = self.lb.run("ip", "-d", "link", "show", "dev", "eth0").stdout
        return link.partition("prog/xdp ")[2].split("\n")[0]

    def pins(self) -> list[pathlib.Path]:
        return list(pathlib.Path(self.lb.pin_path).glob("*"))

    def assert_refused(self, code: int, *texts: str, before=()) -> None:
        found = self.xdp_program()
        done = self.start(*before)
        self.assertEqual(done.returncode, code, done.stderr)
        for text in texts:
            self.assertIn(text, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertEqual(self.xdp_program(), found)
        self.assertEqual(self.pins(), [])
        self.assertFalse(self.lb.socket.exists())

    def test_a_missing_interface_is_named(self) -> None:
        self.edit('"eth0"', '"eth7"')
        self.assert_refused(1, "no interface eth7 (have: eth0")

    def test_another_program_on_the_interface_stays(self) -> None:
        self.lab.attach_xdp(self.lb, "eth0", "xdp_pass")
        self.assert_refused(1, "eth0 has another XDP program",
                            "ip link set dev eth0 xdp off")

    def test_a_missing_state_folder_gets_its_command(self) -> None:
        self.edit(f'state_dir = "{self.lb.state_dir}"',
                  f'state_dir = "{self.lb.state_dir}2"')
        self.assert_refused(1, f"mkdir -m 700 {self.lb.state_dir}2",
                            "state_dir")

    def test_a_corrupt_state_file_is_not_thrown_away(self) -> None:
        file = self.lb.state_dir / "desired.json"
        file.write_text('{"format": 1, "gene')
        self.addCleanup(file.unlink)
        self.assert_refused(1, str(file), "move it away")
        self.assertEqual(file.read_text(), '{"format": 1, "gene')

    def test_a_key_that_others_may_read_is_refused(self) -> None:
        key = pathlib.Path(self.lab.key_file)
        key.chmod(0o644)
        self.addCleanup(key.chmod, 0o600)
        self.assert_refused(1, f"chmod 600 {key}")

    def test_without_privileges_it_says_what_it_needs(self) -> None:
        # Root without capabilities: file permissions are not what fails.
        self.assert_refused(77, "CAP_BPF", before=(
            "setpriv", "--bounding-set=-all", "--inh-caps=-all",
            "--ambient-caps=-all"))

    def test_a_bad_config_names_file_and_line(self) -> None:
        self.edit("id = 1", "id = 0")
        self.assert_refused(8, f"{self.lb.config}:3", "id")

    def test_pins_of_another_layout_are_not_taken(self) -> None:
        other = pathlib.Path(self.lb.pin_path) / "v999"
        other.mkdir(parents=True)
        self.addCleanup(other.rmdir)
        pin = other / "fl_flows"
        self.lb.run("bpftool", "map", "create", pin, "type", "array", "key", 4,
                    "value", 4, "entries", 1, "name", "fl_flows")
        self.addCleanup(pin.unlink)
        done = self.start()
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(f"{other} holds tables of layout v999", done.stderr)
        self.assertIn(f"rm -r {other}", done.stderr)
        self.assertEqual(self.xdp_program(), "")
        self.assertTrue(pin.exists())

    def test_tables_too_small_for_what_is_desired_are_not_made(self) -> None:
        self.lb.start_daemon()
        self.lb.cli("service", "add", "ws", f"{self.lab.vip}:443")
        self.lb.stop_daemon()
        found = self.xdp_program()
        self.edit("flows = ", "rows = 8192\nflows = ")
        done = self.start()
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn('service "ws" needs a rows table of at least 16384, the '
                      "node config says 8192", done.stderr)
        self.assertEqual(self.xdp_program(), found)
        self.lb.start_daemon()
        self.lb.cli("service", "delete", "ws")
        self.lb.cli("node", "detach", "--force")
        self.lb.stop_daemon()


if __name__ == "__main__":
    main()
