"""Inputs that are cut off or damaged: found when they are opened, or read; nothing is written."""

from __future__ import annotations

import os
import random
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import xarray as xr

from xgrad.errors import InputError
from xgrad.storage.intact import check_whole

from . import children
from .jobs import Job, dataset
from .outcomes import Outcome

CHUNKS = ("0", *(f"{at}.0.0" for at in range(6)))  # what they are called in stores
CLASSIC = ("NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA")
# Versions of the library that HDF5 may use, each with a superblock of its own: 0, 2 and 3.
LIBVER = (("earliest", "v108"), ("v108", "v108"), ("v110", "v110"))


def run(cuts: int, seed: int) -> Iterator[Outcome]:
    """Cut files off at many places, and damage others.

    Parameters
    ----------
    cuts : int
        How many of each file; of classic ones every cut within 2 kB of either end comes on top.
    seed : int
        The same seed gives the same files and cuts.

    Yields
    ------
    Outcome
        What came of each.
    """
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        for name, made in chain(_classic(Path(place), rng), _hdf5(Path(place))):
            yield from _cut(name, made, cuts, rng)
        yield from _damaged(Path(place), max(cuts // 10, 3), rng)


def _classic(place: Path, rng: random.Random) -> Iterator[tuple[str, Path]]:
    """Make classic files: without records, with a single variable of records, with several, of odd sizes."""
    for form in CLASSIC:
        for records in (0, 1, 3):
            path = place / "classic.nc"
            with netCDF4.Dataset(path, "w", format=form) as file:
                file.createDimension("time", None)
                file.createDimension("x", rng.randrange(3, 40))
                file.setncattr("title", "x" * rng.randrange(1, 9))
                file.createVariable("fixed", "i1", ("x",))[:] = 1
                for at in range(records):
                    kind = rng.choice(["i1", "i2", "f4", "f8"])
                    file.createVariable(f"v{at}", kind, ("time", "x"))[: rng.randrange(1, 30)] = 7
            yield f"{form}, {records} with records", path


def _hdf5(place: Path) -> Iterator[tuple[str, Path]]:
    """Make netCDF-4 files, and HDF5 files with each kind of superblock."""
    values = np.arange(30_000.0).reshape(30, 1000)
    path = place / "new.nc"
    xr.Dataset({"v": (("y", "x"), values)}).to_netcdf(path)
    yield "NETCDF4", path
    for libver in LIBVER:
        path = place / "hdf5.nc"
        with h5py.File(path, "w", libver=libver) as file:
            file["v"] = values
        yield f"HDF5, superblock {path.read_bytes()[8]}", path


def _cut(name: str, path: Path, cuts: int, rng: random.Random) -> Iterator[Outcome]:
    """Cut one file off at many places."""
    content = path.read_bytes()
    with netCDF4.Dataset(path) as file:
        file.set_auto_mask(False)
        whole = {key: var[...] for key, var in file.variables.items()}
    check_whole(path)
    size, places = len(content), {rng.randrange(len(content)) for _ in range(cuts)}
    if content[:3] == b"CDF":
        places |= {*range(min(2048, size)), *range(max(size - 2048, 0), size)}
    for at in sorted(places - {0}, reverse=True):
        os.truncate(path, at)
        try:
            check_whole(path)
        except InputError:
            yield Outcome(name, ["found"], [])
            continue
        if at >= 8 and not _same(path, whole):
            yield Outcome(name, [], [f"{at} of {size} bytes were taken for all"])
        else:
            yield Outcome(name, ["lost nothing but padding" if at >= 8 else "no longer of any format"], [])
    path.write_bytes(content)


def _same(path: Path, whole: dict[str, Any]) -> bool:
    """Whether a file has all the values of a whole one: then nothing but padding was lost."""
    size = path.stat().st_size
    with netCDF4.Dataset(path) as file:
        file.set_auto_mask(False)
        same = all(np.array_equal(file[key][...], values) for key, values in whole.items())
    # netCDF reads what is beyond the end as zeros, and no value of these files is zero.
    return same and path.stat().st_size == size


def _damaged(place: Path, trials: int, rng: random.Random) -> Iterator[Outcome]:
    """Damage inputs for the command: exit code 3 that names them, whichever library reads."""
    ds, chunks = dataset(6), (1, 180, 360)
    packed = {"t": {"zlib": True, "chunksizes": chunks, "fletcher32": True}}
    stored = {"t": {"chunks": chunks}}
    writers: dict[str, tuple[str, Callable[[Path], Any]]] = {
        "netCDF4": ("in.nc", lambda path: ds.to_netcdf(path, encoding=packed)),
        "Zarr 3": (
            "in.zarr",
            lambda path: ds.to_zarr(path, encoding=stored, zarr_format=3, consolidated=False),
        ),
        "Zarr 2": ("in.zarr", lambda path: ds.to_zarr(path, encoding=stored, zarr_format=2)),
    }
    for kind, (name, write) in writers.items():
        path, job = place / name, Job("netCDF4", place / "here", place, source=name)
        for at in range(trials):
            shutil.rmtree(path, ignore_errors=True)
            children.apart(lambda path=path, write=write: str(write(path))[:0])
            how = _damage(path, rng, at)
            job.reset()
            child = job.start()
            child.finish()
            _, problems = job.judged(child, {3: f".*{re.escape(str(path))}.*\n"}, failed=("absent",))
            yield Outcome(f"damaged {kind}", ["found, named"], [f"{how}: {each}" for each in problems])


def _damage(path: Path, rng: random.Random, trial: int) -> str:
    """Damage a file or a store somewhere in its data; say how."""
    if path.is_file():
        with h5py.File(path, "r") as file:
            dataset = file["t"].id
            chunk = dataset.get_chunk_info(rng.randrange(dataset.get_num_chunks()))
        with open(path, "r+b") as stream:
            at = chunk.byte_offset + rng.randrange(chunk.size)
            stream.seek(at)
            byte = stream.read(1)[0]
            stream.seek(at)
            stream.write(bytes([byte ^ (1 << rng.randrange(8))]))
        return f"bit flipped at {at}"
    found = sorted(each for each in (path / "t").rglob("*") if each.name in CHUNKS and each.is_file())
    chunk = rng.choice(found)
    content = chunk.read_bytes()
    if trial % 2:
        chunk.write_bytes(content[: rng.randrange(len(content))])
        return f"{chunk.name} cut off"
    chunk.write_bytes(rng.randbytes(len(content)))
    return f"{chunk.name} overwritten"
