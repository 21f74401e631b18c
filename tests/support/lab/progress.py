"""What a person sees while a lab works: something every two seconds."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")


def say(text: str = "") -> None:
    print(text, flush=True)


@contextlib.contextmanager
def progress(what: str) -> Iterator[None]:
    """A line every two seconds while the block runs."""
    done = threading.Event()
    begun = time.monotonic()

    def tell() -> None:
        while not done.wait(2):
            say(f"   ... {what}: {time.monotonic() - begun:.0f} s")

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


def during(what: str, work: Callable[[], T]) -> T:
    with progress(what):
        return work()
