"""Arrays of files that say which file and which variable is damaged when they cannot be read."""

from __future__ import annotations

import os
from typing import Any

import xarray as xr
from xarray.backends import BackendEntrypoint
from xarray.backends.plugins import get_backend
from xarray.core import indexing

from xgrad.errors import InputError, XgradError
from xgrad.storage.intact import is_remote


class CarefulEntrypoint(BackendEntrypoint):
    """What `xarray.open_dataset` takes as `engine`: another one, whose arrays fail with InputErrors."""

    description = "Open files with another engine, and say what is damaged"
    open_dataset_parameters = (
        "filename_or_obj",
        "mask_and_scale",
        "decode_times",
        "concat_characters",
        "decode_coords",
        "drop_variables",
        "use_cftime",
        "decode_timedelta",
    )

    def open_dataset(  # type: ignore[override]
        self, filename_or_obj: str | os.PathLike[str], *, reader: Any, **options: Any
    ) -> xr.Dataset:
        """Open a file with the engine that reads it.

        Parameters
        ----------
        filename_or_obj : str or os.PathLike
            The file.
        reader : str or type
            The engine that reads it.
        **options
            Its options.

        Returns
        -------
        xarray.Dataset
            Decoded and lazy.
        """
        found = get_backend(reader).open_dataset(source(filename_or_obj, reader), **options)
        for name, var in found.variables.items():
            data: Any = var._data
            if isinstance(data, indexing.ExplicitlyIndexed) and not var._in_memory:
                said = f"variable {name!r} of {os.fspath(filename_or_obj)!r}"
                var.data = _Careful(data, said)
        return found


def source(path: str | os.PathLike[str], reader: Any) -> Any:
    """Return what an engine opens for a path: in that of a store, zarr 3.4 would take ? and # for a URL's.

    Parameters
    ----------
    path : str or os.PathLike
        A file, a store or a URL.
    reader : str or type
        The engine.

    Returns
    -------
    str, os.PathLike or zarr.abc.store.Store
        The first argument of `xarray.open_dataset`.
    """
    if reader != "zarr" or is_remote(path):
        return path
    from xgrad.storage.blosc import WholeChunks

    return WholeChunks(os.path.abspath(path), read_only=True)  # workers of a cluster work elsewhere


class _Careful(indexing.ExplicitlyIndexedNDArrayMixin):
    """An array of a file."""

    __slots__ = ("array", "said")

    def __init__(self, array: Any, said: str) -> None:
        self.array = indexing.as_indexable(array)
        self.said = said

    def get_duck_array(self) -> Any:
        """Read it."""
        try:
            return self.array.get_duck_array()
        except (MemoryError, XgradError):
            raise
        except Exception as error:  # whatever the decoders of damaged bytes stumble over
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(
                f"{self.said} cannot be read: {said}; the file is damaged, or its disk is"
            ) from error

    def _oindex_get(self, indexer: Any) -> _Careful:
        return _Careful(self.array.oindex[indexer], self.said)

    def _vindex_get(self, indexer: Any) -> _Careful:
        return _Careful(self.array.vindex[indexer], self.said)

    def __getitem__(self, indexer: Any) -> _Careful:
        return _Careful(self.array[indexer], self.said)
