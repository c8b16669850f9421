"""What a run will read, compute and write, as a value: how it is shown, and as a dictionary."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from xgrad import display
from xgrad.labels import plain
from xgrad.plans import Plan
from xgrad.storage import budget, formats, intact, reading, running
from xgrad.storage.budget import Memory
from xgrad.storage.encoding import Settings, prepared
from xgrad.storage.raw import default_codec, raw_variables

_SHOWN = 5  # files of a series
RAW = "raw chunks"


@dataclass(frozen=True, slots=True)
class Input:
    """A file or store that will be read.

    Attributes
    ----------
    path : str
        Where it is.
    format : str
        Its format.
    nbytes : int or None
        Its size; None of a URL.
    ways : dict
        By variable: "raw chunks", or what reads it and why.
    """

    path: str
    format: str
    nbytes: int | None
    ways: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Result:
    """A variable that will be written: its dimensions and their sizes, data type, and stored chunks."""

    name: str
    dims: Mapping[str, int]
    dtype: str
    chunks: tuple[int, ...] | None


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What a run will read, compute and write; nothing is said of the time that it takes.

    Attributes
    ----------
    inputs : tuple of Input
        What is read.
    plan : Plan
        What is computed.
    target : pathlib.Path
        Where results go.
    settings : Settings
        How they are stored.
    codec : str or None
        What compresses them; None if nothing does.
    results : tuple of Result
        What is written, but for coordinates.
    nbytes, free : int
        Bytes of all that is written, without compression; and bytes that are free there.
    blocks : dict
        Largest block along each dimension.
    count : int
        Blocks of all that is written.
    memory : Memory
        What each process holds at most.
    cluster : str or None
        Address of the scheduler; None where threads of this process compute.
    """

    inputs: tuple[Input, ...]
    plan: Plan
    target: Path
    settings: Settings
    codec: str | None
    results: tuple[Result, ...]
    nbytes: int
    free: int
    blocks: Mapping[str, int]
    count: int
    memory: Memory
    cluster: str | None

    @classmethod
    def of(
        cls,
        paths: Sequence[str],
        plan: Plan,
        result: xr.Dataset,
        target: Path,
        settings: Settings,
    ) -> Run:
        """Find out what a run will do.

        Parameters
        ----------
        paths : sequence of str
            What is read.
        plan : Plan
            The derivatives.
        result : xarray.Dataset
            The derivatives themselves, lazy.
        target : pathlib.Path
            Where they go.
        settings : Settings
            How they are stored.

        Returns
        -------
        Run
            All that is known before.
        """
        made = prepared(result, settings, None)
        lazy = {name: var for name, var in made.data_vars.items() if var.chunks is not None}
        blocks, client = budget.block_sizes(plan), running.cluster()
        names = [str(item.name) for item in plan.fields]
        return cls(
            inputs=tuple(_input(path, names) for path in paths),
            plan=plan,
            target=target,
            settings=settings,
            codec=_codec(settings),
            results=tuple(_result(name, var) for name, var in lazy.items()),
            nbytes=made.nbytes,
            free=shutil.disk_usage(target.parent).free,
            blocks={str(dim): size for dim, size in blocks.items()},
            count=sum(var.data.npartitions for var in made.variables.values() if var.chunks is not None),
            memory=budget.memory(plan, blocks, budget.workers()),
            cluster=None if client is None else client.scheduler.address,
        )

    def __repr__(self) -> str:
        return "\n".join(
            [
                display.text([_reading(self)], ()),
                repr(self.plan),
                display.text([_writing(self), display.Table("runs", (), _running(self))], ()),
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as numbers, words, lists and dictionaries, for JSON."""
        return {
            "reads": [asdict(each) for each in self.inputs],
            "computes": self.plan.to_dict(),
            "writes": {
                "path": os.fspath(self.target),
                **asdict(self.settings),
                "codec": self.codec,
                "variables": [asdict(each) for each in self.results],
                "nbytes": self.nbytes,
                "free": self.free,
            },
            "blocks": {"sizes": dict(self.blocks), "count": self.count},
            "memory": asdict(self.memory) | {"block": self.memory.block, "total": self.memory.total},
            "cluster": self.cluster,
        }


def _input(path: str, names: Sequence[str]) -> Input:
    """Return how a file or store is read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they were said when it was opened
        engine = reading.way(path)["engine"]
        reasons = None if isinstance(engine, str) else raw_variables(path)
    if reasons is None:
        ways = dict.fromkeys(names, f"by {engine}")
    else:
        ways = {name: _way(reasons[name]) for name in names if name in reasons}
    return Input(path, _format(path, engine), nbytes(path), ways)


def nbytes(path: str) -> int | None:
    """Return the size of a file or of all files of a store."""
    place = intact.local(path)
    if place is None:
        return None
    files = [os.path.join(folder, name) for folder, _, names in os.walk(place) for name in names]
    return sum(map(os.path.getsize, files or [place]))


def _way(reason: str | None) -> str:
    """Return how a variable is read, for the reason why not raw."""
    return RAW if reason is None else f"by netcdf4, as {reason}"


def _format(path: str, engine: Any) -> str:
    """Return the format of an input in words."""
    if engine == "zarr":
        return "Zarr"
    place = intact.local(path)
    if place is None:
        return "netCDF"
    with open(place, "rb") as file:
        return {b"CDF": "netCDF-3", b"\x89HD": "netCDF-4"}.get(file.read(3), "netCDF")


def _result(name: Hashable, array: xr.DataArray) -> Result:
    """Return how a variable is stored."""
    encoding = array.encoding
    return Result(
        name=str(name),
        dims={str(dim): size for dim, size in array.sizes.items()},
        dtype=str(array.dtype),
        chunks=encoding.get("chunks", encoding.get("chunksizes")),
    )


def _codec(settings: Settings) -> str | None:
    """Return what compresses results."""
    level = settings.complevel
    if settings.format == "Zarr":
        return "its default" if level is None else "zstd" if level else None
    raw = formats.is_raw(settings)
    return None if not level else settings.codec or default_codec() if raw else "hdf5"


def _stored(settings: Settings, codec: str | None) -> str:
    """Return how results are stored, in words."""
    zarr, level = settings.format == "Zarr", settings.complevel
    if codec is None:
        how = "not compressed"
    elif zarr:
        how = "compressed as it does by itself" if level is None else f"Zstandard {level} with shuffle"
    else:
        how = (
            f"deflate {level} with shuffle, {'one chunk at a time' if codec == 'hdf5' else 'in the threads'}"
        )
        how += f" by {codec}"
    return f"Zarr {settings.zarr_format}, {how}" if zarr else f"netCDF-4 by {settings.engine}, {how}"


def _reading(run: Run) -> display.Table:
    """Return the table of what is read."""
    rows = [
        {
            "file": plain(each.path),
            "format": each.format,
            "size": "" if each.nbytes is None else display.size(each.nbytes),
        }
        for each in run.inputs[:_SHOWN]
    ]
    notes = []
    if len(run.inputs) > _SHOWN:
        rest = run.inputs[_SHOWN:]
        notes.append(f"and {len(rest)} more, {display.size(sum(each.nbytes or 0 for each in rest))}")
    ways = {name: way for each in run.inputs for name, way in each.ways.items() if way != RAW}
    raw = {name: RAW for each in run.inputs for name in each.ways}
    return display.Table("reads", rows, notes + [f"{name}: {way}" for name, way in (raw | ways).items()])


def _writing(run: Run) -> display.Table:
    """Return the table of what is written."""
    rows = [
        {
            "variable": plain(each.name),
            "dtype": each.dtype,
            "sizes": _sizes(each.dims),
            "stored chunks": "" if each.chunks is None else " x ".join(map(str, each.chunks)),
        }
        for each in run.results
    ]
    space = f"{display.size(run.nbytes)} without compression; {display.size(run.free)} are free there"
    return display.Table(f"writes {plain(run.target)}", rows, [_stored(run.settings, run.codec), space])


def _running(run: Run) -> list[str]:
    """Return how blocks are worked at, and the memory that takes."""
    one = run.memory
    threads = f"{one.workers} {'thread' if one.workers == 1 else 'threads'}"
    where = f"on {threads}" if run.cluster is None else f"on the cluster {run.cluster}, {threads} a worker"
    parts = {"read": one.read, "of neighbours": one.halo, "of the grid": one.grid, "of results": one.results}
    block = " + ".join(f"{display.size(nbytes)} {what}" for what, nbytes in parts.items() if nbytes)
    fixed = display.size(budget.IMPORTS + budget.BESIDES)
    return [
        f"{run.count} blocks to write, of at most {_sizes(run.blocks)}, {where}",
        f"memory: at most {display.size(one.total)} = {fixed} + {2 * (one.workers + 1)} x ({block})",
    ]


def _sizes(dims: Mapping[str, int]) -> str:
    """Return sizes by dimension as they are written of a variable."""
    return f"({', '.join(f'{plain(dim)}: {size}' for dim, size in dims.items())})"
