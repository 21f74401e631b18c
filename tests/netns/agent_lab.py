"""What tests of fairlead-agent share: two backends with agents and servers
behind an LB host made of Python, which forgets every packet at once.
"""

from __future__ import annotations

import subprocess
import sys

import fake_lb
from lab import control, tier, wait_until
from lab.fleet import SUPPORT, wait_for_socket
from lab.hosts import AGENT_PORT, Backend
from lab.testcase import LabTestCase

PORT = 8080
ROWS = 256
HERE = fake_lb.HERE

# One datagram to ADDRESS from the namespace that it runs in.
SEND = ("import socket,sys; "
        "s=socket.socket(socket.AF_INET6 if ':' in sys.argv[1] "
        "else socket.AF_INET, socket.SOCK_DGRAM); "
        "s.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, int(sys.argv[3])); "
        "s.sendto(bytes.fromhex(sys.argv[2]), (sys.argv[1], 6080))")


class AgentTestCase(LabTestCase):
    """A lab whose LB host is fake_lb, with agents and servers on b1 and b2."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.lb = cls.lab.lbs[0]
        cls.b1, cls.b2 = cls.lab.backends[:2]
        cls.binary = cls.lab.binary("agent/fairlead-agent")
        for backend in (cls.b1, cls.b2):
            backend.start_server(PORT)
            backend.start_agent()
        cls.callers: dict[object, tier.Caller] = {}
        cls.control = cls.lb.directory / "fake_lb.sock"
        child = cls.lb.start(
            "fake_lb", [sys.executable, HERE / "fake_lb.py", "--interface",
                        "eth0", "--control", cls.control],
            env={"PYTHONPATH": f"{SUPPORT}:{HERE}"})
        wait_for_socket(child, cls.control, timeout=20)

    def setUp(self) -> None:
        for backend in (self.b1, self.b2):
            if backend.agent is None or not backend.agent.running():
                backend.start_agent()
            self.push(backend)
        self.route(self.b1)
        self.fleet = self.lab.client.start_fleet()
        self.addCleanup(self.fleet.stop)

    # --- what an LB host does ---

    def number(self, backend: Backend) -> int:
        return self.lab.backends.index(backend) + 1

    def route(self, *hops: Backend, family: int = 4, **how) -> None:
        control.call(self.control, "route", hops=[
            [self.number(b), b.address if family == 4 else b.address6]
            for b in hops], **how)

    def http(self, host, backend: Backend, path: str, *,
             body: object = None, family: int = 4) -> tuple[int, dict]:
        """One request from `host` to the agent; status and answer."""
        address = backend.address if family == 4 else f"[{backend.address6}]"
        caller = self.callers.setdefault(host, tier.Caller(
            host, self.lab.key_file, host.name))
        return caller.call(f"{address}:{AGENT_PORT}", path, body=body)

    def document(self, *, lb: int = 1, digest: str = "abcd", vips=None,
                 family: int = 4) -> dict:
        if vips is None:
            vips = [f"{self.lab.vip}:{PORT}", f"[{self.lab.vip6}]:{PORT}"]
        vips = [{"vip": vip, "policy": "hash", "rows": ROWS,
                 "hop_lists": True, "table": "aa"}
                if isinstance(vip, str) else vip for vip in vips]
        return {"lb_id": lb, "digest": digest, "vips": vips, "peers": [
            {"id": self.number(b),
             "address": b.address if family == 4 else b.address6}
            for b in self.lab.backends]}

    def push(self, backend: Backend, **what) -> None:
        document = self.document(**what)
        status, answer = self.http(self.lb, backend, "/v1/peers",
                                   body=document)
        self.assertEqual((status, answer),
                         (200, {"digest": document["digest"]}))

    def state(self, backend: Backend, lb: int = 1) -> dict:
        status, answer = self.http(self.lb, backend, f"/v1/state?lb={lb}")
        self.assertEqual(status, 200, answer)
        return answer

    def live(self, backend: Backend) -> dict[str, int]:
        """A scan that began after this call."""
        last = self.state(backend)
        if last["scan_begun_age_ms"] > 0:
            wait_until(lambda: self.state(backend)["scan"] > last["scan"],
                       timeout=5, what="a newer scan")
        return {s["vip"]: s["live_sockets"]
                for s in self.state(backend)["services"]}

    def verdict(self, backend: Backend, name: str) -> int:
        return self.state(backend)["verdicts"][name]

    def send(self, backend: Backend, hops: bytes, inner: bytes,
             host=None, tos: int = 0) -> None:
        """One encapsulated packet to the backend's agent."""
        (host or self.lb).run(sys.executable, "-c", SEND, backend.address,
                              fake_lb.gue(inner, hops).hex(), tos)

    def agent(self, backend: Backend, *words: object
              ) -> subprocess.CompletedProcess[str]:
        return backend.run(self.binary, *words, check=False)
