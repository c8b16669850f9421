"""Read the chunks of netCDF-4 files without HDF5: any number of threads inflate at once.

HDF5 and netCDF-C do one thing at a time, under a lock. Here HDF5 only tells where the chunks of a variable
lie in the file; the threads that want them read them from there and decode them.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray, BackendEntrypoint, NetCDF4DataStore, StoreBackendEntrypoint
from xarray.backends.locks import HDF5_LOCK
from xarray.core import indexing

from xgrad.errors import InputError
from xgrad.storage.raw.filters import Pipeline, Unsupported
from xgrad.storage.raw.parts import Part, parts, selection
from xgrad.storage.raw.tables import Packing

# A chunk costs Python some 20 µs; below these sizes HDF5 is as fast.
_SMALL_VARIABLE = 1 << 16
_SMALL_CHUNK = 1 << 13
_INDEXES_KEPT = 128
# How netCDF-C names a variable in the file if a dimension has its name and it is no coordinate of that one.
_APART = "_nc4_non_coord_"


def available() -> bool:
    """Whether chunks can be read and written raw here.

    Returns
    -------
    bool
        False without h5py 3.16, whose direct chunk calls are the first to be safe with threads.
    """
    try:
        import h5py
    except ImportError:
        return False
    known = h5py.version.version_tuple[:2] >= (3, 16) and hasattr(h5py.h5d.DatasetID, "chunk_iter")
    return known and hasattr(os, "pread")


def raw_variables(path: str | os.PathLike[str]) -> dict[str, str | None]:
    """Tell which variables of a file are read raw.

    Parameters
    ----------
    path : str or os.PathLike
        A file that xarray's engine netcdf4 can open.

    Returns
    -------
    dict of str to str or None
        For each variable the reason why it is read in the ordinary way; None if it is read raw.
    """
    store = _RawStore.open(os.fspath(path))
    try:
        store.get_variables()
        return dict(store.reasons)
    finally:
        store.close()


def in_group(group: Any, name: str) -> Any:
    """Find a variable.

    Parameters
    ----------
    group : h5py.Group
        Where it is.
    name : str
        As netCDF names it.

    Returns
    -------
    h5py.Dataset
        As HDF5 knows it.
    """
    return group[_APART + name if _APART + name in group else name]


class RawEntrypoint(BackendEntrypoint):
    """What `xarray.open_dataset` takes as `engine`: netcdf4, but chunks are read raw where that is possible.

    Values, data types, attributes and encodings are those of the engine netcdf4.
    """

    description = "Open netCDF files with the engine netcdf4, and read compressed chunks in many threads"
    # xarray finds them out for engines that are given by name only.
    open_dataset_parameters = (
        "filename_or_obj",
        "mask_and_scale",
        "decode_times",
        "concat_characters",
        "decode_coords",
        "drop_variables",
        "use_cftime",
        "decode_timedelta",
        "group",
    )

    def open_dataset(  # type: ignore[override]
        self,
        filename_or_obj: str | os.PathLike[str],
        *,
        mask_and_scale: bool | Mapping[str, bool] = True,
        decode_times: Any = True,
        concat_characters: bool | Mapping[str, bool] = True,
        decode_coords: Any = True,
        drop_variables: str | Iterable[str] | None = None,
        use_cftime: Any = None,
        decode_timedelta: Any = None,
        group: str | None = None,
    ) -> xr.Dataset:
        """Open a file as xarray's engine netcdf4 does.

        Parameters
        ----------
        filename_or_obj : str or os.PathLike
            The file.
        mask_and_scale, decode_times, concat_characters, decode_coords : optional
            As in `xarray.open_dataset`.
        drop_variables : str or iterable of str, optional
            Variables to leave out.
        use_cftime, decode_timedelta : optional
            As in `xarray.open_dataset`.
        group : str, optional
            The group of the file.

        Returns
        -------
        xarray.Dataset
            Decoded and lazy.
        """
        path = os.path.abspath(os.path.expanduser(os.fspath(filename_or_obj)))
        store = _RawStore.open(path, group=group)
        try:
            found = StoreBackendEntrypoint().open_dataset(
                store,
                mask_and_scale=mask_and_scale,
                decode_times=decode_times,
                concat_characters=concat_characters,
                decode_coords=decode_coords,
                drop_variables=drop_variables,
                use_cftime=use_cftime,
                decode_timedelta=decode_timedelta,
            )
            for name, (raw, attrs) in store.raw.items():
                if name in found.variables:
                    raw.unpack(found.variables[name], attrs)
        except BaseException:
            store.close()
            raise
        return found


class _RawStore(NetCDF4DataStore):
    """xarray's access to a netCDF file, with arrays of our own for what can be read raw."""

    reasons: dict[str, str | None]
    raw: dict[str, tuple[RawArray, dict[str, Any]]]

    def get_variables(self) -> Mapping[str, xr.Variable]:
        """All variables; `raw` has those read raw and their attributes, `reasons` why the others are not."""
        variables = dict(super().get_variables())
        self.reasons, self.raw = dict.fromkeys(variables), {}
        try:
            with self._hdf5() as group:
                for name, var in variables.items():
                    try:
                        raw = self._raw(group, name, var)
                    except Unsupported as reason:
                        self.reasons[name] = str(reason)
                    else:
                        self.raw[name] = raw, dict(var.attrs)
                        data = indexing.LazilyIndexedArray(raw)
                        variables[name] = xr.Variable(var.dims, data, var.attrs, var.encoding, fastpath=True)
        except Unsupported as reason:
            self.reasons = dict.fromkeys(variables, str(reason))
        return variables

    @contextmanager
    def _hdf5(self) -> Iterator[Any]:
        """Open the group by HDF5, and hold its lock."""
        if not self.format.startswith("NETCDF4"):
            raise Unsupported("its file is not netCDF-4")
        if not os.path.isfile(self._filename):
            raise Unsupported("its file is not local")
        if not available():
            raise Unsupported("h5py 3.16 is not installed")
        import h5py

        with HDF5_LOCK:
            try:
                file = h5py.File(self._filename, "r")
            except OSError as error:
                raise Unsupported(f"h5py cannot open its file ({error})") from None
            with file:
                yield file[self._group or "/"]

    def _raw(self, group: Any, name: str, var: xr.Variable) -> RawArray:
        """The array of one variable; the caller holds the lock."""
        if var.nbytes <= _SMALL_VARIABLE:
            raise Unsupported("it is small")
        dataset = in_group(group, name)
        pipeline = Pipeline.of(dataset)
        if pipeline.nbytes < _SMALL_CHUNK:
            raise Unsupported(f"its chunks are small ({pipeline.nbytes} bytes)")
        if dataset.shape != var.shape or pipeline.dtype != var.dtype:  # as where another variable is longer
            raise Unsupported("netCDF sees it with another shape or type")
        path = os.path.realpath(self._filename)
        return RawArray(path, dataset.name, var.shape, var.dtype, _state(os.stat(path)))


class RawArray(BackendArray):
    """A variable of a netCDF-4 file, for xarray's lazy indexing; pickled as a name.

    Parameters
    ----------
    path : str
        The file.
    name : str
        The variable, as HDF5 names it.
    shape : tuple of int
        Its shape.
    dtype : dtype
        Its data type as stored.
    state : tuple of int
        Size of the file and time of its last change; a file that differs is not read.
    packing : Packing, optional
        How its numbers are unpacked, if they are; `dtype` is then that of the unpacked ones.

    Notes
    -----
    A file is opened for each read and closed after it, which takes microseconds where reading takes
    milliseconds; no descriptor outlives a read, whatever the number of files and threads.
    """

    def __init__(
        self,
        path: str,
        name: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        state: tuple[int, int],
        packing: Packing | None = None,
    ) -> None:
        self.path = path
        self.name = name
        self.shape = shape
        self.dtype = dtype
        self.state = state
        self.packing = packing

    def unpack(self, var: xr.Variable, attrs: Mapping[str, Any]) -> None:
        """Let a variable that xarray decodes from this array be decoded by a table, where one can do it."""
        packing = Packing.of(self.dtype, attrs, var.dtype)
        if packing is not None:
            raw = RawArray(self.path, self.name, self.shape, var.dtype, self.state, packing)
            var.data = indexing.LazilyIndexedArray(raw)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[Any]:
        found: NDArray[Any] = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )
        return found

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        """Read what is selected along each dimension by itself."""
        try:
            file = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise InputError(f"{self.path!r} cannot be read any more: {error.strerror}") from error
        try:
            index = self._index(os.fstat(file))
            chunks = index.pipeline.chunks
            wanted = [parts(*each) for each in zip(key, self.shape, chunks, strict=True)]
            out = np.empty([sum(part.length for part in along) for along in wanted], self.dtype)
            for each in itertools.product(*wanted):
                self._read_chunk(file, index, each, out)
        finally:
            os.close(file)
        return out[tuple(0 if isinstance(each, int | np.integer) else slice(None) for each in key)]

    def _read_chunk(self, file: int, index: _Index, wanted: Sequence[Part], out: NDArray[Any]) -> None:
        """Read what is wanted of one chunk."""
        number, packing = tuple(part.number for part in wanted), self.packing
        target = selection([part.to for part in wanted])
        size = int(index.sizes[number])
        if not size:
            fill = np.full((), index.pipeline.fill, index.pipeline.dtype)
            out[target] = fill if packing is None else packing.unpack(fill)
            return
        raw = os.pread(file, size, int(index.offsets[number]))
        mask = int(index.masks[number])
        try:
            if len(raw) < size:
                raise InputError("the file ends before it")
            whole = all(part.whole for part in wanted) and (region := out[target]).flags.c_contiguous
            if whole and packing is None:
                index.pipeline.decode(raw, mask, region)
            elif whole and packing is not None:
                packing.unpack(index.pipeline.decode(raw, mask), region)
            else:
                piece = index.pipeline.decode(raw, mask)[selection([part.of for part in wanted])]
                out[target] = piece if packing is None else packing.unpack(piece)
        except InputError as error:
            raise InputError(
                f"{self.path!r} is damaged: chunk {number} of {self.name!r} cannot be read: {error}"
            ) from None

    def _index(self, status: os.stat_result) -> _Index:
        """Where the chunks are, asked of HDF5 once in a process."""
        if _state(status) != self.state:
            raise InputError(f"{self.path!r} changed since it was opened; open it again")
        key = (self.path, self.name, *self.state, status.st_ino, status.st_dev)
        found = _indexes.get(key)
        if found is None:
            with HDF5_LOCK:
                found = _indexes.get(key)
                if found is None:
                    found = _indexes[key] = _Index.of(self.path, self.name)
                    while len(_indexes) > _INDEXES_KEPT:
                        del _indexes[next(iter(_indexes))]
        return found


class _Index(NamedTuple):
    """Place, size and filter mask of each chunk of a variable, on their grid; size 0: none there."""

    pipeline: Pipeline
    offsets: NDArray[np.uint64]
    sizes: NDArray[np.uint32]
    masks: NDArray[np.uint32]

    @classmethod
    def of(cls, path: str, name: str) -> _Index:
        """Ask HDF5; the caller holds its lock."""
        import h5py

        with h5py.File(path, "r") as file:
            dataset = file[name]
            pipeline = Pipeline.of(dataset)
            chunks = pipeline.chunks
            grid = [-(-size // chunk) for size, chunk in zip(dataset.shape, chunks, strict=True)]
            index = cls(pipeline, np.zeros(grid, "u8"), np.zeros(grid, "u4"), np.zeros(grid, "u4"))

            def enter(stored: Any) -> None:
                number = tuple(
                    start // chunk for start, chunk in zip(stored.chunk_offset, chunks, strict=True)
                )
                index.offsets[number] = stored.byte_offset
                index.sizes[number] = stored.size
                index.masks[number] = stored.filter_mask

            dataset.id.chunk_iter(enter)
        return index


_indexes: dict[tuple[Any, ...], _Index] = {}


def _state(status: os.stat_result) -> tuple[int, int]:
    """What differs once a file has been changed."""
    return status.st_size, status.st_mtime_ns
