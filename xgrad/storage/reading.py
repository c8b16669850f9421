"""Open files and stores lazily, in chunks of bounded size; several as one series."""

from __future__ import annotations

import os
import warnings
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from typing import Any

import xarray as xr

from xgrad.errors import InputError, MissingExtraError, XgradError, caller_level
from xgrad.storage.careful import CarefulEntrypoint, source
from xgrad.storage.chunking import READ_BYTES, read_chunks
from xgrad.storage.intact import OPENED, check_whole, is_remote, state

Source = str | os.PathLike[str]

# In the order in which they are asked.
ENGINES = {"netcdf4": "netCDF4", "h5netcdf": "h5netcdf", "scipy": "scipy"}
# What xarray remarks about ordinary files that means nothing here.
REMARKS = (
    "Variable\\(s\\) referenced in",  # cell_measures that live in another file, as all of CMIP does
    "The specified chunks separate the stored chunks",  # of small coordinates on the same dimensions
    "Unable to decode time axis into full numpy.datetime64",  # cftime is as good
    "Failed to open Zarr store with consolidated metadata",  # Zarr 3 specifies none
)


def open(
    paths: Source | Sequence[Source],
    *,
    chunks: Mapping[Hashable, int] | None = None,
    chunk_bytes: int = READ_BYTES,
) -> xr.Dataset:
    """Open netCDF files or Zarr stores lazily, in chunks of bounded size.

    Parameters
    ----------
    paths : str, os.PathLike or sequence of them
        A file or store, or several that are one series: they are put together by their coordinates, and agree
        in all that has no part in it. URLs are opened by fsspec.
    chunks : mapping of dimension to int, optional
        Chunk sizes; -1 is the whole dimension. The other dimensions get sizes that keep each chunk of each
        variable within `chunk_bytes`, made of whole stored chunks where the file has any.
    chunk_bytes : int
        The size of a chunk, 16 MiB by default. Writing a result with two derivatives on two threads takes
        about twenty times as much.

    Returns
    -------
    xarray.Dataset
        The decoded Dataset, with bounds and grid mappings among its coordinates. Close it after use.

    Raises
    ------
    InputError
        If a file is absent, cannot be read as netCDF or Zarr, or is cut off; or if several are no series.
    XgradError
        If `chunks` names an unknown dimension or an impossible size.

    Notes
    -----
    Chunks of compressed netCDF-4 are read and decompressed in the worker threads, past HDF5 and its lock,
    where h5py 3.16 or newer is installed (extra ``fastio``) and all filters of a variable are known: deflate,
    shuffle, fletcher32. Everything else is read by the netCDF4 library, h5netcdf or SciPy, the first of them
    that can.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not given:
        raise InputError("there is nothing to open: paths is empty")
    with warnings.catch_warnings():
        for remark in REMARKS:
            warnings.filterwarnings("ignore", message=remark)
        before = state(path for path in given if is_remote(path) or os.path.exists(path))
        options = way(given[0])
        with xr.open_dataset(source(given[0], options["engine"]), **options, cache=False) as found:
            sizes = read_chunks(found, _checked(chunks or {}, found.sizes), chunk_bytes)
        if len(given) == 1:
            made = _opened(given[0], options, sizes)
        else:
            made = _series([_alike(path, options, sizes) for path in given])
    made.encoding[OPENED] = before
    return made


def _opened(path: Source, options: Mapping[str, Any], chunks: Mapping[Any, int]) -> xr.Dataset:
    """Open a file or store in chunks."""
    careful: dict[str, Any] = {**options, "engine": CarefulEntrypoint, "reader": options["engine"]}
    return xr.open_dataset(path, **careful, chunks=chunks)


def _alike(path: Source, options: dict[str, Any], chunks: Mapping[Any, int]) -> xr.Dataset:
    """Open a file of a series with the options of its first one; with its own where they do not do."""
    if os.path.exists(path) and _is_store(path) == (options["engine"] == "zarr"):
        if not _is_store(path):
            check_whole(path)
        with suppress(OSError, ValueError, RuntimeError, TypeError, KeyError, IndexError, OverflowError):
            return _opened(path, options, chunks)
    return _opened(path, way(path), chunks)


def _series(parts: Sequence[xr.Dataset]) -> xr.Dataset:
    """Put files of a series together."""
    try:
        made: Any = xr.combine_by_coords(
            parts,
            data_vars="minimal",
            coords="minimal",
            compat="equals",
            join="exact",
            combine_attrs="override",
        )
    except InputError:
        _close(parts)
        raise
    except (ValueError, TypeError, xr.MergeError) as error:
        _close(parts)
        raise InputError(
            f"the {len(parts)} inputs are no series that can be put together by its coordinates: "
            f"{str(error).splitlines()[0]}"
        ) from error
    series: xr.Dataset = made
    series.set_close(partial(_close, parts))
    series.encoding = dict(parts[0].encoding)
    return series


def _close(parts: Sequence[xr.Dataset]) -> None:
    """Close the parts of a series."""
    for part in parts:
        part.close()


def _is_store(path: Source) -> bool:
    """Whether a path is that of a Zarr store."""
    return os.fspath(path).rstrip("/").endswith(".zarr") or os.path.isdir(path)


def way(path: Source) -> dict[str, Any]:
    """Find out how xarray opens a file or store.

    Parameters
    ----------
    path : str or os.PathLike
        A file, a store, or a URL.

    Returns
    -------
    dict
        The options, with the engine; times are left undecoded if need be.
    """
    shown = os.fspath(path)
    if not is_remote(path) and not os.path.exists(path):
        raise InputError(f"{shown!r} does not exist")
    store = _is_store(path)
    if not store and not is_remote(path):
        check_whole(path)
    options = _readable(path, ["zarr"] if store else _engines(path))
    try:
        with warnings.catch_warnings(), xr.open_dataset(source(path, options["engine"]), **options):
            return options
    except (ValueError, OverflowError) as error:
        warnings.warn(
            f"the times in {shown!r} stay plain numbers: {str(error).splitlines()[0]}",
            stacklevel=caller_level(),
        )
        return options | {"decode_times": False}


def _engines(path: Source) -> list[Any]:
    """Return what may read a file, in the order in which it is asked."""
    from xgrad.storage import raw

    if is_remote(path):
        return ["h5netcdf"]
    names = [name for name, module in ENGINES.items() if find_spec(module) is not None]
    return [raw.RawEntrypoint, *names] if raw.available() else names


def _readable(path: Source, engines: Iterable[Any]) -> dict[str, Any]:
    """Return the options with the first engine that can read a file."""
    shown, reasons = os.fspath(path), []
    for engine in engines:
        if engine in ("zarr", "h5netcdf") and find_spec(engine) is None:
            raise MissingExtraError(f"reading {shown!r}", engine)
        # A coordinate in hours is left in hours, and a wave period in seconds is no time span.
        options: dict[str, Any] = {"engine": engine, "decode_coords": "all", "decode_timedelta": False}
        try:
            with xr.open_dataset(source(path, engine), **options, decode_times=False):
                return options
        except PermissionError:
            raise InputError(f"{shown!r} may not be read: permission denied") from None
        except (OSError, ValueError, RuntimeError, TypeError, KeyError, IndexError) as error:
            if isinstance(engine, str):  # the raw way is one of netcdf4, which is asked next
                said = str(error).splitlines()[0] if str(error) else type(error).__name__
                reasons.append(f"{engine}: {said}")
    kind = "Zarr" if engines == ["zarr"] else "netCDF"
    raise InputError(f"{shown!r} cannot be read as {kind} ({'; '.join(reasons)})")


def _checked(chunks: Mapping[Hashable, int], sizes: Mapping[Hashable, int]) -> dict[Hashable, int]:
    """Return wanted chunk sizes, within the sizes of the dimensions."""
    checked = {}
    for dim, size in chunks.items():
        if dim not in sizes:
            raise XgradError(
                f"chunks names the dimension {dim!r}; the file has {', '.join(map(repr, sizes))}"
            )
        if size != -1 and size < 1:
            raise XgradError(
                f"the chunk size of {dim!r} is {size!r}; give a positive number, or -1 for all of it"
            )
        checked[dim] = sizes[dim] if size == -1 else min(size, sizes[dim])
    return checked
