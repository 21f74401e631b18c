"""LB hosts and agents that are old, new, frozen, or not of this tier."""

from __future__ import annotations

import pathlib
import secrets
import shutil
import signal

from lab.hosts import LbHost
from lab.progress import during, say

from .arms import REAL, Arms, require
from .case_tier import HALF
from .events import Repeating, Reshuffle, Sightings, Wipe, go_on
from .wire import forge


def case_7(arms: Arms) -> None:
    """One LB host is frozen with an old table while backends join; one is
    started with a wrong key"""
    lab = arms.lab
    frozen, other, wrong = lab.lbs
    names = [backend.name for backend in arms.spare]
    frozen.daemon.signal(signal.SIGSTOP)
    try:
        arms.add(arms.spare, [other, wrong])
        arms.wait_available([other, wrong], len(lab.backends))
        lab.route_vips([other, wrong])
        arms.open()
        joined = sum(counts["alive"] for name, counts in arms.fleet.report(
            group=REAL)["backends"].items() if name in names)
        skew = _skew(arms, [frozen], "all flows at the frozen host")
    finally:
        frozen.daemon.signal(signal.SIGCONT)
    arms.add(arms.spare, [frozen])
    arms.wait_available([frozen], len(lab.backends))
    say(f"  did:     {joined} flows at backends that the frozen host did not "
        f"know; lost to skew: {skew}")
    require(joined, "nothing opened at the new backends")

    arms.lose_power(wrong)
    wrong.key_file = _another_key(lab.directory)
    during(f"{wrong.name} boots with a wrong key", wrong.start_daemon)
    skew = _skew(arms, [wrong], "all flows at the host with the wrong key")
    lab.route_vips([frozen, other])
    arms.lose_power(wrong)
    wrong.key_file = lab.key_file
    during(f"{wrong.name} boots with the right key", wrong.start_daemon)
    lab.route_vips(lab.lbs)
    say(f"           with a wrong key: {skew}")
    arms.judge()
    arms.close()
    # Where no agent can say so, nobody knows that the connections are over.
    arms.backend("delete", names, lab.lbs, "--force")


def _skew(arms: Arms, hosts: list[LbHost], what: str) -> str:
    """The share of packets that no hop takes, with all flows at `hosts`."""
    before = arms.agent_verdicts()
    arms.lab.route_vips(hosts)
    go_on(what, 5)
    after = arms.agent_verdicts() - before
    lost = sum(after[name] for name in ("DROP_NOBODY", "DROP_SKEW",
                                        "DROP_NO_PEER", "DROP_HOP_LIST"))
    found = after["PASS_SOCKET"] + after["PASS_WEAK"]
    return (f"{lost} of {lost + found} segments "
            f"({100 * lost / max(1, lost + found):.1f} %)")


def _another_key(directory: pathlib.Path) -> pathlib.Path:
    path = directory / "another.key"
    path.touch(mode=0o600)
    path.write_text(secrets.token_hex(32) + "\n")
    return path


def case_8(arms: Arms) -> None:
    """Daemons and agents are killed and replaced by other binaries, an LB
    host boots for the first time: in a drain, reshuffled, wiped and forged"""
    lab, before = arms.lab, arms.agent_verdicts()
    old, new = lab.lbs[:2], lab.lbs[2]
    binaries = {name: _copy(lab.binary(f"{folder}/{name}"), lab.directory)
                for folder, name in (("daemon", "fairleadd"),
                                     ("agent", "fairlead-agent"))}
    arms.lose_power(new)
    shutil.rmtree(new.state_dir)
    new.state_dir.mkdir(mode=0o700)
    hosts = list(old)
    lab.route_vips(hosts)
    arms.open()
    tuples = arms.alive()
    with Sightings(lab, arms.tags(arms.alive(REAL))) as seen, \
            Reshuffle(lab, lambda: hosts) as moves, \
            Wipe(lab.lbs, 0.5) as wipes, \
            Repeating(lambda: forge(lab, hosts, tuples), 2) as forgeries:
        arms.backend("drain", HALF, old)
        for backend in lab.backends:
            during(f"another agent on {backend.name}", lambda b=backend:
                   b.restart_agent(binaries["fairlead-agent"], kill9=True))
        for lb in old:
            during(f"another daemon on {lb.name}", lambda h=lb:
                   h.restart_daemon(binaries["fairleadd"], kill9=True))
        during(f"{new.name} boots for the first time", new.start_daemon)
        arms.configure(new)
        hosts.append(new)
        go_on(f"with {new.name}", 3)
        hosts[:] = [new]
        go_on(f"only {new.name} is left", 3)
        hosts[:] = lab.lbs
    hops = (arms.agent_verdicts() - before)["TX_NEXT_HOP"]
    say(f"  did:     {len(lab.backends)} agents and {len(old)} daemons "
        f"replaced, a first boot, {moves.count} reshuffles, {wipes.slots} "
        f"slots wiped, {forgeries.count} rounds of forged segments, "
        f"{seen.moved} flows recorded at more than one LB host, {hops} extra "
        "hops")
    require(wipes.slots and forgeries.count and hops, "nothing happened")
    arms.judge()
    arms.backend("ready", HALF, old)


def _copy(binary: pathlib.Path, directory: pathlib.Path) -> pathlib.Path:
    folder = directory / "other"
    folder.mkdir(exist_ok=True)
    return pathlib.Path(shutil.copy2(binary, folder / binary.name))
