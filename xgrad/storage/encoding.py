"""How variables are stored: nothing is taken from their former file but what carries meaning."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import xarray as xr

from xgrad.errors import XgradError
from xgrad.storage.chunking import stored_chunks, whole_blocks

CONVENTIONS = "CF-1.11"
# Encodings that are part of the meaning, not of how some other file was packed: what a variable refers to,
LINKS = ("bounds", "cell_measures", "climatology", "coordinates", "formula_terms", "geometry", "grid_mapping")
# and in which unit and calendar a time counts.
TIMES = ("units", "calendar", "dtype")
# What these refer to describes coordinates, and is none.
_DESCRIBED_BY = ("bounds", "cell_measures", "climatology", "geometry", "grid_mapping")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a user may say of the way in which results are stored.

    Attributes
    ----------
    format : {"netCDF", "Zarr"}
        The format.
    engine : {"netcdf4", "h5netcdf"}
        What writes netCDF.
    codec : {"isal", "zlib", "hdf5"} or None
        What compresses netCDF: a library in the worker threads, or HDF5 itself; None chooses.
    complevel : int or None
        The level of compression, 0 for none; None leaves it to the format: netCDF is not compressed, Zarr by
        its own default.
    dtype : {"float32", "float64"} or None
        Data type of floating data variables; None keeps their own.
    zarr_format : {2, 3}
        Version of the Zarr format.
    """

    format: str
    engine: str = "netcdf4"
    codec: str | None = None
    complevel: int | None = None
    dtype: str | None = None
    zarr_format: int = 3

    def __post_init__(self) -> None:
        for name, known in _KNOWN.items():
            if getattr(self, name) not in known:
                listed = ", ".join(map(repr, known))
                raise XgradError(f"{name}={getattr(self, name)!r} is not known; there are {listed}")


_KNOWN: dict[str, tuple[Any, ...]] = {
    "engine": ("netcdf4", "h5netcdf"),
    "codec": (None, "isal", "zlib", "hdf5"),
    "complevel": (None, *range(10)),
    "dtype": (None, "float32", "float64"),
    "zarr_format": (3, 2),
}


def prepared(ds: xr.Dataset, settings: Settings, history: str | None) -> xr.Dataset:
    """Return a shallow copy with fresh encodings and with the global attributes of a written file."""
    # Dates are computed here: xarray cannot choose a data type for the bounds of a time axis chunk by chunk.
    # So is text, for whose length netCDF and Zarr need all of it.
    known = {name: var.compute() for name, var in ds.variables.items() if var.dtype.kind in "MmOUST"}
    made = ds.assign_coords({name: var for name, var in known.items() if name in ds.coords})
    made = made.assign({name: var for name, var in known.items() if name in ds.data_vars})
    made.encoding = {}
    for name, var in list(made.variables.items()):
        _check(name, var, settings)
        if name in made.data_vars and settings.dtype is not None and var.dtype.kind == "f":
            encoding = var.encoding
            made[name] = var.astype(settings.dtype)
            made[name].encoding = encoding
        if settings.format == "Zarr" and made.variables[name].chunks is not None:
            _even(made, name)
        made.variables[name].encoding = _encoding(made.variables[name], name in made.coords, settings)
    _align_bounds(made)
    _name_coordinates(made)
    attrs = {"Conventions": CONVENTIONS} | ds.attrs
    if history is not None:
        line = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}: {history}"
        attrs["history"] = f"{line}\n{ds.attrs['history']}" if ds.attrs.get("history") else line
    made.attrs = attrs
    return made


def _check(name: Hashable, var: xr.Variable, settings: Settings) -> None:
    """Refuse data types that the format has not."""
    kind, size = var.dtype.kind, var.dtype.itemsize
    unknown = kind == "V" or (kind == "f" and size > 8)
    if settings.format == "netCDF":
        unknown = unknown or kind == "c" or (kind == "f" and size < 4)
    if unknown:
        raise XgradError(
            f"{name!r} has the data type {var.dtype}, which {settings.format} cannot store; "
            "convert it with .astype"
        )


def _even(ds: xr.Dataset, name: Hashable) -> None:
    """Let blocks of a variable be whole chunks of a store: several may not write one chunk at a time."""
    var = ds.variables[name]
    sizes = [whole_blocks(lengths) for lengths in var.chunks or ()]
    uneven = {dim: size for dim, size in zip(var.dims, sizes, strict=True) if size is not None}
    if uneven:
        ds[name] = var.chunk(uneven)


def _align_bounds(ds: xr.Dataset) -> None:
    """Let bounds of time count in the unit of their axis, as CF wants; in fractions of it if need be."""
    for var in list(ds.variables.values()):
        for key in ("bounds", "climatology"):
            bounds = ds.variables.get(var.encoding.get(key, var.attrs.get(key)))
            if bounds is not None and "units" in var.encoding:
                unit = {key: var.encoding[key] for key in ("units", "calendar") if key in var.encoding}
                bounds.encoding = {"dtype": np.dtype("f8")} | bounds.encoding | unit


def _name_coordinates(ds: xr.Dataset) -> None:
    """Say of each data variable its auxiliary coordinates: as its source did, else all that fit.

    Left to itself, xarray leaves out those whose name is part of that of their bounds (2026.9).
    """
    related: set[str] = set()
    for each in ds.variables.values():
        for key in _DESCRIBED_BY:
            related |= set(str(each.encoding.get(key, each.attrs.get(key, ""))).replace(":", " ").split())
    for array in ds.data_vars.values():
        var = array.variable
        known = var.encoding.get("coordinates", var.attrs.get("coordinates"))
        if known is not None:
            names = [name for name in known.split() if name in ds.variables]
        else:
            names = sorted(
                name
                for name, coordinate in ds.coords.items()
                if isinstance(name, str)
                and name not in (*ds.dims, *related)
                and set(coordinate.dims) <= set(var.dims)
            )
        var.attrs.pop("coordinates", None)
        if names:
            var.encoding["coordinates"] = " ".join(names)
        else:
            var.encoding.pop("coordinates", None)


def _encoding(var: xr.Variable, coordinate: bool, settings: Settings) -> dict[str, Any]:
    """Return how one variable is stored."""
    kept: tuple[str, ...] = LINKS + TIMES if _counts_time(var) else LINKS
    encoding: dict[str, Any] = {key: var.encoding[key] for key in kept if var.encoding.get(key) is not None}
    if coordinate and var.dtype.kind in "fMmO":
        # Left to itself, xarray would mark NaN as missing; CF coordinates miss nothing.
        encoding["_FillValue"] = var.encoding.get("_FillValue") if _counts_time(var) else None
    if var.ndim and var.size and var.dtype.kind in "biufc":
        blocks = var.chunks or [(size,) for size in var.shape]
        chunks = stored_chunks(var.shape, blocks, var.dtype.itemsize, whole=settings.format == "Zarr")
        encoding["chunks" if settings.format == "Zarr" else "chunksizes"] = chunks
        if settings.format == "Zarr" and settings.complevel is not None:
            encoding["compressors"] = _zarr_compressors(settings.complevel, settings.zarr_format)
        elif settings.complevel:
            encoding |= {"zlib": True, "complevel": settings.complevel, "shuffle": True}
    return encoding


def _zarr_compressors(level: int, version: int) -> Any:
    """Return the compressors of a Zarr array: none, or Zstandard with a shuffle of bytes."""
    if not level:
        return None
    if version == 2:
        from numcodecs import Blosc

        return (Blosc(cname="zstd", clevel=level, shuffle=Blosc.SHUFFLE),)
    from zarr.codecs import BloscCodec

    return (BloscCodec(cname="zstd", clevel=level, shuffle="shuffle"),)


def _counts_time(var: xr.Variable) -> bool:
    """Whether a variable holds dates; of objects, cftime dates have a calendar and strings have none."""
    return var.dtype.kind in "Mm" or (var.dtype.kind == "O" and "calendar" in var.encoding)
