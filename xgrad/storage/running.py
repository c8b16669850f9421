"""Write blocks with threads or on a cluster; nothing runs on once it failed or was interrupted."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Container, Mapping, Sequence
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from xgrad.errors import InputError, StorageError, XgradError
from xgrad.storage import graphs
from xgrad.storage.graphs import Block, Place, Region

_log = logging.getLogger("xgrad")

# A task with its part of the graph, generously: 400 to 700 bytes were found.
_TASK_BYTES = 1000
# A cluster gets so many blocks at a time, some for each thread: of 10⁵ at once it began after 170 s.
_PORTION, _EACH = 1000, 10
# It is asked this often how far it is,
_PERIOD = 0.1
# and has this long to end the tasks at hand when the others are cancelled,
_PATIENCE = 1.5
# and before that to look through a portion.
_PATIENCE_LOOKING = 10.0

_TOO_HEAVY = "too little memory: take smaller chunks, or workers with fewer threads or more memory"

Report = Callable[[int, int], None]
"""Takes how many blocks are written, and how many there are."""
Ended = Callable[[list[Block]], Any]
"""Takes blocks that are written."""


class Target(Protocol):
    """What takes blocks; it travels to the workers of a cluster."""

    def __setitem__(self, region: tuple[slice, ...], block: Any) -> None: ...


class Journal(Protocol):
    """What remembers blocks that are written; it travels to the workers of a cluster."""

    def note(self, name: str, place: Place) -> None:
        """Remember a block."""


@dataclass(frozen=True, slots=True, eq=False)
class _Write:
    """What writes the blocks of one result to their places in the target, and remembers them."""

    name: str
    target: Target
    journal: Journal | None

    def __call__(self, block: Any, place: Place, region: Region) -> None:
        try:
            self.target[region] = _plain(block)
            if self.journal is not None:
                self.journal.note(self.name, place)
        except (OSError, RuntimeError) as error:  # RuntimeError is what netCDF4 raises for a full disk
            raise StorageError(f"variable {self.name!r}: {error}") from error


def _plain(block: Any) -> Any:
    """Return a block as files hold it: missing values of masked arrays as NaN."""
    return np.ma.filled(block, np.nan) if np.ma.isMaskedArray(block) else block


def store(
    sources: Mapping[str, Any],
    targets: Mapping[str, Target],
    *,
    done: Container[tuple[str, Place]] = (),
    journal: Journal | None = None,
    arrived: Ended | None = None,
    report: Report | None = None,
) -> None:
    """Compute Dask arrays and put their blocks into targets, but for those that are done.

    Parameters
    ----------
    sources : mapping of str to dask.array.Array
        What to compute.
    targets : mapping of str to Target
        Where the blocks of each go.
    done : container of (str, tuple of int)
        Blocks that are there already.
    journal : Journal, optional
        What remembers the blocks that are written.
    arrived : callable, optional
        Called with blocks that are in their targets, before they are reported.
    report : callable, optional
        Called with the number of written blocks and the number of all.
    """
    writes = {name: _Write(name, targets[name], journal) for name in sources}
    with graphs.uncollected():
        job = graphs.job(sources, writes, done)
    total = sum(array.npartitions for array in sources.values())
    written = total - sum(map(len, job.blocks.values()))

    def ended(blocks: list[Block]) -> None:
        nonlocal written
        written += len(blocks)
        if arrived is not None and blocks:
            arrived(blocks)
        if report is not None:
            report(written, total)

    if sources:
        ended([])
    if job.blocks:
        _compute(job, ended)


def undisturbed(function: Callable[[], None]) -> None:
    """Call a function where no signal interrupts it, and wait until it has ended even if one comes meanwhile.

    Interrupted in its main thread, zarr goes on in the background, and makes a folder anew that is removed.
    """
    failed: list[BaseException] = []
    ended = threading.Event()

    def call() -> None:
        try:
            function()
        except BaseException as error:
            failed.append(error)
        finally:
            ended.set()

    thread = threading.Thread(target=call, name="xgrad-undisturbed", daemon=True)
    try:
        thread.start()
        ended.wait()
    finally:
        if thread in threading.enumerate():  # a join that is interrupted takes it for ended (Python 3.11)
            ended.wait()
    for error in failed:
        raise error


def cluster() -> Any | None:
    """Return the client of the cluster that Dask would use now, if any."""
    import dask

    chosen = dask.base.get_scheduler()
    client = getattr(chosen, "__self__", None)
    return client if hasattr(client, "scheduler_info") else None


def elsewhere() -> bool:
    """Whether other processes would compute, which cannot write to a file that is open in this one."""
    import dask

    chosen = dask.base.get_scheduler()
    return chosen is not None and (cluster() is not None or chosen.__module__ == "dask.multiprocessing")


def _compute(job: graphs.Job, ended: Ended) -> None:
    """Compute the blocks, with threads that have ended when an error arrives, unless another way was chosen.

    Dask's own pool goes on with the tasks at hand while a file that they write to is closed. That made the
    file anew under its name, or crashed the process: in each of 4 runs of 300 writes, half of which failed
    (xarray 2025.7), and in none of 3 such runs with threads that have ended.
    """
    import dask
    from dask.callbacks import Callback

    def posttask(key: Any, *_: Any) -> None:
        if key in job.blocks:
            ended(job.blocks[key])

    client = cluster()
    try:
        if client is not None:
            _on_cluster(client, job, ended)
            return
        chosen = dask.base.get_scheduler()
        compute = _threads if chosen in (None, dask.threaded.get) else chosen
        with Callback(posttask=posttask):
            compute(job.graph, list(job.blocks))
    except XgradError:
        raise
    except BrokenExecutor as error:  # what the processes of Dask's own pool say, a RuntimeError
        raise StorageError(f"a process was killed; mostly it has {_TOO_HEAVY}") from error
    except (OSError, RuntimeError) as error:  # those of writing are StorageErrors
        if isinstance(error, OSError) or "NetCDF" in str(error) or "HDF" in str(error):
            raise InputError(f"reading failed: {error}; {_reason(error, client)}") from error
        raise


def _reason(error: OSError | RuntimeError, client: Any) -> str:
    """Say why an input cannot be read."""
    if client is not None and isinstance(error, FileNotFoundError | PermissionError):
        return "the workers of a cluster have to see the same files as this process"
    return "the input is damaged, or its disk is"


def _threads(graph: Any, keys: Sequence[Any]) -> None:
    """Compute like dask.threaded, but end the threads."""
    import dask
    from dask.callbacks import Callback

    workers = dask.config.get("num_workers", None) or dask.system.CPU_COUNT
    name = f"xgrad-{id(graph):x}"
    with ThreadPoolExecutor(workers, thread_name_prefix=name) as pool:
        try:
            with graphs.uncollected() as begun, Callback(start_state=begun):
                dask.threaded.get(graph, keys, pool=pool)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            for thread in threading.enumerate():  # one that a signal kept the pool from knowing, at its start
                if thread.name.startswith(name):
                    thread.join()
            raise


def _on_cluster(client: Any, job: graphs.Job, ended: Ended) -> None:
    """Compute on a cluster: the tasks go there, and only the news of their end comes back.

    It gets the next portion of them when half of the last one has ended. What portions share is held there
    until the last one that reads it is at work: nothing is read or computed twice.
    """
    from distributed import CancelledError, KilledWorker
    from distributed.comm.core import CommClosedError

    run = next(iter(job.blocks))[0]
    pending: dict[Any, Any] = {}
    held: dict[Any, Any] = {}

    def wait(most: int) -> None:
        while len(pending) > most:
            found = [key for key, future in pending.items() if future.done()]
            for key in found:
                if pending[key].status != "finished":
                    pending[key].result()
                del pending[key]  # the cluster forgets it, and does not do it again if a worker is lost
            if found:
                ended([block for key in found for block in job.blocks[key]])
            else:
                _check_there(client)
                time.sleep(_PERIOD)

    try:
        _check_there(client)
        # Asked once: one that is lost at this very moment answers after half a minute.
        threads = sum(client.nthreads().values())
        if not threads:
            _log.warning("the cluster has no workers yet, and is waited for")
        size = max(_PORTION, _EACH * threads)
        for portion in graphs.portions(job, size):
            _hand_over(client, run, portion, pending, held)
            wait(len(portion.keys) // 2)  # so one of its own has ended: the cluster knows what it reads
            for key in portion.done_with:
                held.pop(key, None)
        wait(0)
    except KilledWorker as error:
        raise StorageError(
            f"the cluster gave up: {error}; a worker that dies again and again mostly has {_TOO_HEAVY}"
        ) from error
    except (CancelledError, CommClosedError) as error:
        raise StorageError(f"the cluster was lost, or gave up our tasks: {error}; start it anew") from error
    finally:
        if pending or held:
            _stop(client, run, pending, held)


def _hand_over(
    client: Any, run: str, portion: graphs.Portion, pending: dict[Any, Any], held: dict[Any, Any]
) -> None:
    """Give a portion to a cluster, which does it after those before."""
    from dask.highlevelgraph import HighLevelGraph

    layers = HighLevelGraph.from_collections(run, portion.graph)  # of a bare graph Dask hashes each task
    keys = [portion.keys, portion.shared]
    with graphs.uncollected(), _expected(portion.graph):
        blocks, shared = client.get(layers, keys, sync=False, fifo_timeout="0s")
    pending.update(zip(portion.keys, blocks, strict=True))
    held.update(zip(portion.shared, shared, strict=True))


def _expected(graph: graphs.Graph) -> Any:
    """Have a cluster warn of a graph that is large by what its tasks hold, not by how many there are."""
    import dask

    name = "distributed.admin.large-graph-warning-threshold"
    usual = dask.utils.parse_bytes(dask.config.get(name, "10MB"))
    return dask.config.set({name: max(usual, _TASK_BYTES * len(graph))})


def _stop(client: Any, run: str, pending: Mapping[Any, Any], held: Mapping[Any, Any]) -> None:
    """Cancel tasks, and wait until none of them is at work: it would write to a folder that is removed."""
    blocks = list(pending.values())
    with suppress(Exception):  # of a cluster that is gone, in place of the error that brings us here
        _check_there(client)
        client.cancel(blocks)
        _wait(lambda: client.run_on_scheduler(_looking), _PATIENCE_LOOKING)
        client.cancel(blocks)  # those too that it did not know yet
        for future in held.values():
            future.release()
        _wait(lambda: any(client.run(_busy, run, on_error="ignore").values()), _PATIENCE)


def _check_there(client: Any) -> None:
    """Raise at once if the connection to the scheduler is lost, for which a client waits half a minute.

    It does not call those tasks lost that it handed over in that moment.
    """
    from distributed.comm.core import CommClosedError

    if client.status != "running":
        raise CommClosedError("the connection to the scheduler is lost")


def _wait(condition: Callable[[], bool], patience: float) -> None:
    """Wait while something is so, which takes a moment to begin, but no longer than some seconds."""
    until = time.monotonic() + patience
    time.sleep(_PERIOD)
    while time.monotonic() < until and condition():
        time.sleep(_PERIOD)


def _looking(dask_scheduler: Any) -> bool:
    """Whether a scheduler is looking through a graph, of whose tasks it knows none before it has done so."""
    return bool(dask_scheduler._active_graph_updates)


def _busy(run: str, dask_worker: Any) -> bool:
    """Whether a worker is at work on one of the tasks of a run."""
    return any(task.key[0] == run for task in dask_worker.state.all_running_tasks)
