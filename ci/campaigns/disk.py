"""Full disks: exit code 6 and one line, nothing left, the old target as it was."""

from __future__ import annotations

import os
import random
import resource
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .jobs import KINDS, Job, expected_of, make_source


def run(trials: int, seed: int) -> list[str]:
    """Let disks be full at many sizes; print a line for each kind of file and of limit.

    Parameters
    ----------
    trials : int
        How many of each kind.
    seed : int
        The same seed gives the same sizes.

    Returns
    -------
    list of str
        What was wrong.
    """
    rng, problems = random.Random(seed), list[str]()
    with tempfile.TemporaryDirectory() as place:
        aside = Path(place)
        make_source(aside / "in.nc")
        with _small_disk(aside / "disk") as disk:
            for kind in KINDS:
                job = Job(kind, aside / "before", aside)
                expected, _ = expected_of(job)
                size = _size(expected)
                problems += _trials(kind, aside, trials, "a limit of the size of files", rng, expected, None)
                if disk is not None:
                    problems += _trials(kind, aside, trials, "a small disk", rng, expected, (disk, size))
    return problems


def _trials(
    kind: str,
    aside: Path,
    trials: int,
    limit: str,
    rng: random.Random,
    expected: Path,
    small: tuple[Path, int] | None,
) -> list[str]:
    """Fill up disks for one kind; each second time there is an old target."""
    problems, codes = list[str](), Counter[int]()
    for at in range(trials):
        old = expected if at % 2 else None
        job = Job(kind, small[0] / "here" if small else aside / "here", aside, old)
        job.reset()
        if small:
            full = rng.uniform(0, 0.95) * small[1]
            child = job.start(_leave(small[0], int(full)))
        else:
            largest = max(each.stat().st_size for each in _files(expected))
            child = job.start(_limited(int(rng.uniform(0, 0.95) * largest)))
        code = child.finish()
        codes[code] += 1
        if small:
            (small[0] / "ballast").unlink(missing_ok=True)
        wrong = _judge(job, code, child.said(), expected)
        problems += [f"{kind}, {limit}, trial {at}: {each}" for each in wrong]
    said = ", ".join(f"{_name(code)} {count}" for code, count in sorted(codes.items()))
    print(f"{kind:12} {limit:28} {trials:3} trials: {len(problems)} problems; {said}", flush=True)
    return problems


def _judge(job: Job, code: int, said: str, expected: Path) -> list[str]:
    """Return what is wrong after a run without enough space."""
    problems = []
    target = job.target_is(expected)
    if code != 0 and target != ("absent" if job.old is None else "old"):
        problems.append(f"exit code {code}, and the target is {target}")
    if code == 6:
        lines = [line for line in said.splitlines() if "warning" not in line]
        if len(lines) != 1 or "needs" not in said or "free" not in said:
            problems.append(f"said {said!r}")
        if job.left():
            problems.append(f"left behind: {job.left()}")
    elif code < 0 and job.kind == "h5netcdf":  # its C library crashed: the next run sweeps
        child = job.start()
        if child.finish() != 0 or job.left():
            problems.append(f"not swept after {code}: {job.left()}, {child.said()}")
    elif code != 0:
        problems.append(f"exit code {code}: {said}")
    elif target not in ("new", "old"):
        problems.append(f"done, but the target is {target}")
    return problems


def _limited(size: int) -> Callable[[], None]:
    """Return what has files of the process end at a size."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def _leave(disk: Path, size: int) -> Callable[[], None]:
    """Return what takes all space of a disk but for a part, once the run has found that there is enough."""

    def fill() -> None:
        from xgrad.storage import writing

        enter = writing.private_folder

        def filled(*args: object, **options: object) -> object:
            free = shutil.disk_usage(disk).free
            with open(disk / "ballast", "wb") as file:
                os.posix_fallocate(file.fileno(), 0, max(free - size, 1))
            return enter(*args, **options)

        writing.private_folder = filled

    return fill


@contextmanager
def _small_disk(place: Path) -> Iterator[Path | None]:
    """Mount a disk of 64 MB where root is allowed to."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", place]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        print("no small disk: mount is not allowed here", flush=True)
        yield None
        return
    try:
        yield place
    finally:
        for _ in range(50):
            if subprocess.run(["umount", place], check=False, capture_output=True).returncode == 0:
                break
            time.sleep(0.1)


def _files(path: Path) -> list[Path]:
    """Return the files of a target."""
    return [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]


def _size(path: Path) -> int:
    """Return the bytes of a target."""
    return sum(each.stat().st_size for each in _files(path))


def _name(code: int) -> str:
    """Return an exit code in words."""
    return {0: "had enough", 6: "exit code 6"}.get(code, f"exit code {code}")
