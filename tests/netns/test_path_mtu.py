"""A client whose packets do not fit when encapsulated is told so, and its
upload goes through."""

from lab import LabOptions
from lab.processes import in_netns, run, wait_until
from lab.testcase import LabTestCase, main

PORT = 8080
UPLOAD = """
import asyncio, websockets
async def upload():
    async with websockets.connect("{url}", max_size=None) as ws:
        await ws.recv()
        await ws.send(b"x" * 400000)
        echo = await asyncio.wait_for(ws.recv(), 20)  # with a prefix
        assert echo.endswith(b"x" * 400000)
asyncio.run(upload())
"""


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
            run(in_netns(lab.client.netns, [
                "/usr/bin/python3", "-c",
                UPLOAD.format(url=f"ws://{vip}:{PORT}")]), timeout=60)
            self.assertGreater(
                lb.cli("service", "show", name, json=True)["service"][
                    "too_big"], 0)


if __name__ == "__main__":
    main()
