"""Runs with --resume, killed again and again until they are done: the store is that of one undisturbed."""

from __future__ import annotations

import random
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from .jobs import Job, digest, expected_of, make_source
from .kills import SIGNALS, STOP
from .workers import WORKERS, at_once

# In what a long run differs from a short one: 48 blocks of each of two results.
TIMES, CHUNKS = 48, "time:1"


class Outcome(NamedTuple):
    """What came of one job."""

    kills: int
    phases: Counter[str]
    problems: list[str]


def run(kills: int, seed: int) -> list[str]:
    """Kill jobs until so many kills are done and every job is too; print a line.

    Parameters
    ----------
    kills : int
        How many, at least.
    seed : int
        The same seed gives the same signals and moments.

    Returns
    -------
    list of str
        What was wrong.
    """
    rng = random.Random(seed)
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as place:
        aside = Path(place)
        make_source(aside / "in.nc", TIMES)
        job = _Resumed(aside)
        while sum(each.kills for each in outcomes) < kills:
            outcomes += at_once(job, [rng.randrange(2**32) for _ in range(WORKERS)])
    phases = sum((each.phases for each in outcomes), Counter[str]())
    problems = [problem for each in outcomes for problem in each.problems]
    done, most = sum(each.kills for each in outcomes), max(each.kills for each in outcomes)
    where = ", ".join(f"{phase} {count}" for phase, count in phases.items())
    print(
        f"{len(outcomes)} jobs resumed after {done} kills, {most} of one of them: {len(problems)} problems; "
        f"in {where}",
        flush=True,
    )
    return problems


class _Resumed:
    """Carries out jobs, in one process one after another."""

    def __init__(self, aside: Path) -> None:
        self.aside = aside
        job = Job("Zarr", aside / "before", aside, chunks=CHUNKS)
        path, self.seconds = expected_of(job)
        self.expected = digest(path)

    def __call__(self, seed: int, worker: int) -> Outcome:
        rng, phases, problems = random.Random(seed), Counter[str](), list[str]()
        folder = self.aside / f"worker {worker}"
        job = Job("Zarr", folder, self.aside, options=("--resume",), chunks=CHUNKS)
        job.reset()
        kept, before = f".{job.target.name}.xgrad-resume", 0
        while True:
            child = job.start()
            child.wait(rng.uniform(0.1, 0.6) * self.seconds)
            if child.poll() is not None:
                break
            number, phase = rng.choice(SIGNALS), child.phase()
            child.kill(number)
            killed = time.monotonic()
            code = child.finish(20)
            phases[phase] += 1
            if job.target.exists() and child.phase() in ("publishing", "ending"):
                break
            if code not in (128 + number, -number):
                problems.append(f"exit code {code}: {child.said()}")
            if time.monotonic() - killed > STOP:
                problems.append(f"stopped after {time.monotonic() - killed:.2f} s")
            if job.target.exists():
                problems.append(f"the target is there after a kill in {phase}")
            if set(job.left()) - {kept}:
                problems.append(f"left behind: {job.left()}")
            done = _noted(folder / kept)
            if done < before:
                problems.append(f"{before} blocks were done, and then {done}")
            before = done
        if child.finish() not in (0, *(128 + each for each in SIGNALS), *(-each for each in SIGNALS)):
            problems.append(f"exit code {child.code}: {child.said()}")
        elif digest(job.target) != self.expected:
            problems.append(f"the store differs, after {sum(phases.values())} kills, seed {seed}")
        allowed = {0: set(), -signal.SIGKILL: set(job.left())}.get(child.finish(), {kept})
        if set(job.left()) - allowed:
            problems.append(f"left behind at the end: {job.left()}")
        return Outcome(sum(phases.values()), phases, problems)


def _noted(folder: Path) -> int:
    """Return how many blocks a run has noted as done."""
    return len(
        {line for path in folder.glob("*.done") for line in path.read_text().split("\n") if " " in line}
    )
