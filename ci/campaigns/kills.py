"""Runs killed at random moments: the target is the old or the new one, whole; what is left is swept."""

from __future__ import annotations

import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from . import children
from .jobs import KINDS, Job, expected_of, make_source
from .workers import at_once

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
# Seconds within which a run has to stop.
STOP = 2.0


class Trial(NamedTuple):
    """A run that is to be killed."""

    kind: str
    number: signal.Signals
    old: bool
    seed: int


class Outcome(NamedTuple):
    """What came of it."""

    trial: Trial
    phase: str
    seconds: float  # from the signal to the end
    target: str
    problems: list[str]


def run(kills: int, seed: int) -> list[str]:
    """Kill many runs; print a line for each kind and signal.

    Parameters
    ----------
    kills : int
        How many.
    seed : int
        The same seed gives the same kinds, signals and moments.

    Returns
    -------
    list of str
        What was wrong.
    """
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        aside = Path(place)
        make_source(aside / "in.nc")
        make_source(aside / "other.nc", 3, seed=1)
        plan = [(kind, number) for kind in KINDS for number in SIGNALS]
        trials = [
            Trial(*plan[at % len(plan)], at // len(plan) % 3 == 0, rng.randrange(2**32))
            for at in range(kills)
        ]
        outcomes = at_once(_Killer(aside), trials)
    return _report(outcomes)


class _Killer:
    """Carries out trials, in one process one after another."""

    def __init__(self, aside: Path) -> None:
        self.aside = aside
        self.known: dict[str, tuple[Path, float]] = {}
        for kind in KINDS:
            job = Job(kind, aside / "before", aside)
            self.known[kind] = expected_of(job)

    def __call__(self, trial: Trial, worker: int) -> Outcome:
        rng = random.Random(trial.seed)
        expected, seconds = self.known[trial.kind]
        job = Job(trial.kind, self.aside / f"worker {worker}", self.aside, self._old(trial))
        while True:  # until it is killed before it ends by itself
            job.reset()
            child = job.start()
            child.wait(rng.uniform(0, 1.6 * seconds))
            if child.poll() is None:
                break
            if child.code != 0:
                return Outcome(trial, child.phase(), 0, "", [f"failed undisturbed: {child.said()}"])
        phase, killed = child.phase(), time.monotonic()
        child.kill(trial.number)
        code = child.finish(20)
        stopped = time.monotonic() - killed
        problems, target = [], job.target_is(expected)
        if target not in ("absent", "old", "new"):
            problems.append(target)
        if stopped > STOP:
            problems.append(f"stopped after {stopped:.2f} s")
        if trial.number is signal.SIGKILL:
            problems += _swept(job, target)
        else:
            codes = {128 + trial.number} | ({-trial.number, 0} if phase in ("starting", "ending") else set())
            if code not in codes:
                problems.append(f"exit code {code}: {child.said()}")
            if job.left():
                problems.append(f"left behind: {job.left()}")
            if code > 0 and child.said() != f"xgrad: stopped by {trial.number.name}\n":
                problems.append(f"said {child.said()!r}")
        return Outcome(trial, phase, stopped, target, problems)

    def _old(self, trial: Trial) -> Path | None:
        """Return what is at the target before: the derivatives of another file."""
        if not trial.old:
            return None
        path = self.aside / f"old{KINDS[trial.kind][0]}"
        if not path.exists():
            job = Job("Zarr" if path.suffix == ".zarr" else "netCDF4", self.aside / "before", self.aside)
            arguments = job.arguments(path)
            arguments[1] = self.aside / "other.nc"
            if children.start(arguments, self.aside / "stderr-old").finish() != 0:
                raise RuntimeError("the old target was not made")
        return path


def _swept(job: Job, target: str) -> list[str]:
    """Have the next run sweep, and return what it did not."""
    before = job.left()
    child = job.start()
    if child.finish() != 0:
        return [f"the next run failed: {child.said()}"]
    return [f"not swept: {job.left()} of {before}"] if job.left() else []


def _report(outcomes: Iterable[Outcome]) -> list[str]:
    """Print what came out, and return what was wrong."""
    outcomes, problems = list(outcomes), []
    for kind in KINDS:
        for number in SIGNALS:
            these = [each for each in outcomes if each.trial.kind == kind and each.trial.number is number]
            wrong = [f"{each.trial}: {problem}" for each in these for problem in each.problems]
            phases, targets = Counter(each.phase for each in these), Counter(each.target for each in these)
            where = ", ".join(f"{phase} {phases[phase]}" for phase in children.PHASES if phases[phase])
            what = ", ".join(f"{word} {count}" for word, count in sorted(targets.items()) if len(word) < 10)
            slowest = max((each.seconds for each in these), default=0)
            print(
                f"{kind:12} {number.name:7} {len(these):3} kills: {len(wrong)} problems; in {where}; "
                f"target {what}; stopped within {slowest:.2f} s",
                flush=True,
            )
            problems += wrong
    return problems
