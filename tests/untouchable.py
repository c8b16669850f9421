"""Data that raise when anybody computes or loads them."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core.indexing import LazilyIndexedArray


class TouchedError(AssertionError):
    """Data were read that must not be."""


def _raise(*_: Any, **__: Any) -> Any:
    raise TouchedError("the data were computed")


class _File(BackendArray):
    """A variable of a file that cannot be read."""

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)

    def __getitem__(self, key: Any) -> Any:
        raise TouchedError("the data were loaded")


def chunked(shape: tuple[int, ...], dtype: Any = "f8", chunks: Any = 2) -> da.Array:
    """A Dask array whose blocks raise."""
    source = da.zeros(shape, chunks=chunks, dtype=dtype)
    return source.map_blocks(_raise, dtype=source.dtype, meta=np.empty((0,) * len(shape), dtype))


def in_file(shape: tuple[int, ...], dtype: Any = "f8") -> LazilyIndexedArray:
    """What xarray holds of a variable that was opened without chunks."""
    return LazilyIndexedArray(_File(shape, dtype))


def holding(
    kind: str, dims: Any, coords: Any = None, *, dtype: Any = "f8", name: Any = "f", **attrs: Any
) -> Any:
    """A DataArray of untouchable data; `dims` is a mapping of name to size."""
    shape = tuple(dims.values())
    data = chunked(shape, dtype) if kind == "dask" else in_file(shape, dtype)
    return xr.DataArray(xr.Variable(tuple(dims), data, attrs), coords=coords, name=name)


KINDS = ("dask", "file")
