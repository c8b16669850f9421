"""Runs on a cluster of several processes, any of which is killed: workers, the scheduler, or who called."""

from __future__ import annotations

import itertools
import json
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from . import children
from .jobs import ANYTHING, KINDS, LINE, SIGNALS, STOP, Job, ends, inputs, old_of
from .outcomes import Outcome
from .resume import CHUNKS, KEPT

WORKERS = 3
# What is killed, who called, and what is written: the kind, and the options.
VICTIMS: tuple[str | signal.Signals, ...] = ("worker", "scheduler", *SIGNALS)
CALLERS = ("command", "script")
TARGETS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("netCDF4, raw", ()),
    ("Zarr", ()),
    ("Zarr", ("--resume",)),
)
# Prime to their number, so that the first trials have little in common.
STRIDE = 11
# Seconds in which a script, or a run without its scheduler, has to end: for the answer of that it waits ten;
# and in which what workers still do shows.
SLOW, QUIET = 15.0, 0.5
SCRIPT = """
import sys, distributed, xgrad
address, source, target, chunks, level, *resume = sys.argv[1:]
with distributed.Client(address), xgrad.open(source, chunks={"time": int(chunks)}) as ds:
    print("ready", flush=True)
    made = ds.grad.compute(["lat", "lon"])
    xgrad.write(made, target, inputs=[source], complevel=int(level), overwrite=True, resume=bool(resume))
"""
# What it says without a scheduler: Python's traceback.
FAILED = "ready\n(?s:.*\nxgrad.errors.StorageError: .*)"


class Cluster:
    """A scheduler, and a process that looks after workers."""

    def __init__(self, aside: Path) -> None:
        self._aside, self._file = aside, aside / "scheduler.json"
        self._processes = dict[str, children.Child]()
        self.address = ""

    def begin(self) -> None:
        """Start what is not there."""
        if self._processes and self._processes["scheduler"].poll() is None:
            return
        self.end()
        self._start("scheduler", "--port", 0)
        self._start("worker", "--nworkers", WORKERS, "--nthreads", 1, "--memory-limit", 0)
        process = self._processes["worker"]
        while process.said().count("Registered to:") < WORKERS:  # so that others are there when one is killed
            if process.wait(0.05) is not None:
                raise RuntimeError(f"there are no workers: {process.said()}")
        self.address = json.loads(self._file.read_text())["address"]

    def lose(self, what: str, rng: random.Random) -> None:
        """Kill a worker, or the scheduler."""
        if what == "scheduler":
            self._processes[what].stop(signal.SIGKILL)
        else:
            rng.choice(self._workers()).kill()

    def end(self) -> None:
        """Kill them all."""
        workers = self._workers() if self._processes else []
        for process in self._processes.values():
            process.stop(signal.SIGKILL)
        for each in workers:
            each.kill()
        self._processes.clear()
        self._file.unlink(missing_ok=True)

    def _start(self, name: str, *options: Any) -> None:
        """Start one of them."""
        where = ("--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0", "--scheduler-file", self._file)
        words = (sys.executable, "-m", "dask", name, *where, *map(str, options))
        self._processes[name] = children.spawn(words, self._aside / name)

    def _workers(self) -> list[psutil.Process]:
        """Return the processes of the workers."""
        found = psutil.process_iter(["ppid", "cmdline"])
        ours = [each for each in found if each.info["ppid"] == self._processes["worker"].pid]
        return [each for each in ours if "--multiprocessing-fork" in (each.info["cmdline"] or ())]


class Trial(NamedTuple):
    """A run that is disturbed: what it writes, with which options, who called, and what is killed."""

    kind: str
    options: tuple[str, ...]
    caller: str
    victim: str | signal.Signals


def run(trials: int, seed: int) -> Iterator[Outcome]:
    """Kill processes of a cluster, or those that call it.

    Parameters
    ----------
    trials : int
        How many.
    seed : int
        The same seed gives the same moments.

    Yields
    ------
    Outcome
        What came of each.
    """
    rng = random.Random(seed)
    plan = [Trial(*made, *how) for made, *how in itertools.product(TARGETS, CALLERS, VICTIMS)]
    with inputs() as aside:
        cluster = Cluster(aside)
        try:
            for at in range(trials):
                yield _disturbed(cluster, aside, plan[STRIDE * at % len(plan)], rng)
        finally:
            cluster.end()


def _disturbed(cluster: Cluster, aside: Path, trial: Trial, rng: random.Random) -> Outcome:
    """Disturb a run, and see what is left of it then and after the next."""
    (kind, options, caller, victim), command = trial, trial.caller == "command"
    row = f"{caller}, {victim.name if isinstance(victim, signal.Signals) else f'{victim} killed'}"
    old = rng.choice([None, old_of(kind, aside)])
    job = Job(kind, aside / "here", aside, old, chunks=CHUNKS)
    while True:  # until it is disturbed before it ends by itself
        cluster.begin()
        job.options = ("--scheduler", cluster.address, *options)
        job.reset()
        child = job.start() if command else _script(job)
        if child.wait(rng.uniform(0, 1.5 * job.seconds)) is None:
            break
        if child.code != 0:
            return Outcome(row, [], [f"failed undisturbed: {child.said()}"])
    phase = child.phase() if command else "a script"
    known = {0: ANYTHING}
    if isinstance(victim, signal.Signals):
        child.stop(victim)
        known = ends(victim, not command or phase in ("starting", "ending"))
    elif victim == "scheduler":
        cluster.lose(victim, rng)
        child.end(60)
        known |= {6: LINE} if command else {1: FAILED}
    else:
        cluster.lose(victim, rng)
        child.finish()
    time.sleep(QUIET)
    # Nothing cleans up after KILL, nor after TERM in a script that does not handle it.
    cleans_up = victim not in ((signal.SIGKILL,) if command else (signal.SIGKILL, signal.SIGTERM))
    kept = (KEPT,) if options else ()
    within = STOP if command and victim in SIGNALS else SLOW
    target, problems = job.judged(child, known, kept=kept if cleans_up else job.left(), within=within)
    if job.left():
        cluster.begin()
        job.options = ("--scheduler", cluster.address, *options)
        problems += job.again()
    words = [f"in {phase}", f"exit code {child.code}", f"target {target.partition(':')[0]}"]
    said = [f"{' '.join((kind, *options))} in {phase}: {each}" for each in problems]
    return Outcome(row, words, said, child.seconds)


def _script(job: Job) -> children.Child:
    """Start the job as a script, and wait until it has imported everything."""
    _, address, *resume = job.options
    level, times = KINDS[job.kind][-1], job.chunks.partition(":")[2]
    words = (sys.executable, "-c", SCRIPT, address, job.aside / job.source, job.target, times, level, *resume)
    child = children.spawn(words, job.aside / "stderr-script")
    while "ready" not in child.said() and child.wait(0.02) is None:
        pass
    return child
