"""Inputs that change while they are read: exit code 7, nothing is written; links to them as target."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from . import children
from .jobs import Job, expected_of, make_source

WAYS = ("touched", "replaced", "rewritten", "cut off", "removed")


def run(trials: int, seed: int) -> list[str]:
    """Change inputs at random moments of a run; print a line for each way.

    Parameters
    ----------
    trials : int
        How many.
    seed : int
        The same seed gives the same moments.

    Returns
    -------
    list of str
        What was wrong.
    """
    rng, problems = random.Random(seed), list[str]()
    codes: dict[str, Counter[str]] = {way: Counter() for way in WAYS}
    with tempfile.TemporaryDirectory() as place:
        aside = Path(place)
        make_source(aside / "in.nc")
        make_source(aside / "other.nc", seed=1)
        shutil.copy2(aside / "in.nc", aside / "kept.nc")
        job = Job("netCDF4, raw", aside / "here", aside)
        expected, seconds = expected_of(job)
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
            codes[way][f"{code} in {phase}"] += 1
            target = job.target_is(expected)
            if code == 7:
                right = target == "absent" and not job.left() and child.said().count("\n") == 1
            else:  # it was done before
                right = code == 0 and target == "new" and phase in ("publishing", "ending")
            if not right:
                problems.append(f"{way} in {phase}: exit code {code}, {target}, {job.left()}: {child.said()}")
    for way, found in codes.items():
        said = ", ".join(f"exit code {code} {count}" for code, count in sorted(found.items()))
        print(f"input {way:10} {found.total():3} trials: {said}", flush=True)
    return problems


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


def links(seed: int = 0) -> list[str]:
    """Have the target be the input, under other names; print a line."""
    problems: list[str] = []
    with tempfile.TemporaryDirectory() as place:
        aside = Path(place)
        source = aside / "in.nc"
        make_source(source, 3, seed)
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
                if child.finish() != 5 or "is the input" not in child.said():
                    problems.append(f"{given} to {target}: exit code {child.code}, {child.said()}")
        if source.read_bytes() != content:
            problems.append("the input was changed")
        print(f"{len(names) ** 2} targets that are the input: {len(problems)} not refused", flush=True)
    return problems
