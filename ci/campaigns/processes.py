"""Kills of processes of their own, whose moments reach into imports, as a shell would send them."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from . import children
from .jobs import KINDS, SIGNALS, Job, ends, inputs
from .outcomes import Outcome


def run(kills: int, seed: int) -> Iterator[Outcome]:
    """Kill processes.

    Parameters
    ----------
    kills : int
        How many.
    seed : int
        The same seed gives the same kinds, signals and moments.

    Yields
    ------
    Outcome
        What came of each.
    """
    rng = random.Random(seed)
    with inputs() as aside:
        usual = {kind: _seconds(kind, aside) for kind in KINDS}
        for at in range(kills):
            kind = list(KINDS)[at % len(KINDS)]
            number = SIGNALS[at // len(KINDS) % len(SIGNALS)]
            job, child = _started(kind, aside)
            child.wait(rng.uniform(0, 1.1 * usual[kind]))
            alive, started = child.poll() is None, bool(job.left())
            child.stop(number)
            # While it imports there is no one to catch a signal: it ends by it, as a shell expects.
            known = ends(number, not started or job.target.exists())
            _, problems = job.judged(child, known, kept=job.left() if number == 9 else ())
            said = [f"{kind}, kill {at}: {each}" for each in problems]
            yield Outcome(
                number.name, [f"exit code {child.code}" if alive else "done before"], said, child.seconds
            )


def _started(kind: str, aside: Path) -> tuple[Job, children.Child]:
    """Start the command."""
    job = Job(kind, aside / "here", aside)
    job.reset()
    command = [sys.executable, "-m", "xgrad", *job.arguments()]
    return job, children.spawn(command, aside / "stderr")


def _seconds(kind: str, aside: Path) -> float:
    """Measure a run that nobody ends."""
    _, child = _started(kind, aside)
    if child.finish() != 0:
        raise RuntimeError(f"an undisturbed run failed: {child.said()}")
    return time.monotonic() - child.began
