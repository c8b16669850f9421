"""The memory of a run: what a block weighs, what all threads hold, and the chunks with which it fits."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import xarray as xr

from xgrad import display
from xgrad.errors import XgradError
from xgrad.geometry import Layout
from xgrad.plans import Field, Plan
from xgrad.storage import running
from xgrad.storage.chunking import READ_BYTES, read_chunks

# Python with NumPy, xarray, Dask, netCDF4, h5py and a compiled kernel; measured 240 MB on Linux.
IMPORTS = 250 * 10**6
# Buffers of HDF5, tables of chunks, the graph.
BESIDES = 150 * 10**6
# Larger chunks make nothing faster, smaller ones are slower than their tasks.
_MOST, _LEAST = 128 * 2**20, 2**16

Sizes = Mapping[Hashable, int]


@dataclass(frozen=True, slots=True)
class Memory:
    """What a process of a run holds at most, in bytes.

    Attributes
    ----------
    read, halo, grid, results : int
        Of the heaviest block: what is read, what its neighbours lend, factors of its geometry, its results.
    workers : int
        Threads of the process; each of them, and the queue between them, may hold two blocks.
    """

    read: int
    halo: int
    grid: int
    results: int
    workers: int

    @property
    def block(self) -> int:
        """One block with all that belongs to it."""
        return self.read + self.halo + self.grid + self.results

    @property
    def total(self) -> int:
        """All of it."""
        return IMPORTS + BESIDES + 2 * (self.workers + 1) * self.block


def workers() -> int:
    """Return how many threads a process has that computes blocks."""
    import dask

    client = running.cluster()
    if client is not None:
        return max(client.nthreads().values(), default=1)
    return int(dask.config.get("num_workers", None) or dask.system.CPU_COUNT)


def memory(plan: Plan, sizes: Sizes, workers: int) -> Memory:
    """Return what a run holds with blocks of some sizes by dimension."""
    return max(
        (load.memory(sizes, workers) for load in _loads(plan)),
        key=lambda each: each.block,
        default=Memory(0, 0, 0, 0, workers),
    )


def block_sizes(plan: Plan) -> dict[Hashable, int]:
    """Return the size of the largest block along each dimension."""
    sizes: dict[Hashable, int] = {}
    for item in plan.fields:
        for dim, along in zip(item.dims, item.chunks or [(size,) for size in item.shape], strict=True):
            sizes[dim] = max(sizes.get(dim, 1), *along)
    return sizes


def chunks_within(limit: int, plan: Plan, ds: xr.Dataset, workers: int) -> dict[Hashable, int]:
    """Return the largest chunks with which a run keeps within a limit of memory.

    Parameters
    ----------
    limit : int
        Bytes that a process may take.
    plan : Plan
        The derivatives; its chunks do not matter.
    ds : xarray.Dataset
        What they are formed of.
    workers : int
        Threads of a process.

    Returns
    -------
    dict of dimension to int
        Chunk sizes, for `open`; of whole stored chunks where there are any.

    Raises
    ------
    XgradError
        If no chunks are small enough.
    """
    loads = list(_loads(plan))
    largest = max((var.nbytes for var in ds.data_vars.values()), default=0)
    # Few chunks would leave threads without work.
    most = min(_MOST, max(READ_BYTES, largest // (4 * workers)))
    while True:
        sizes = read_chunks(ds, {}, most)
        need = max((load.memory(sizes, workers).total for load in loads), default=0)
        if need <= limit:
            return sizes
        if most == _LEAST:
            least = display.size(math.ceil(need / 1e6) * 1e6)
            raise XgradError(
                f"{display.size(limit)} of memory are too little: with {workers} "
                f"{'thread' if workers == 1 else 'threads'} at least {least} are needed; allow that, or take "
                "fewer workers"
            )
        most = max(int(most * 0.75), _LEAST)


@dataclass(frozen=True, slots=True)
class _Load:
    """What blocks of one variable consist of: dimensions, bytes a point, and arrays of its geometry."""

    item: Field
    reach: Mapping[Hashable, int]
    factors: tuple[tuple[tuple[Hashable, ...], int], ...]

    def memory(self, sizes: Sizes, workers: int) -> Memory:
        """Return what a run holds that works on this variable."""
        item = self.item
        own = {dim: min(sizes[dim], size) for dim, size in zip(item.dims, item.shape, strict=True)}
        points = math.prod(own.values())
        read = points * _itemsize(item.dtype)
        lent = [
            min(2 * reach, size - own[dim]) / own[dim]
            for dim, size in zip(item.dims, item.shape, strict=True)
            if (reach := self.reach.get(dim, 0)) and own[dim]
        ]
        return Memory(
            read=read,
            halo=math.ceil(read * sum(lent)),
            grid=sum(math.prod(own.get(dim, 1) for dim in dims) * each for dims, each in self.factors),
            results=len(item.outputs) * points * _itemsize(item.result_dtype),
            workers=workers,
        )


def _loads(plan: Plan) -> Iterator[_Load]:
    """Return what blocks of each variable consist of."""
    for item in plan.fields:
        reach: dict[Hashable, int] = {}
        for output in item.outputs:
            for step in output.steps:
                dim = step.axis.dim
                reach[dim] = max(reach.get(dim, 0), step.reach(plan.options.skipna))
        yield _Load(item, reach, tuple(_factors(item, plan)))


def _factors(item: Field, plan: Plan) -> Iterator[tuple[tuple[Hashable, ...], int]]:
    """Return the dimensions and bytes a point of each array by which a geometry multiplies."""
    if item.frame is None or item.chunks is None:
        return
    layout = Layout(dict(zip(item.dims, item.chunks, strict=True)), plan.options)
    for factor in item.frame.parts(layout).factors.values():
        yield factor.dims, _itemsize(factor.dtype)


def _itemsize(dtype: Any) -> int:
    """Return the bytes of one value."""
    return int(getattr(dtype, "itemsize", 8))
