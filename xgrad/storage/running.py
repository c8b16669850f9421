"""Write blocks with threads or on a cluster; nothing runs on once it failed or was interrupted."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from xgrad.errors import InputError, StorageError, XgradError

# A cluster is asked this often how far it is.
_PERIOD = 0.2

Place = tuple[int, ...]
Report = Callable[[int, int], None]
"""Takes how many blocks are written, and how many there are."""


class Target(Protocol):
    """What takes blocks; it travels to the workers of a cluster."""

    def __setitem__(self, region: tuple[slice, ...], block: Any) -> None: ...


class Journal(Protocol):
    """What remembers blocks that are written; it travels to the workers of a cluster."""

    def note(self, name: str, place: Place) -> None:
        """Remember a block."""


@dataclass(frozen=True, slots=True, eq=False)
class _Write:
    """The task of one block: it goes to its place in the target, and is remembered."""

    name: str
    target: Target
    starts: tuple[tuple[int, ...], ...]
    journal: Journal | None

    def __call__(self, block: Any, block_id: Place = ()) -> NDArray[np.bool_]:
        first = [starts[index] for starts, index in zip(self.starts, block_id, strict=True)]
        region = tuple(slice(low, low + size) for low, size in zip(first, block.shape, strict=True))
        try:
            self.target[region] = _plain(block)
        except (OSError, RuntimeError) as error:  # RuntimeError is what netCDF4 raises for a full disk
            raise StorageError(f"variable {self.name!r}: {error}") from error
        if self.journal is not None:
            self.journal.note(self.name, block_id)
        return np.ones((1,) * len(self.starts), np.bool_)


def _plain(block: Any) -> Any:
    """Return a block as files hold it: missing values of masked arrays as NaN."""
    return np.ma.filled(block, np.nan) if np.ma.isMaskedArray(block) else block


class _Writes:
    """All blocks that are still to be written, as a Dask collection."""

    def __init__(self, marks: Sequence[Any], wanted: Sequence[Any]) -> None:
        from dask.highlevelgraph import HighLevelGraph

        self._wanted = list(wanted)
        self._graph = HighLevelGraph.merge(*(each.dask for each in marks))

    def __dask_graph__(self) -> Any:
        return self._graph

    def __dask_keys__(self) -> list[Any]:
        return self._wanted

    def __dask_postcompute__(self) -> tuple[Any, tuple[Any, ...]]:
        return list, ()

    def __dask_postpersist__(self) -> tuple[Any, tuple[Any, ...]]:
        raise NotImplementedError  # nobody keeps them

    @staticmethod
    def __dask_optimize__(graph: Any, keys: Any, **options: Any) -> Any:
        import dask.array as da

        return da.Array.__dask_optimize__(graph, keys, **options)


def store(
    sources: Mapping[str, Any],
    targets: Mapping[str, Target],
    *,
    done: Iterable[tuple[str, Place]] = (),
    journal: Journal | None = None,
    report: Report | None = None,
) -> None:
    """Compute Dask arrays and put their blocks into targets, but for those that are done.

    Parameters
    ----------
    sources : mapping of str to dask.array.Array
        What to compute.
    targets : mapping of str to Target
        Where the blocks of each go.
    done : iterable of (str, tuple of int)
        Blocks that are there already.
    journal : Journal, optional
        What remembers the blocks that are written.
    report : callable, optional
        Called with the number of written blocks and the number of all, from the calling thread.
    """
    if not sources:
        return
    written = frozenset(done)
    marks, wanted, total = [], [], 0
    for name, array in sources.items():
        starts = tuple((0, *itertools.accumulate(along[:-1])) for along in array.chunks)
        mark = array.map_blocks(
            _Write(name, targets[name], starts, journal),
            dtype=np.bool_,
            chunks=tuple((1,) * len(along) for along in array.chunks),
            meta=np.empty((0,) * array.ndim, np.bool_),
            name=f"xgrad-write-{array.name}",
        )
        marks.append(mark)
        places = list(itertools.product(*map(range, array.numblocks)))
        total += len(places)
        wanted += [(mark.name, *place) for place in places if (name, place) not in written]
    if wanted:
        _compute(_Writes(marks, wanted), len(wanted), total, report)
    elif report is not None:
        report(total, total)


def cluster() -> Any | None:
    """Return the client of the cluster that Dask would use now, if any."""
    import dask

    chosen = dask.base.get_scheduler()
    client = getattr(chosen, "__self__", None)
    return client if hasattr(client, "scheduler_info") else None


def _compute(writes: _Writes, count: int, total: int, report: Report | None) -> None:
    """Compute the blocks, with threads that have ended when an error arrives, unless another way was chosen.

    Dask's own pool goes on with the tasks at hand while a file that they write to is closed. That made the
    file anew under its name, or crashed the process: in each of 4 runs of 300 writes, half of which failed
    (xarray 2025.7), and in none of 3 such runs with threads that have ended.
    """
    import dask

    chosen, client = dask.base.get_scheduler(), cluster()
    scheduler: Any = chosen
    watched: AbstractContextManager[Any] = nullcontext()
    if client is not None:
        scheduler = _Cluster(client, count, total, report)
    else:
        if chosen in (None, dask.threaded.get):
            scheduler = _threads
        if report is not None:
            watched = _counted(frozenset(writes.__dask_keys__()), count, total, report)
    try:
        with watched:
            dask.base.compute(writes, scheduler=scheduler)
    except XgradError:
        raise
    except (OSError, RuntimeError) as error:  # those of writing are StorageErrors
        if isinstance(error, OSError) or "NetCDF" in str(error) or "HDF" in str(error):
            raise InputError(f"reading failed: {error}; the input is damaged, or its disk is") from error
        raise


def _threads(graph: Any, keys: Any, **options: Any) -> Any:
    """Compute like dask.threaded, but end the threads."""
    import dask

    workers = (
        options.pop("num_workers", None) or dask.config.get("num_workers", None) or dask.system.CPU_COUNT
    )
    with ThreadPoolExecutor(workers) as pool:
        try:
            return dask.threaded.get(graph, keys, pool=pool, **options)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _counted(keys: frozenset[Any], count: int, total: int, report: Report) -> AbstractContextManager[Any]:
    """Report written blocks while a scheduler of this process is at work."""
    from dask.callbacks import Callback

    ended = itertools.count(total - count + 1)

    def posttask(key: Any, *_: Any) -> None:
        if key in keys:
            report(next(ended), total)

    report(total - count, total)
    callback: AbstractContextManager[Any] = Callback(posttask=posttask)
    return callback


@dataclass(frozen=True, slots=True, eq=False)
class _Cluster:
    """Compute on a cluster: the tasks go there, and only the news of their end comes back."""

    client: Any
    count: int
    total: int
    report: Report | None

    def __call__(self, graph: Any, keys: Any, **options: Any) -> Any:
        futures = self.client.get(graph, keys, sync=False)
        flat = list(_flattened(futures))
        try:
            while True:
                ended = sum(future.done() for future in flat)
                if self.report is not None:
                    self.report(self.total - self.count + ended, self.total)
                failed = next(
                    (future for future in flat if future.status in ("error", "cancelled", "lost")), None
                )
                if failed is not None:
                    failed.result()
                if ended == len(flat):
                    return self.client.gather(futures)
                time.sleep(_PERIOD)
        except BaseException:
            self.client.cancel(flat, force=True)
            raise


def _flattened(nested: Any) -> Iterator[Any]:
    """Go through nested lists."""
    if isinstance(nested, list | tuple):
        for each in nested:
            yield from _flattened(each)
    else:
        yield nested
