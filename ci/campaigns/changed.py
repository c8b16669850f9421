"""Inputs that change while they are read: exit code 7, nothing is written; links to them as target."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

from . import children
from .jobs import ANYTHING, LINE, Job, inputs
from .outcomes import Outcome

WAYS = ("touched", "replaced", "rewritten", "cut off", "removed")


def run(trials: int, seed: int) -> Iterator[Outcome]:
    """Change inputs at random moments of a run.

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
    with inputs() as aside:
        shutil.copy2(aside / "in.nc", aside / "kept.nc")
        job = Job("netCDF4, raw", aside / "here", aside)
        seconds = job.seconds  # while the input is what it was
        for at in range(trials):
            way = WAYS[at % len(WAYS)]
            (aside / "in.nc").unlink(missing_ok=True)
            shutil.copy2(aside / "kept.nc", aside / "in.nc")
            job.reset()
            child = job.start()
            while child.poll() is None and child.phase() in ("starting", "reading"):
                child.wait(0.002)
            child.wait(rng.uniform(0, 0.5) * seconds)
            phase = child.phase()
            if child.poll() is None:
                _change(aside, way)
            code = child.finish()
            ends = {7: LINE} | ({0: ANYTHING} if phase in ("publishing", "ending") else {})
            _, problems = job.judged(child, ends, failed=("absent",))
            said = [f"in {phase}: {each}" for each in problems]
            yield Outcome(f"input {way}", [f"exit code {code} in {phase}"], said)


def _change(aside: Path, way: str) -> None:
    """Change the input."""
    path = aside / "in.nc"
    if way == "touched":
        os.utime(path)
    elif way == "replaced":  # by one of the same size and time, under the same name
        shutil.copyfile(aside / "other.nc", aside / "new.nc")
        shutil.copystat(path, aside / "new.nc")
        os.replace(aside / "new.nc", path)
    elif way == "rewritten":
        shutil.copyfile(aside / "other.nc", path)
    elif way == "cut off":
        os.truncate(path, path.stat().st_size // 2)
    else:
        path.unlink()


def links(trials: int, seed: int) -> Iterator[Outcome]:
    """Have the target be the input, under other names."""
    with inputs(3) as aside:
        source = aside / "in.nc"
        content = source.read_bytes()
        (aside / "symbolic.nc").symlink_to(source)
        (aside / "hard.nc").hardlink_to(source)
        (aside / "folder").symlink_to(aside)
        (aside / "chain.nc").symlink_to(aside / "folder" / "symbolic.nc")
        names = ("in.nc", "symbolic.nc", "hard.nc", "folder/in.nc", "folder/hard.nc", "chain.nc")
        for given in names:
            for target in names:
                arguments = ("compute", aside / given, "-o", aside / target, "-d", "lat", "--overwrite")
                child = children.start(arguments, aside / "stderr")
                problems = []
                if child.finish() != 5 or "is the input" not in child.said():
                    problems.append(f"{given} to {target}: exit code {child.code}, {child.said()}")
                if source.read_bytes() != content:
                    problems.append(f"{given} to {target}: the input was changed")
                yield Outcome("targets that are the input", [f"exit code {child.code}"], problems)
