"""What happens again and again while a case goes on."""

from __future__ import annotations

import collections
import itertools
import pathlib
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from lab import Lab, LabError, bpf_maps
from lab.hosts import Backend, LbHost
from lab.progress import progress

if TYPE_CHECKING:
    from .arms import Arms

_HOST_GONE = (LabError, FileNotFoundError)


class Repeating:
    """Calls `action` every `interval` seconds in a thread of its own, from
    the beginning of the block to its end; what it raised, the end raises."""

    def __init__(self, action: Callable[[], None], interval: float):
        self._action, self._interval = action, interval
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._error: Exception | None = None
        self.count = 0

    def __enter__(self) -> Repeating:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        due = time.monotonic()
        try:
            while not self._ended.wait(max(0, due - time.monotonic())):
                self._action()
                self.count += 1
                due = max(due + self._interval, time.monotonic())
        except Exception as error:  # The case shall fail with it.
            self._error = error


class Reshuffle(Repeating):
    """The router spreads the flows anew over the LB hosts that `hosts` names
    at that moment."""

    def __init__(self, lab: Lab, hosts: Callable[[], Sequence[LbHost]],
                 interval: float = 0.3):
        self._lab, self._hosts = lab, hosts
        self._random = random.Random(lab.name)
        super().__init__(self._once, interval)

    def _once(self) -> None:
        hosts = list(self._hosts())
        self._random.shuffle(hosts)
        # At times one has to do without some of them.
        self._lab.route_vips(hosts[:self._random.randint(1, len(hosts))])


class Sightings(Repeating):
    """Where flows are recorded: how many of `tags` at more than one LB host,
    that is how many moved and were found again."""

    def __init__(self, lab: Lab, tags: set[int], interval: float = 0.5):
        self._lab, self._tags = lab, tags
        self._seen: dict[str, set[int]] = {lb.name: set() for lb in lab.lbs}
        super().__init__(self.look, interval)

    def look(self) -> None:
        for lb in self._lab.lbs:
            try:
                self._seen[lb.name] |= (bpf_maps.flow_tags(lb.pin_path)
                                        & self._tags)
            except _HOST_GONE:
                pass  # It has just lost its power.

    @property
    def moved(self) -> int:
        return sum(sum(tag in seen for seen in self._seen.values()) > 1
                   for tag in self._tags)


class Wipe(Repeating):
    """All flow tables are emptied."""

    def __init__(self, lbs: Iterable[LbHost], interval: float = 0.1):
        self._lbs = list(lbs)
        self.slots = 0
        super().__init__(self._once, interval)

    def _once(self) -> None:
        for lb in self._lbs:
            try:
                self.slots += bpf_maps.wipe_flows(lb.pin_path)
            except _HOST_GONE:
                pass


class Upheaval(Repeating):
    """A daemon and an agent at a time are killed or stopped, and the same or
    another binary takes over."""

    def __init__(self, arms: Arms, interval: float = 1.5):
        lab = arms.lab
        self._arms = arms
        self._random = random.Random(lab.name)
        self._folder = lab.directory / "other"
        self._folder.mkdir(exist_ok=True)
        self._victims = [
            self._victim("fairleadd", lab.binary("daemon/fairleadd"),
                         lab.lbs),
            self._victim("fairlead-agent", lab.binary("agent/fairlead-agent"),
                         arms.backends + arms.spare)]
        # "fairleadd killed", "fairleadd upgraded" and so on; a kill may be an
        # upgrade too.
        self.done: collections.Counter[str] = collections.Counter()
        super().__init__(self._once, interval)

    def _victim(self, name: str, binary: pathlib.Path,
                hosts: Sequence[LbHost] | Sequence[Backend]) -> tuple:
        # Who is killed comes back as the same and as another, who is stopped
        # as another.
        turns = itertools.cycle(((True, False), (True, True), (False, True)))
        other = pathlib.Path(shutil.copy2(binary, self._folder / name))
        return name, (binary, other), hosts, turns

    def _once(self) -> None:
        for name, binaries, hosts, turns in self._victims:
            with self._arms.hands:
                host = self._random.choice(
                    [one for one in hosts if one not in self._arms.off])
                self._replace(name, host, binaries, *next(turns))

    def _replace(self, name: str, host: LbHost | Backend,
                 binaries: tuple[pathlib.Path, ...], kill9: bool,
                 upgrade: bool) -> None:
        is_lb = isinstance(host, LbHost)
        old = host.daemon if is_lb else host.agent
        old.require_running()
        was = pathlib.Path(old.command[0])
        if kill9:
            old.kill9()
        elif (code := old.stop()) != 0:
            raise LabError(f"{old.name} stopped with {code}")
        binary = next(one for one in binaries if (one != was) == upgrade)
        new = (host.start_daemon if is_lb else host.start_agent)(binary)
        self.done[f"{name} killed"] += kill9
        runs = pathlib.Path(f"/proc/{new.pid}/exe").readlink()
        self.done[f"{name} upgraded"] += runs != was


def go_on(what: str, seconds: float) -> None:
    """Lets the traffic flow; what makes a case hard is that it takes time."""
    with progress(what):
        time.sleep(seconds)
