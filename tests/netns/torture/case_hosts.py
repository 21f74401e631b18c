"""LB hosts that are frozen with an old table, or not of this tier."""

from __future__ import annotations

import pathlib
import secrets
import signal
import time

from lab.hosts import LbHost
from lab.progress import say

from .arms import REAL, Arms, require
from .events import go_on

FROZEN_FOR = 120  # Seconds.
# All flows at a host that is not right, and then at others: TCP doubles the
# time between its attempts, and one of them has to come in the calm.
_SKEWED_FOR, _CALM_FOR = 3, 8


def case_7(arms: Arms) -> None:
    """One LB host is frozen for two minutes with an old table while backends
    join, and then goes on with it; one is started with a wrong key"""
    lab = arms.lab
    frozen, other, wrong = lab.lbs
    frozen.daemon.signal(signal.SIGSTOP)
    begun = time.monotonic()
    try:
        lost = []
        for backend in arms.spare:
            arms.add([backend], [other, wrong])
            arms.wait_eligible([other, wrong], [backend])
            lab.route_vips([other, wrong])
            arms.open()
            lost.append(_skew(arms, frozen, "all flows at the frozen host"))
            lab.route_vips([other, wrong])
            go_on(f"{backend.name} has joined", _CALM_FOR)
        lab.route_vips([other])
        arms.lose_power(wrong)
        wrong.key_file = _another_key(lab.directory)
        arms.boot(wrong)
        wrong_key = _skew(arms, wrong, "all flows at the wrong key")
        lab.route_vips([other])
        arms.lose_power(wrong)
        wrong.key_file = lab.key_file
        arms.boot(wrong)
        go_on(f"without {wrong.name}", _CALM_FOR)
        while time.monotonic() - begun < FROZEN_FOR:
            lost.append(_skew(arms, frozen, "all flows at the frozen host"))
            lab.route_vips([other, wrong])
            go_on("one host is frozen", _CALM_FOR)
        heard_of = {peer["state"] for peer in other.cli("status", json=True)[
            "peers"] if peer["name"] == frozen.name}
    finally:
        frozen_for = time.monotonic() - begun
        frozen.daemon.signal(signal.SIGCONT)
    lost.append(_skew(arms, frozen, "it goes on with its old table"))
    lab.route_vips([other, wrong])
    names = [backend.name for backend in arms.spare]
    joined = sum(one.backend in names for one in arms.alive(REAL))
    arms.add(arms.spare, [frozen])
    arms.wait_available([frozen], len(arms.backends + arms.spare))
    lab.route_vips(lab.lbs)
    say(f"  did:     {frozen_for:.0f} s frozen, {joined} flows at backends "
        "that the frozen host did not know")
    say("  lost:    of the segments to skew, %, whenever all flows were at the "
        "frozen host: " + ", ".join(f"{share:.1f}" for share in lost)
        + f"; at the wrong key: {wrong_key:.1f}")
    require(frozen_for >= FROZEN_FOR and heard_of == {"silent"} and joined,
            "nothing opened at the new backends, or nothing was frozen: "
            f"{heard_of}")
    arms.judge()
    arms.close()
    # Where no agent can say so, nobody knows that the connections are over.
    arms.backend("delete", names, lab.lbs, "--force")


def _skew(arms: Arms, host: LbHost, what: str) -> float:
    """The share of segments, in percent, that no hop takes while all flows
    are at `host`."""
    before = arms.agent_verdicts()
    arms.lab.route_vips([host])
    go_on(what, _SKEWED_FOR)
    agents = arms.agent_verdicts() - before
    lost = sum(agents[name] for name in ("DROP_NOBODY", "DROP_SKEW",
                                         "DROP_NO_PEER", "DROP_HOP_LIST"))
    found = agents["PASS_SOCKET"] + agents["PASS_WEAK"]
    require(lost + found > 100, f"{what}: nothing came to it")
    return 100 * lost / (lost + found)


def _another_key(directory: pathlib.Path) -> pathlib.Path:
    path = directory / "another.key"
    path.touch(mode=0o600)
    path.write_text(secrets.token_hex(32) + "\n")
    return path
