"""The command `xgrad compute`: open, plan, differentiate, write; or say what would be done."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import shlex
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import xarray as xr

import xgrad
from xgrad import errors, storage
from xgrad.cli import completing
from xgrad.cli.options import PATH, Geometry, Names, Pairs, Periodic, Size, machine, talk
from xgrad.cli.process import Call
from xgrad.labels import plain
from xgrad.plans import Plan
from xgrad.storage import budget, progress, runs, writing
from xgrad.units import UnitsWarning

# Seconds until a scheduler must have answered.
_PATIENCE = 10
_WRITING = ("engine", "codec", "complevel", "dtype", "zarr_format", "overwrite", "resume")


@click.command(
    "compute",
    short_help="Differentiate files, and write a new one.",
    epilog="The format follows the suffix: .nc, .nc4 and .cdf are netCDF-4, .zarr is Zarr.",
)
@click.argument("sources", metavar="IN...", type=PATH, nargs=-1, required=True)
@click.option("-o", "--output", required=True, type=PATH, help="The file or store to write.")
@click.option(
    "-v",
    "--variables",
    type=Names(),
    shell_complete=completing.names(lambda ds: ds.data_vars),
    help="What to differentiate; all variables if not given.",
)
@click.option(
    "-d",
    "--dims",
    type=Names(),
    shell_complete=completing.names(lambda ds: ds.dims),
    help="Along which dimensions; all usable ones if not given.",
)
@click.option("--n", type=int, default=1, help="Which derivative: 1 to 4.")
@click.option("--order", type=int, help="Order of accuracy: 2, 4, 6 or 8; 2 if not given.")
@click.option("--edge-order", type=int, help="Order at the ends of an axis; as --order if not given.")
@click.option("--skipna/--no-skipna", default=True, help="Make do with the valid points near missing ones.")
@click.option("--periodic", type=Periodic(), metavar=Periodic.name, default="auto", help="Which are rings.")
@click.option(
    "--geometry", type=Geometry(), help="Eastward and northward, per metre: auto, sphere, projected, ..."
)
@click.option("--spacing", type=Pairs(float, "step"), help="Steps that replace or stand in for coordinates.")
@click.option("--datetime-unit", default="s", help="Time derivatives are per this: s, m, h, D, W, ms, ...")
@click.option("--names", type=Pairs(str, "name"), help="Names of results, by dimension.")
@click.option("--chunks", type=Pairs(int, "n"), help="Chunk sizes; up to 16 MiB a chunk if not given.")
@click.option("--memory", type=Size(), help="Choose chunks with which this much memory is enough, as 2GB.")
@click.option("--workers", type=click.IntRange(1), help="Threads; one a processor if not given.")
@click.option(
    "--scheduler",
    metavar="address|file",
    help="Compute on the cluster of this dask.distributed scheduler, or of that which wrote this file.",
)
@click.option(
    "--engine", type=click.Choice(["netcdf4", "h5netcdf"]), default="netcdf4", help="Writes netCDF."
)
@click.option(
    "--codec", type=click.Choice(["isal", "zlib", "hdf5"]), help="Compresses netCDF; the fastest there."
)
@click.option("--complevel", type=click.IntRange(0, 9), help="Level of compression; Zarr has one of its own.")
@click.option(
    "--dtype", type=click.Choice(["float32", "float64"]), help="Data type of results; their own if not given."
)
@click.option("--zarr-format", type=click.Choice([3, 2]), default=3, help="Version of Zarr.")
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
@click.option(
    "--resume", is_flag=True, help="Keep what is done if the run is stopped, or go on with it: for Zarr."
)
@click.option("--strict", is_flag=True, help="Refuse units that cannot be understood.")
@click.option("--plan", is_flag=True, help="Say what would be read, computed and written, and do nothing.")
@machine("Events on stdout, a JSON object a line; the plan as one object.")
@talk
@click.pass_obj
def compute(
    call: Call,
    /,
    sources: tuple[str, ...],
    output: str,
    variables: list[str] | None,
    chunks: dict[Any, int] | None,
    memory: int | None,
    workers: int | None,
    scheduler: str | None,
    strict: bool,
    plan: bool,
    **options: Any,
) -> None:
    """Differentiate the variables of netCDF files or Zarr stores, chunk by chunk, and write a new one.

    Several inputs are one series: they are put together by their coordinates.
    """
    if chunks is not None and memory is not None:
        raise click.UsageError("--chunks and --memory exclude one another: both say how large chunks are")
    how = {name: options.pop(name) for name in _WRITING}
    with _at_work(scheduler, workers):
        target = storage.check_target(output, inputs=sources, overwrite=how["overwrite"])
        if memory is not None:
            with storage.open(sources) as ds:
                chosen = _selected(ds, variables)
                decided = _planned(chosen, variables, options)
                chunks = budget.chunks_within(memory, decided, chosen, budget.workers())
        with storage.open(sources, chunks=chunks) as ds:
            chosen = _selected(ds, variables)
            result = _derivatives(chosen, variables, strict, options)
            if plan:
                how.pop("overwrite")
                decided = _planned(chosen, variables, options)
                run = runs.Run.of(sources, decided, result, target, writing.settled(target, **how))
                click.echo(json.dumps(run.to_dict(), allow_nan=False) if call.json else repr(run))
            else:
                history = plain(f"xgrad {xgrad.__version__}: xgrad {shlex.join(call.arguments)}")
                with _watched(call, sources, output) as report:
                    storage.write(result, output, inputs=sources, history=history, progress=report, **how)


@contextmanager
def _watched(call: Call, sources: tuple[str, ...], output: str) -> Iterator[progress.Report | bool]:
    """Give what the news of a run go to: events for machines, a bar on a terminal, lines in a log."""
    if call.json:
        events, began = progress.Events(sys.stdout), time.monotonic()
        events.event("started", version=xgrad.__version__, inputs=sources, output=output)
        yield events
        seconds = round(time.monotonic() - began, 3)
        events.event("finished", output=output, nbytes=runs.nbytes(output), seconds=seconds)
    elif call.quiet:
        yield False
    elif sys.stderr.isatty():
        call.bar = progress.bar()
        yield call.bar
    else:
        yield progress.Lines(sys.stderr)


@contextmanager
def _at_work(scheduler: str | None, workers: int | None) -> Iterator[None]:
    """Have blocks computed by a cluster, or by some number of threads."""
    import dask

    if scheduler is None:
        with dask.config.set({} if workers is None else {"num_workers": workers}):
            yield
        return
    if workers is not None:
        raise click.UsageError("--workers is for threads of this process; a cluster has workers of its own")
    with _client(scheduler):
        yield


def _client(scheduler: str) -> Any:
    """Return the client of a cluster, whose workers Dask then uses."""
    try:
        import distributed
    except ImportError:
        raise errors.MissingExtraError("--scheduler", "distributed") from None
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # an error is said in one line, by us
    library: Any = distributed  # half of it has types
    address = _address(scheduler)
    try:
        asyncio.run(asyncio.wait_for(_greet(library, address), _PATIENCE))
        return library.Client(address, timeout=_PATIENCE)
    except OSError as error:  # among them that time is over, in no words
        said = str(error).splitlines()[0] if str(error) else f"nothing answered in {_PATIENCE} s"
        raise errors.StorageError(
            f"the scheduler {address!r} cannot be reached: {said}; is it running, and "
            "can this machine connect to it?"
        ) from error
    except Exception as error:  # whatever a stranger's answer, or an address, makes libraries stumble over
        raise _no_scheduler(scheduler, str(error).splitlines()[0] if str(error) else repr(error)) from error


async def _greet(distributed: Any, address: str) -> None:
    """Shake hands with a scheduler; a client would wait for ever for the answer of what is none."""
    options = distributed.Security().get_connection_args("client")
    connection = await distributed.comm.connect(address, **options)
    await connection.close()


def _address(scheduler: str) -> str:
    """Return the address of a scheduler: what was given, or what a scheduler has written into that file."""
    if re.fullmatch(r"(\w+://)?.+:\d+", scheduler):
        return scheduler
    try:
        return str(json.loads(Path(scheduler).read_text(encoding="utf-8"))["address"])
    except FileNotFoundError:
        raise _no_scheduler(scheduler, "it has no port, and there is no such file") from None
    except OSError as error:
        raise _no_scheduler(scheduler, f"it cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError):
        raise _no_scheduler(scheduler, "no scheduler has written this file") from None


def _no_scheduler(scheduler: str, reason: str) -> errors.XgradError:
    """Return the error for what is no scheduler."""
    return errors.XgradError(
        f"--scheduler {scheduler!r} leads to no scheduler: {reason}; give an address such as "
        "tcp://host:8786, or the file that a scheduler has written"
    )


def _planned(ds: xr.Dataset, variables: list[str] | None, options: dict[str, Any]) -> Plan:
    """Return the plan, which leaves out none of the variables that were named."""
    decided = xgrad.plan(ds, **options)
    if variables is not None and decided.left_out:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in decided.left_out)
        raise errors.XgradError(f"not all of these can be differentiated: {reasons}")
    return decided


def _derivatives(
    ds: xr.Dataset, variables: list[str] | None, strict: bool, options: dict[str, Any]
) -> xr.Dataset:
    """Return the derivatives; of each variable that was named, and with every unit if strict."""
    if variables is not None:
        _planned(ds, variables, options)
    if not strict:
        return xgrad.compute(ds, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnitsWarning)
        try:
            return xgrad.compute(ds, **options)
        except UnitsWarning as warning:
            raise errors.CoordinateError(f"{warning} (refused, as --strict says)") from None


def _selected(ds: xr.Dataset, variables: list[str] | None) -> xr.Dataset:
    """Return the Dataset with the named data variables only, and with all its coordinates."""
    for name in variables or ():
        if name not in ds.data_vars:
            advice = errors.suggestion(name, ds.data_vars)
            raise errors.XgradError(f"the file has no data variable {name!r}; {advice}")
    return ds if variables is None else ds.drop_vars([name for name in ds.data_vars if name not in variables])
