"""The jobs that are disturbed, and what their targets must look like afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from dataclasses import dataclass, field
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


def make_source(path: Path, times: int = 24, seed: int = 0) -> None:
    """Write an input file: a field with noise, of 0.25 MB a time."""
    rng = np.random.default_rng(seed)
    lat, lon = np.linspace(-89.5, 89.5, 180), np.arange(360.0)
    wave = np.cos(np.deg2rad(lat))[:, None] * np.sin(np.deg2rad(3 * lon))
    values = 280 + 20 * wave + rng.normal(size=(times, 180, 360))
    ds = xr.Dataset(
        {"t": (("time", "lat", "lon"), values.astype(np.float32), {"units": "K"})},
        {
            "time": ("time", np.arange(float(times)), {"units": "days since 2000-01-01"}),
            "lat": ("lat", lat, {"units": "degrees_north"}),
            "lon": ("lon", lon, {"units": "degrees_east"}),
        },
    )
    ds.to_netcdf(path)


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
    """

    kind: str
    folder: Path
    aside: Path
    old: Path | None = None
    options: tuple[str, ...] = ()
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

    def arguments(self, target: Path | None = None) -> list[Any]:
        """Return what follows the name of the command."""
        source, (_, *how) = self.aside / "in.nc", KINDS[self.kind]
        words = ["compute", source, "-o", target or self.target, "-d", "lat,lon", "--chunks", self.chunks]
        return [*words, *how, "--overwrite", "--workers", "2", *self.options]

    def start(self, before: Any = None) -> children.Child:
        """Start it."""
        return children.start(self.arguments(), self.aside / f"stderr-{os.getpid()}", before)

    def reset(self) -> None:
        """Have nothing in the folder but the old target."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        if self.old is not None and self.old.is_dir():
            shutil.copytree(self.old, self.target)
        elif self.old is not None:
            shutil.copy(self.old, self.target)

    def target_is(self, expected: Path) -> str:
        """Return what the target is: absent, old, new, or what is wrong with it."""
        if not os.path.lexists(self.target):
            return "absent" if self.old is None else "torn: the old target is gone"
        if self._digest is not None and digest(self.target) == self._digest:
            return "old"
        return children.apart(lambda: differences(self.target, expected)) or "new"

    def left(self) -> list[str]:
        """Return what else is in the folder."""
        return sorted(each.name for each in self.folder.iterdir() if each != self.target)


def expected_of(job: Job) -> tuple[Path, float]:
    """Make the target of an undisturbed run aside; return it, and how many seconds it took."""
    path = job.aside / f"expected {job.kind}{KINDS[job.kind][0]}"
    child = children.start(job.arguments(path), job.aside / "stderr-expected")
    if child.finish() != 0:
        raise RuntimeError(f"an undisturbed run failed: {child.said()}")
    return path, time.monotonic() - child.began


def differences(path: Path, expected: Path) -> str:
    """Return in what a file or a store differs from another one, its date apart."""
    options: dict[str, Any] = {"decode_cf": False, "engine": "zarr" if path.is_dir() else "netcdf4"}
    if path.is_dir():
        options["consolidated"] = False
    with xr.open_dataset(path, **options) as found, xr.open_dataset(expected, **options) as known:
        for ds in (found, known):
            ds.attrs.pop("history")
            ds.load()
        return "" if found.identical(known) else f"torn: it is\n{found}\nand not\n{known}"


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
