"""Open files lazily, in chunks of bounded size."""

from __future__ import annotations

import os
import warnings
from collections.abc import Hashable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import xarray as xr

from xgrad.errors import InputError, XgradError
from xgrad.storage.chunking import read_chunks

# In the order in which they are asked.
ENGINES = {"netcdf4": "netCDF4", "h5netcdf": "h5netcdf", "scipy": "scipy"}
# What xarray remarks about ordinary files that means nothing here.
REMARKS = (
    "Variable\\(s\\) referenced in",  # cell_measures that live in another file, as all of CMIP does
    "The specified chunks separate the stored chunks",  # of small coordinates on the same dimensions
    "Unable to decode time axis into full numpy.datetime64",  # cftime is as good
)


def open(path: str | os.PathLike[str], *, chunks: Mapping[Hashable, int] | None = None) -> xr.Dataset:
    """Open a netCDF file lazily, in chunks of bounded size.

    Parameters
    ----------
    path : str or os.PathLike
        The file.
    chunks : mapping of dimension to int, optional
        Chunk sizes; -1 is the whole dimension. The other dimensions get sizes that keep each chunk of each
        variable within 16 MiB, made of whole stored chunks where the file has any.

    Returns
    -------
    xarray.Dataset
        The decoded Dataset, with bounds and grid mappings among its coordinates. Close it after use.

    Raises
    ------
    InputError
        If the file is absent or cannot be read as netCDF.
    XgradError
        If `chunks` names an unknown dimension or an impossible size.
    """
    if not os.path.exists(path):
        raise InputError(f"{os.fspath(path)!r} does not exist")
    if not Path(path).is_file():
        raise InputError(f"{os.fspath(path)!r} is not a file; netCDF files can be read")
    with warnings.catch_warnings():
        for remark in REMARKS:
            warnings.filterwarnings("ignore", message=remark)
        options = _readable(path)
        with xr.open_dataset(path, **options, cache=False) as found:
            sizes = read_chunks(found, _checked(chunks or {}, found.sizes))
        return xr.open_dataset(path, **options, chunks=sizes)


def _readable(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The options with which xarray opens a file: the first engine that can; times undecoded if need be."""
    reasons = []
    for engine in (name for name, module in ENGINES.items() if find_spec(module) is not None):
        # A coordinate in hours is left in hours, and a wave period in seconds is no time span.
        options: dict[str, Any] = {"engine": engine, "decode_coords": "all", "decode_timedelta": False}
        try:
            with xr.open_dataset(path, **options, decode_times=False):
                pass
        except PermissionError:
            raise InputError(f"{os.fspath(path)!r} may not be read: permission denied") from None
        except (OSError, ValueError, RuntimeError, TypeError, KeyError, IndexError) as error:
            reasons.append(f"{engine}: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
            continue
        try:
            with xr.open_dataset(path, **options):
                return options
        except (ValueError, OverflowError) as error:
            warnings.warn(
                f"the times in {os.fspath(path)!r} stay plain numbers: {str(error).splitlines()[0]}",
                stacklevel=3,
            )
            return options | {"decode_times": False}
    raise InputError(f"{os.fspath(path)!r} cannot be read as netCDF ({'; '.join(reasons)})")


def _checked(chunks: Mapping[Hashable, int], sizes: Mapping[Hashable, int]) -> dict[Hashable, int]:
    """Wanted chunk sizes within the sizes of the dimensions."""
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
