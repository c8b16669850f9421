"""Write Datasets chunk by chunk; the target is always the old file or store, or the complete new one."""

from __future__ import annotations

import os
import re
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import xarray as xr

from xgrad import display
from xgrad.errors import StorageError, XgradError, caller_level
from xgrad.storage import formats, resuming, running, staging
from xgrad.storage.encoding import Settings, prepared
from xgrad.storage.folders import private_folder, sweep
from xgrad.storage.intact import OPENED, check_unchanged, state
from xgrad.storage.progress import Bar, Progress, Report, bar
from xgrad.storage.targets import FORMATS, check_target, publish


def write(
    ds: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    inputs: Iterable[str | os.PathLike[str]] = (),
    engine: str = "netcdf4",
    codec: str | None = None,
    complevel: int | None = None,
    dtype: str | None = None,
    zarr_format: int = 3,
    overwrite: bool = False,
    resume: bool = False,
    history: str | None = None,
    progress: bool | Report = False,
) -> None:
    """Compute a Dataset and write it to a netCDF-4 file or a Zarr store.

    Parameters
    ----------
    ds : xarray.Dataset
        What to write; Dask arrays are computed chunk by chunk, on the cluster of the active client if there
        is one, else with threads.
    path : str or os.PathLike
        What to write: ``.nc``, ``.nc4`` or ``.cdf`` for netCDF, ``.zarr`` for Zarr.
    inputs : iterable of str or os.PathLike
        Files and stores that `ds` is read from, none of which may be the target.
    engine : {"netcdf4", "h5netcdf"}
        What writes netCDF.
    codec : {"isal", "zlib", "hdf5"}, optional
        What compresses netCDF, see Notes; by default the fastest that is installed.
    complevel : int, optional
        Level of compression from 0, none, to 9: deflate with a shuffle of bytes in netCDF, Zstandard in Zarr.
        By default netCDF is not compressed, and Zarr as it does by itself.
    dtype : {"float32", "float64"}, optional
        Data type in which floating data variables are stored; by default their own.
    zarr_format : {3, 2}
        Version of the Zarr format.
    overwrite : bool
        Whether an existing target is replaced.
    resume : bool
        Whether what is done is kept when the run is interrupted or fails, and taken up if it was: for Zarr.
    history : str, optional
        What was done, for the ``history`` attribute; it goes, with the time, before what is there.
    progress : bool or callable
        Whether to draw a bar on stderr; or what is called with a `Progress` after each block.

    Raises
    ------
    TargetError
        If the target exists and `overwrite` is false, or if it is one of the inputs; or if the run that is to
        be resumed was another one.
    InputError
        If the data cannot be read.
    ChangedInputError
        If one of the inputs changed since the call.
    StorageError
        If there is not enough space, or writing failed; the target is then what it was before.
    XgradError
        If the suffix, an option or a data type is none that can be written.

    Notes
    -----
    The file is made in a private folder beside the target and takes its place in one step at the end; what
    killed runs have left there is removed by the next. Data are stored unpacked, in chunks chosen afresh that
    end where those of `ds` end; coordinates of time keep their unit and calendar, and unlimited dimensions
    stay unlimited.

    Whole chunks of netCDF are compressed in the worker threads and put into the file as they are, where
    h5py 3.16 or newer is installed (extra ``fastio``): elsewhere HDF5 compresses them, one at a time.
    """
    opened = ds.encoding.get(OPENED, {})
    sources = list(dict.fromkeys([*(os.fspath(source) for source in inputs), *opened]))
    target = check_target(path, inputs=sources, overwrite=overwrite)
    settings = settled(
        target,
        resume=resume,
        engine=engine,
        codec=codec,
        complevel=complevel,
        dtype=dtype,
        zarr_format=zarr_format,
    )
    before = state(source for source in sources if source not in opened) | opened
    made = prepared(ds, settings, history)
    need = _check_space(made, target, settings)
    unlimited = sorted(set(ds.encoding.get("unlimited_dims", ())) & set(ds.dims), key=str)
    sweep(target, resume=resume)
    check_target(path, inputs=sources, overwrite=overwrite)  # a killed run may have moved it aside
    with (
        _reported(progress, need) as report,
        _explained(target, need, before),
        private_folder(target, kept=resume) as folder,
    ):
        file = folder / target.name
        arrays = formats.lazy(made)
        journal, fingerprint = None, _fingerprint(arrays, made, before, settings) if resume else {}
        if resume:
            journal = resuming.begin(folder, file, fingerprint)
        with _stored(formats.laid_out(made, file, settings, unlimited)) as targets:
            if resume:
                resuming.settle(folder, fingerprint)
            done = () if journal is None else journal.done()
            if settings.format == "netCDF" and running.elsewhere():
                staging.store(arrays, targets, folder, report)
            else:
                running.store(arrays, targets, done=done, journal=journal, report=report)
        check_unchanged(before)
        publish(file, target, overwrite=overwrite)
    sweep(target, resume=True)  # tasks of a killed run may have gone on for a moment on a cluster


class _ReportError(BaseException):
    """Carries an error of the user's own report past all that looks for errors of files."""


@contextmanager
def _stored(layout: AbstractContextManager[Mapping[str, running.Target]]) -> Iterator[Mapping[str, Any]]:
    """Lay out and close a file or a store; the libraries raise RuntimeErrors where a disk is full."""
    with ExitStack() as stack:
        try:
            targets = stack.enter_context(layout)
        except (OSError, RuntimeError) as error:
            raise StorageError(str(error)) from error
        try:
            yield targets
        except BaseException:
            with suppress(OSError, RuntimeError):  # they follow from the first one
                stack.close()
            raise
        try:
            stack.close()
        except (OSError, RuntimeError) as error:
            raise StorageError(str(error)) from error


def settled(target: Path, *, resume: bool, **options: Any) -> Settings:
    """Check the options of writing.

    Parameters
    ----------
    target : pathlib.Path
        What is written.
    resume : bool
        Whether the run can be resumed.
    **options
        Those of `Settings`.

    Returns
    -------
    Settings
        How the target is written.
    """
    settings = Settings(FORMATS[target.suffix], **options)
    if resume and settings.format != "Zarr":
        raise XgradError(
            f"resume=True with {os.fspath(target)!r}: only Zarr can be taken up where a run ended; "
            "write to .zarr"
        )
    return settings


@contextmanager
def _reported(progress: bool | Report, need: int) -> Iterator[running.Report | None]:
    """Give what the news of written blocks go to; an error of that is the user's own and arrives as it is."""
    told = bar() if progress is True else progress
    failed: BaseException | None = None
    try:
        yield partial(_tell, told, need) if callable(told) else None
    except _ReportError as error:
        failed = error.__cause__
    finally:
        if isinstance(told, Bar):
            told.close()
    if failed is not None:
        raise failed


def _tell(told: Report, need: int, written: int, blocks: int) -> None:
    """Tell the news."""
    try:
        told(Progress(written, blocks, need))
    except Exception as error:
        raise _ReportError from error


def _fingerprint(
    arrays: Mapping[str, Any], made: xr.Dataset, inputs: Mapping[str, Any], settings: Settings
) -> dict[str, Any]:
    """Return what decides the result of a run, by what users call it."""
    from dask.base import tokenize

    eager = [var for name, var in made.variables.items() if str(name) not in arrays]
    attrs = {name: var.attrs for name, var in made.variables.items()} | {"": made.attrs | {"history": None}}
    return {
        "the version of xgrad": metadata.version("xgrad"),
        "the inputs": inputs,
        "the data or the options of the derivatives": {name: each.name for name, each in arrays.items()},
        "the chunks": {name: each.chunks for name, each in arrays.items()},
        "the coordinates": tokenize(*((each.dims, each.to_numpy()) for each in eager)),
        "the attributes": tokenize(attrs),
        "the options of writing": repr(settings),
    }


def _check_space(ds: xr.Dataset, target: Path, settings: Settings) -> int:
    """Refuse what cannot fit, warn of what may not; return the bytes that are needed without compression."""
    need = ds.nbytes
    free = shutil.disk_usage(target.parent).free
    plain = settings.format == "netCDF" and not settings.complevel
    # Deflate and Zstandard make no array smaller than a thousandth or so.
    least = need if plain else need // 1000
    if least > free:
        raise StorageError(
            f"{os.fspath(target)!r} needs {'' if plain else 'more than '}{display.size(least)}, and "
            f"{display.size(free)} are free there; make room, or write elsewhere"
        )
    if need > free:
        warnings.warn(
            f"{os.fspath(target)!r} needs {display.size(need)} without compression, and "
            f"{display.size(free)} are free there",
            stacklevel=caller_level(),
        )
    return need


@contextmanager
def _explained(target: Path, need: int, inputs: Mapping[str, Any]) -> Iterator[None]:
    """Say in one line what the disk refused, what is needed and what is there; or that an input changed."""
    try:
        yield
    except (StorageError, OSError) as error:
        free = shutil.disk_usage(target.parent).free
        # HDF5 tells all that it knows of a file; this is what happened to it.
        found = re.search(r"error message = '([^']*)'", str(error))
        said = found[1] if found else str(error)
        raise StorageError(
            f"writing {os.fspath(target)!r} failed: {said}; it needs {display.size(need)} without "
            f"compression, and {display.size(free)} are free there"
        ) from error
    except Exception:
        check_unchanged(inputs)  # which may be why
        raise
