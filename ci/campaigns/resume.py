"""Runs with --resume, killed again and again until they are done: the store is that of one undisturbed."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from .jobs import ANYTHING, SIGNALS, Job, ends, inputs, undisturbed
from .outcomes import Outcome
from .workers import WORKERS, at_once

# In what a long run differs from a short one: 48 blocks of each of two results.
TIMES, CHUNKS = 48, "time:1"
# The folder of a run.
KEPT = ".out.zarr.xgrad-resume"


def run(kills: int, seed: int) -> Iterator[Outcome]:
    """Kill jobs until so many kills are done and every job is too.

    Parameters
    ----------
    kills : int
        How many, at least.
    seed : int
        The same seed gives the same signals and moments.

    Yields
    ------
    Outcome
        What came of each kill, and of each job.
    """
    rng, killed = random.Random(seed), 0
    with inputs(TIMES) as aside:
        undisturbed("Zarr", aside, chunks=CHUNKS)  # once, and not in each worker
        while killed < kills:
            for outcomes in at_once(partial(_resumed, aside), [rng.randrange(2**32) for _ in range(WORKERS)]):
                killed += len(outcomes) - 1
                yield from outcomes


def _resumed(aside: Path, seed: int, worker: int) -> list[Outcome]:
    """Kill one job until it is done."""
    rng, outcomes, before = random.Random(seed), list[Outcome](), 0
    job = Job(
        "Zarr", aside / f"worker {worker}", aside, options=("--workers", "2", "--resume"), chunks=CHUNKS
    )
    job.reset()
    while True:
        child = job.start()
        if child.wait(rng.uniform(0.1, 0.6) * job.seconds) is not None:
            break
        number, phase = rng.choice(SIGNALS), child.phase()
        child.stop(number)
        if job.target.exists() and child.phase() in ("publishing", "ending"):
            break
        _, problems = job.judged(child, ends(number, phase == "starting"), failed=("absent",), kept=(KEPT,))
        done = _noted(job.folder / KEPT)
        if done < before:
            problems.append(f"{before} blocks were done, and then {done}")
        before = done
        outcomes.append(Outcome("kills", [f"in {phase}"], problems, child.seconds))
    known = dict.fromkeys((0, *(128 + each for each in SIGNALS), *(-each for each in SIGNALS)), ANYTHING)
    kept = {0: (), -signal.SIGKILL: job.left()}.get(child.finish(), (KEPT,))
    _, problems = job.judged(child, known, failed=("new",), kept=kept)
    said = [f"after {len(outcomes)} kills, seed {seed}: {each}" for each in problems]
    return [*outcomes, Outcome("jobs", [f"after {len(outcomes)} kills"], said)]


def _noted(folder: Path) -> int:
    """Return how many blocks a run has noted as done."""
    return len(
        {line for path in folder.glob("*.done") for line in path.read_text().split("\n") if " " in line}
    )
