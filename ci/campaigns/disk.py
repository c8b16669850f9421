"""Full disks: exit code 6 and one line, nothing left, the old target as it was."""

from __future__ import annotations

import os
import random
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .jobs import ANYTHING, KINDS, Job, inputs, old_of
from .outcomes import Outcome


def run(trials: int, seed: int) -> Iterator[Outcome]:
    """Let disks be full at many sizes.

    Parameters
    ----------
    trials : int
        How many of each kind of file and of limit; each second time there is an old target.
    seed : int
        The same seed gives the same sizes.

    Yields
    ------
    Outcome
        What came of each.
    """
    rng = random.Random(seed)
    with inputs() as aside, _small_disk(aside / "disk") as disk:
        for kind in KINDS:
            for at in range(trials):
                old = old_of(kind, aside) if at % 2 else None
                for place in (aside, disk):
                    if place is not None:
                        job = Job(kind, place / "here", aside, old)
                        yield _filled(job, disk if place is disk else None, rng.uniform(0, 0.95))


def _filled(job: Job, disk: Path | None, part: float) -> Outcome:
    """Have room for a part of the result, on a disk or in any file."""
    job.reset()
    sizes = [each.stat().st_size for each in (job.expected, *job.expected.rglob("*")) if each.is_file()]
    if disk is None:
        child = job.start(_limited(int(part * max(sizes))))
    else:
        child = job.start(_leave(disk, int(part * sum(sizes))))
    code = child.finish()
    if disk is not None:
        (disk / "ballast").unlink(missing_ok=True)
    crashed = code < 0 and job.kind == "h5netcdf"  # its C library: the next run sweeps
    known = {0: ANYTHING, 6: "(.*warning.*\n)*.*needs.*free.*\n"} | ({code: ANYTHING} if crashed else {})
    _, problems = job.judged(child, known, failed=("absent", "old"), kept=job.left() if crashed else ())
    if crashed:
        problems += job.again()
    row = f"{job.kind:12} {'a limit of the size' if disk is None else 'a small disk'}"
    return Outcome(row, ["had enough" if code == 0 else f"exit code {code}"], problems)


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
