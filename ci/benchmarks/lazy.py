"""Chunked arrays: time and memory with threads, size of the graph, traffic between workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import xarray as xr
from dask.base import collections_to_expr
from numpy.typing import NDArray

import xgrad  # noqa: F401  # the accessor

from .contest import Case, Contest, Metrics, alone, cost, disagreements
from .fields import positions

_DIMS = ("z", "y", "x")
_TASKS, _GRAPH, _MOVED = "tasks per chunk", "ms per chunk", "moved / read"
_CHUNK = {"toy": 16, "small": 96, "full": 192}
_SMALL_CHUNK = {"toy": 8, "small": 48, "full": 96}  # for two workers
_BLOCKS = {"toy": 3, "small": 6, "full": 12}  # along each axis, for the graph


class _Nowhere:
    """A target that keeps nothing."""

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


def source(chunk: Sequence[int], blocks: int) -> xr.DataArray:
    """Return a cheap float32 array, made block by block."""
    shape = tuple(n * blocks for n in chunk)
    grid = tuple((n,) * blocks for n in chunk)
    array = da.map_blocks(_block, chunks=grid, dtype="float32", meta=np.empty((0, 0, 0), "float32"))
    return xr.DataArray(
        array, {dim: positions(n, False) for dim, n in zip(_DIMS, shape, strict=True)}, name="f"
    )


def _block(block_info: Any) -> NDArray[np.float32]:
    """Return a block of a field that differs from point to point and block to block."""
    z, y, x = (np.arange(*ends, dtype="float32") for ends in block_info[None]["array-location"])
    return np.add.outer(np.add.outer(np.sin(z / 4), np.sin(y / 6)), np.sin(x / 8))


METHODS: dict[str, Callable[[xr.DataArray, Sequence[str]], list[Any]]] = {
    "xgrad": lambda f, dims: [each.data for each in f.grad.compute(dims=dims).values()],
    "xgrad, skipna=False": lambda f, dims: [
        each.data for each in f.grad.compute(dims=dims, skipna=False).values()
    ],
    "dask.array.gradient": lambda f, dims: [
        da.gradient(f.data, 0.25, axis=f.dims.index(dim)) for dim in dims
    ],
    "xarray": lambda f, dims: [f.differentiate(dim).data for dim in dims],
    "floor": lambda f, dims: [da.map_blocks(np.copy, f.data, name=f"copy-{dim}") for dim in dims],
}


def wrong(dims: Sequence[str]) -> dict[str, str]:
    """Compare all methods on a small array of many blocks."""
    f = source((8, 8, 8), 3)
    results = {
        name: partial(dask.compute, *method(f, dims), scheduler="synchronous")
        for name, method in METHODS.items()
        if name != "floor"
    }
    return disagreements(results, "xgrad", margin=1, tolerance=1e-5)


def _store(size: str, method: str, dims: Sequence[str]) -> None:
    """Compute derivatives with threads and drop them."""
    chunk = _CHUNK[size]
    arrays = METHODS[method](source((chunk,) * 3, 4), dims)
    da.store(arrays, [_Nowhere()] * len(arrays), lock=False, scheduler="threads")


def _threads(size: str, folder: Path, *, dims: Sequence[str]) -> Contest:
    """Time and memory, each contestant in a process of its own."""
    chunk = _CHUNK[size]
    return Contest(
        work=f"{_count(dims)} of {4 * chunk}³ float32 in chunks of {chunk}³; floor: copies through Dask",
        measures={name: partial(alone, cost, _store, size, name, dims) for name in METHODS},
        disagreements=partial(wrong, dims),
        warm=False,
    )


def _graph(size: str, folder: Path, *, dims: Sequence[str]) -> Contest:
    """Tasks after optimisation, without the source's own, and the time until they are there."""
    blocks = _BLOCKS[size]
    f = source((8, 8, 8), blocks)

    def measure(method: str) -> Metrics:
        started = time.perf_counter()
        # As dask.compute does it; dask.optimize would optimise the arrays one by one.
        tasks = collections_to_expr(METHODS[method](f, dims)).optimize().__dask_graph__()
        seconds = time.perf_counter() - started
        own = sum(not (isinstance(key, tuple) and key[0] == f.data.name) for key in tasks)
        return {_TASKS: own / blocks**3, _GRAPH: seconds * 1e3 / blocks**3}

    return Contest(
        work=f"graph of {_count(dims)}, {blocks}³ chunks; floor: copies",
        measures={name: partial(measure, name) for name in METHODS},
        disagreements=partial(wrong, dims),
    )


def _count(dims: Sequence[str]) -> str:
    """Say how many axes."""
    return f"{len(dims)} {'axis' if len(dims) == 1 else 'axes'}"


def moved(size: str, method: str) -> Metrics:
    """Measure what two workers send each other."""
    import logging

    from distributed import Client, LocalCluster

    def store(size: str) -> int:
        f = source((_SMALL_CHUNK[size],) * 3, 4)
        arrays = METHODS[method](f, _DIMS)
        da.store(arrays, [_Nowhere()] * len(arrays), lock=False)
        return f.nbytes

    settings = {"distributed.admin.low-level-log-length": 10**6}  # so that no transfer is forgotten
    workers = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        dask.config.set(settings),
        LocalCluster(
            silence_logs=logging.CRITICAL, **workers
        ) as cluster,  # they complain when they are closed
        Client(cluster) as client,
    ):
        store("toy")  # both have imported everything then, and take equal shares
        before = sum(client.run(_received).values())
        read = store(size)
        return {_MOVED: (sum(client.run(_received).values()) - before) / read}


def _received(dask_worker: Any) -> int:
    """Sum what a worker got from others; sizes are those in memory."""
    return sum(transfer["total"] for transfer in dask_worker.transfer_incoming_log)


def _workers(size: str, folder: Path) -> Contest:
    """Traffic between two worker processes."""
    chunk = _SMALL_CHUNK[size]
    methods = ("xgrad, skipna=False", "dask.array.gradient")
    return Contest(
        work=f"two workers, 3 axes of {4 * chunk}³ float32 in chunks of {chunk}³",
        measures={name: partial(alone, moved, size, name) for name in methods},
        disagreements=partial(wrong, _DIMS),
        reference="xgrad, skipna=False",
        warm=False,
    )


_SOME = (("x",), ("y", "x"), _DIMS)

CASES = (
    *(Case("dask", f"threads, {_count(dims)}", partial(_threads, dims=dims)) for dims in _SOME),
    *(Case("dask", f"graph, {_count(dims)}", partial(_graph, dims=dims)) for dims in _SOME),
    Case("distributed", "two workers", _workers),
)
