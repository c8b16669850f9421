"""Write Datasets to netCDF chunk by chunk; the target is always the old file or the complete new one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xgrad.errors import StorageError, XgradError
from xgrad.storage.chunking import stored_chunks
from xgrad.storage.running import running
from xgrad.storage.targets import check_target, check_unchanged, private_folder, publish, state

CONVENTIONS = "CF-1.11"
# Encodings that are part of the meaning, not of how some other file was packed: what a variable refers to,
LINKS = ("bounds", "cell_measures", "climatology", "coordinates", "formula_terms", "geometry", "grid_mapping")
# and in which unit and calendar a time counts.
TIMES = ("units", "calendar", "dtype")


def write(
    ds: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    inputs: Iterable[str | os.PathLike[str]] = (),
    complevel: int = 0,
    overwrite: bool = False,
    history: str | None = None,
    progress: bool = False,
) -> None:
    """Compute a Dataset and write it to a netCDF-4 file.

    Parameters
    ----------
    ds : xarray.Dataset
        What to write; Dask arrays are computed chunk by chunk.
    path : str or os.PathLike
        The file to write: ``.nc``, ``.nc4`` or ``.cdf``.
    inputs : iterable of str or os.PathLike
        Files that `ds` is read from, none of which may be the target.
    complevel : int
        The zlib level, 0 (no compression) to 9.
    overwrite : bool
        Whether an existing file is replaced.
    history : str, optional
        What was done, for the ``history`` attribute; it goes, with the time, before what is there.
    progress : bool
        Whether to draw a progress bar on stderr.

    Raises
    ------
    TargetError
        If the target exists and `overwrite` is false, or if it is one of the inputs.
    ChangedInputError
        If one of the inputs changed since the call.
    StorageError
        If writing failed, or reading the data meanwhile; the target is then what it was before.
    XgradError
        If the suffix, the compression level or a data type is none that can be written.

    Notes
    -----
    The file is made in a private folder beside the target and takes its place in one step at the end. Data
    are stored unpacked, in chunks chosen afresh; coordinates of time keep their unit and calendar, and
    unlimited dimensions stay unlimited.
    """
    if complevel not in range(10):
        raise XgradError(f"complevel is {complevel!r}; zlib knows the levels 0 to 9")
    sources = list(inputs)
    target = check_target(path, inputs=sources, overwrite=overwrite)
    before = state(sources)
    prepared = _prepared(ds, complevel, history)
    try:
        with private_folder(target) as folder, running(progress=progress):
            made = folder / target.name
            unlimited = set(ds.encoding.get("unlimited_dims", ())) & set(ds.dims)
            prepared.to_netcdf(
                made, engine="netcdf4", format="NETCDF4", unlimited_dims=sorted(unlimited, key=str)
            )
            check_unchanged(before)
            publish(made, target, overwrite=overwrite)
    except (OSError, RuntimeError) as error:  # RuntimeError is what netCDF4 raises for a full disk
        raise _explained(error, target) from error


def _prepared(ds: xr.Dataset, complevel: int, history: str | None) -> xr.Dataset:
    """A shallow copy with fresh encodings and with the global attributes of a written file."""
    # Dates are computed here: xarray cannot choose a data type for the bounds of a time axis chunk by chunk.
    dates = {name: var.compute() for name, var in ds.coords.variables.items() if var.dtype.kind in "MmO"}
    prepared = ds.assign_coords(dates)
    prepared.encoding = {}
    for name, var in prepared.variables.items():
        if var.dtype.kind in "cV" or (var.dtype.kind == "f" and var.dtype.itemsize not in (4, 8)):
            raise XgradError(
                f"{name!r} has the data type {var.dtype}, which netCDF cannot store; convert it with .astype"
            )
        var.encoding = _encoding(var, name in prepared.coords, complevel)
    _align_bounds(prepared)
    attrs = {"Conventions": CONVENTIONS} | ds.attrs
    if history is not None:
        line = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}: {history}"
        attrs["history"] = f"{line}\n{ds.attrs['history']}" if ds.attrs.get("history") else line
    prepared.attrs = attrs
    return prepared


def _align_bounds(ds: xr.Dataset) -> None:
    """Let bounds of time count in the unit of their axis, as CF wants; in fractions of it if need be."""
    for var in list(ds.variables.values()):
        bounds = ds.variables.get(var.encoding.get("bounds", var.attrs.get("bounds")))
        if bounds is not None and "units" in var.encoding:
            unit = {key: var.encoding[key] for key in ("units", "calendar") if key in var.encoding}
            bounds.encoding = {"dtype": np.dtype("f8")} | bounds.encoding | unit


def _encoding(var: xr.Variable, coordinate: bool, complevel: int) -> dict[str, Any]:
    """How one variable is stored: nothing is taken from its former file but what carries meaning."""
    kept: tuple[str, ...] = LINKS + TIMES if _counts_time(var) else LINKS
    encoding: dict[str, Any] = {key: var.encoding[key] for key in kept if var.encoding.get(key) is not None}
    if coordinate and var.dtype.kind in "fMmO":
        # Left to itself, xarray would mark NaN as missing; CF coordinates miss nothing.
        encoding["_FillValue"] = var.encoding.get("_FillValue") if _counts_time(var) else None
    if var.ndim and var.size and var.dtype.kind in "biuf":
        blocks = var.chunks or [(size,) for size in var.shape]
        encoding["chunksizes"] = stored_chunks(var.shape, blocks, var.dtype.itemsize)
        if complevel:
            encoding |= {"zlib": True, "complevel": complevel, "shuffle": True}
    return encoding


def _counts_time(var: xr.Variable) -> bool:
    """Whether a variable holds dates; of objects, cftime dates have a calendar and strings have none."""
    return var.dtype.kind in "Mm" or (var.dtype.kind == "O" and "calendar" in var.encoding)


def _explained(error: Exception, target: Path) -> Exception:
    """The error as one line that says what to do, where it is one of storage."""
    if isinstance(error, RuntimeError) and "NetCDF" not in str(error):
        return error
    free = shutil.disk_usage(target.parent).free / 2**20
    return StorageError(f"writing {os.fspath(target)!r} failed: {error}; {free:.0f} MiB are free there")
