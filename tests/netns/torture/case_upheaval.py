"""Programs that die and are replaced while all the rest happens."""

from __future__ import annotations

import shutil

from lab.progress import say

from .arms import REAL, Arms, require
from .case_backends import replace_backends
from .case_flood import fail_all_checks
from .case_tier import HALF, die_in_a_drain, forge_everywhere, wipe
from .events import Repeating, Reshuffle, Sightings, Upheaval, Wipe, go_on
from .wire import forge


def case_8(arms: Arms) -> None:
    """Daemons and agents are killed and replaced by other binaries all the
    time: while an LB host boots for the first time into a drain, reshuffled,
    wiped and forged, and in cases 1, 2, 3, 4 and 9 again, shortened"""
    parts = (("a first boot", boot_first),
             ("case 1", die_in_a_drain),
             ("case 2", lambda arms: wipe(arms, 4)),
             ("case 3", lambda arms: replace_backends(arms, 1)),
             ("case 4", forge_everywhere),
             ("case 9", lambda arms: fail_all_checks(arms, 10)))
    with Upheaval(arms) as upheaval:
        for number, (what, part) in enumerate(parts):
            if number > 0:
                arms.finish()
                arms.prepare()
            before = upheaval.done.copy()
            say(f"  - {what}, and meanwhile")
            part(arms)
            done = upheaval.done - before
            say("  and:     " + ", ".join(
                f"{count} {name}" for name, count in sorted(done.items())))
            require(len(done) == 4, "not everything was killed and upgraded")


def boot_first(arms: Arms) -> None:
    """An LB host without any state, into running traffic."""
    lab, before = arms.lab, arms.agent_verdicts()
    old, new = lab.lbs[:2], lab.lbs[2]
    hosts = list(old)
    arms.lose_power(new)
    shutil.rmtree(new.state_dir)
    new.state_dir.mkdir(mode=0o700)
    lab.route_vips(hosts)
    arms.open()
    tuples = arms.alive()
    with Sightings(lab, arms.tags(arms.alive(REAL))) as seen, \
            Reshuffle(lab, lambda: hosts) as moves, \
            Wipe(lab.lbs, 0.5) as wipes, \
            Repeating(lambda: forge(lab, hosts, tuples), 2) as forgeries:
        arms.backend("drain", HALF, old)
        arms.boot(new)
        arms.configure(new)
        hosts.append(new)
        go_on(f"with {new.name}", 3)
        hosts[:] = [new]
        go_on(f"only {new.name} is left", 3)
        hosts[:] = lab.lbs
    hops = (arms.agent_verdicts() - before)["TX_NEXT_HOP"]
    say(f"  did:     a first boot, {moves.count} reshuffles, {wipes.slots} "
        f"slots wiped, {forgeries.count} rounds of forged segments, "
        f"{seen.moved} flows recorded at more than one LB host, {hops} extra "
        "hops")
    require(moves.count and wipes.slots and forgeries.count and seen.moved
            and hops, "nothing happened")
    arms.judge()
    arms.backend("ready", HALF, old)
