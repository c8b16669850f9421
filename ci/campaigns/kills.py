"""Runs killed at random moments: the target is the old or the new one, whole; what is left is swept."""

from __future__ import annotations

import itertools
import random
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from .jobs import KINDS, SIGNALS, Job, ends, inputs, old_of, undisturbed
from .outcomes import Outcome
from .workers import at_once


class Trial(NamedTuple):
    """A run that is to be killed."""

    kind: str
    number: signal.Signals
    old: Path | None
    seed: int


def run(kills: int, seed: int) -> Iterator[Outcome]:
    """Kill many runs.

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
        for kind in KINDS:
            undisturbed(kind, aside)  # once, and not in each worker
        plan = list(itertools.product(KINDS, SIGNALS))
        trials = []
        for at in range(kills):
            kind, number = plan[at % len(plan)]
            old = old_of(kind, aside) if at // len(plan) % 3 == 0 else None
            trials.append(Trial(kind, number, old, rng.randrange(2**32)))
        yield from at_once(partial(_killed, aside), trials)


def _killed(aside: Path, trial: Trial, worker: int) -> Outcome:
    """Kill a run."""
    rng, row = random.Random(trial.seed), f"{trial.kind:12} {trial.number.name}"
    job = Job(trial.kind, aside / f"worker {worker}", aside, trial.old)
    while True:  # until it is killed before it ends by itself
        job.reset()
        child = job.start()
        child.wait(rng.uniform(0, 1.6 * job.seconds))
        if child.poll() is None:
            break
        if child.code != 0:
            return Outcome(row, [], [f"failed undisturbed: {child.said()}"])
    phase = child.phase()
    child.stop(trial.number)
    known, killed = ends(trial.number, phase in ("starting", "ending")), trial.number is signal.SIGKILL
    target, problems = job.judged(child, known, kept=job.left() if killed else ())
    if killed:
        problems += job.again()
    said = [f"{trial}: {each}" for each in problems]
    return Outcome(row, [f"in {phase}", f"target {target.partition(':')[0]}"], said, child.seconds)
