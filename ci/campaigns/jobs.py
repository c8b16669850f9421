"""The jobs that are disturbed, and what their targets must look like afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from . import children

# Each in turn.
KINDS: dict[str, tuple[str, ...]] = {
    "netCDF4": (".nc", "--codec", "hdf5", "--complevel", "1"),
    "netCDF4, raw": (".nc", "--codec", "zlib", "--complevel", "4"),
    "h5netcdf": (".nc", "--engine", "h5netcdf", "--codec", "hdf5", "--complevel", "1"),
    "Zarr": (".zarr", "--complevel", "5"),
    "Zarr 2": (".zarr", "--zarr-format", "2"),
}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
# Seconds within which a run has to stop.
STOP = 2.0
# What a run may say.
ANYTHING, LINE = "(?s:.*)", ".*\n"


def dataset(times: int = 24, seed: int = 0) -> xr.Dataset:
    """Return a field with noise, of 0.25 MB a time."""
    rng = np.random.default_rng(seed)
    lat, lon = np.linspace(-89.5, 89.5, 180), np.arange(360.0)
    wave = np.cos(np.deg2rad(lat))[:, None] * np.sin(np.deg2rad(3 * lon))
    values = 280 + 20 * wave + rng.normal(size=(times, 180, 360))
    return xr.Dataset(
        {"t": (("time", "lat", "lon"), values.astype(np.float32), {"units": "K"})},
        {
            "time": ("time", np.arange(float(times)), {"units": "days since 2000-01-01"}),
            "lat": ("lat", lat, {"units": "degrees_north"}),
            "lon": ("lon", lon, {"units": "degrees_east"}),
        },
    )


@contextmanager
def inputs(times: int = 24) -> Iterator[Path]:
    """Make a folder with an input, and another one of the same size."""
    with tempfile.TemporaryDirectory() as place:
        for seed, name in enumerate(("in.nc", "other.nc")):
            dataset(times, seed).to_netcdf(Path(place) / name)
        yield Path(place)


@dataclass
class Job:
    """A call of the command, in a folder of its own, and the result that it must have.

    Attributes
    ----------
    kind : str
        One of KINDS.
    folder : pathlib.Path
        Where the target is, and nothing else.
    aside : pathlib.Path
        Where the input, the expected target and messages are.
    old : pathlib.Path or None
        What is at the target before, if anything is.
    source : str
        The name of the input.
    """

    kind: str
    folder: Path
    aside: Path
    old: Path | None = None
    source: str = "in.nc"
    options: tuple[str, ...] = ("--workers", "2")
    chunks: str = "time:3"
    _digest: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.old is not None:
            self._digest = digest(self.old)

    @property
    def target(self) -> Path:
        """The target."""
        return self.folder / f"out{KINDS[self.kind][0]}"

    @property
    def expected(self) -> Path:
        """What an undisturbed run makes."""
        return undisturbed(self.kind, self.aside, chunks=self.chunks)[0]

    @property
    def seconds(self) -> float:
        """How long that takes."""
        return undisturbed(self.kind, self.aside, chunks=self.chunks)[1]

    def arguments(self, target: Path | None = None) -> list[Any]:
        """Return what follows the name of the command."""
        source, (_, *how) = self.aside / self.source, KINDS[self.kind]
        words = ["compute", source, "-o", target or self.target, "-d", "lat,lon", "--chunks", self.chunks]
        return [*words, *how, "--overwrite", *self.options]

    def start(self, before: Any = None) -> children.Child:
        """Start it."""
        return children.start(self.arguments(), self.aside / f"stderr-{os.getpid()}", before)

    def reset(self) -> None:
        """Have nothing in the folder but the old target."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        if self.old is not None:
            (shutil.copytree if self.old.is_dir() else shutil.copy)(self.old, self.target)

    def target_is(self) -> str:
        """Return what the target is: absent, old, new, or what is wrong with it."""
        if not os.path.lexists(self.target):
            return "absent" if self.old is None else "torn: the old target is gone"
        found = digest(self.target)
        if found == self._digest:
            return "old"
        if self.target.is_dir() and found == digest(self.expected):
            return "new"
        return children.apart(lambda: differences(self.target, self.expected)) or "new"

    def left(self) -> list[str]:
        """Return what else is in the folder."""
        return sorted(each.name for each in self.folder.iterdir() if each != self.target)

    def judged(
        self,
        child: children.Child,
        ends: Mapping[int, str],
        *,
        failed: Collection[str] = ("absent", "old", "new"),
        kept: Collection[str] = (),
        within: float = STOP,
    ) -> tuple[str, list[str]]:
        """Return what the target is after a run, and what is wrong.

        Parameters
        ----------
        child : Child
            The run, which has ended.
        ends : mapping of int to str
            The exit codes that it may have, with a pattern of what it says then.
        failed : collection of str
            What the target may be unless the exit code is 0.
        kept : collection of str
            What may be left beside it.
        within : float
            Seconds that it may take to stop.

        Returns
        -------
        (str, list of str)
            What it is, and what is wrong.
        """
        target, problems = self.target_is(), []
        if target not in (["new"] if child.code == 0 else failed):
            problems.append(f"exit code {child.code}, and the target is {target}")
        known = ends.get(child.finish())
        if known is None or not re.fullmatch(known, child.said()):
            problems.append(f"exit code {child.code}, and it said {child.said()!r}")
        if child.seconds > within:
            problems.append(f"stopped after {child.seconds:.2f} s")
        if set(self.left()) - set(kept):
            problems.append(f"left behind: {self.left()}")
        return target, problems

    def again(self) -> list[str]:
        """Have the next run do it all and sweep; return what was wrong with that."""
        before, child = self.left(), self.start()
        child.finish()
        return [f"in the run after {before}: {each}" for each in self.judged(child, {0: ANYTHING})[1]]


@cache
def undisturbed(kind: str, aside: Path, source: str = "in.nc", chunks: str = "time:3") -> tuple[Path, float]:
    """Make a target of an undisturbed run aside; return it, and how many seconds it took."""
    job = Job(kind, aside / "before", aside, source=source, chunks=chunks)
    path = aside / f"{kind} of {source}{KINDS[kind][0]}"
    child = children.start(job.arguments(path), aside / "stderr-undisturbed")
    if child.finish() != 0:
        raise RuntimeError(f"an undisturbed run failed: {child.said()}")
    return path, time.monotonic() - child.began


def old_of(kind: str, aside: Path) -> Path:
    """Return what can be at a target before: the derivatives of the other input."""
    return undisturbed(kind, aside, "other.nc")[0]


def ends(number: signal.Signals, unheard: bool) -> dict[int, str]:
    """Return the exit codes after a signal, with what is said: others where the command need not hear it."""
    if number is signal.SIGKILL:
        return {-number: ANYTHING, 0: ANYTHING}  # it may have ended at that very moment
    stopped = {128 + number: f"xgrad: stopped by {number.name}\n"}
    return stopped | ({-number: ANYTHING, 0: ANYTHING} if unheard else {})


def differences(path: Path, expected: Path) -> str:
    """Return in what a file or a store differs from another one, its date apart."""
    options: dict[str, Any] = {"decode_cf": False, "engine": "zarr" if path.is_dir() else "netcdf4"}
    if path.is_dir():
        options["consolidated"] = False
    with xr.open_dataset(path, **options) as found, xr.open_dataset(expected, **options) as known:
        for ds in (found, known):
            ds.attrs.pop("history", None)
            ds.load()
        same = found.identical(known) and all(
            found[name].values.tobytes() == var.values.tobytes() for name, var in known.variables.items()
        )
        return "" if same else f"torn: it is\n{found}\nand not\n{known}"


def digest(path: Path) -> str:
    """Return a number for all that is in a file or a folder, its date in a store apart."""
    made = hashlib.sha256()
    for each in [path] if path.is_file() else sorted(path.rglob("*")):
        made.update(f"{each.relative_to(path)}\n".encode())
        if each.name in ("zarr.json", ".zattrs", ".zmetadata"):
            made.update(json.dumps(_undated(json.loads(each.read_text()))).encode())
        elif each.is_file():
            made.update(each.read_bytes())
    return made.hexdigest()


def _undated(metadata: Any) -> Any:
    """Return metadata without the history in them."""
    if isinstance(metadata, dict):
        return {key: _undated(value) for key, value in metadata.items() if key != "history"}
    return metadata
