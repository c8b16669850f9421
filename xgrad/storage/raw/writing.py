"""Write whole chunks of netCDF-4 files as they are stored: any number of threads deflate at once."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from xarray.backends.locks import HDF5_LOCK

from xgrad.storage.raw.filters import Pipeline, Unsupported
from xgrad.storage.raw.reading import in_group
from xgrad.storage.raw.shared import ALIGNED, PAGE, SharedFile


@contextmanager
def raw_targets(
    path: str | os.PathLike[str], arrays: Mapping[str, Any], codec: str | None = None
) -> Iterator[dict[str, RawTarget]]:
    """Open a netCDF-4 file, made with all its metadata, to write blocks into its variables.

    Parameters
    ----------
    path : str or os.PathLike
        The file, which nobody else has open.
    arrays : mapping of str to array
        The variables, and what has the shape that each of them is to get.
    codec : {"isal", "zlib"}, optional
        What deflates; the fastest that is installed by default. The level is the one that the file says.

    Yields
    ------
    dict of str to RawTarget
        What takes the blocks of each variable, those included that are written in the ordinary way.
    """
    import h5py

    with closing(SharedFile(path)) as shared:
        with HDF5_LOCK:
            file = h5py.File(shared, "r+", alignment_threshold=ALIGNED, alignment_interval=PAGE)
        try:
            with HDF5_LOCK:
                targets = {
                    name: RawTarget(shared, in_group(file, name), each.shape, codec)
                    for name, each in arrays.items()
                }
            yield targets
        finally:
            with HDF5_LOCK:
                file.close()
        shared.finish()


class RawTarget:
    """A variable of an open file: ``target[region] = block``, from any thread.

    Parameters
    ----------
    file : SharedFile
        The file.
    dataset : h5py.Dataset
        The variable; the caller holds the HDF5 lock.
    shape : tuple of int, optional
        The shape that it is to get, where it has unlimited dimensions.
    codec : {"isal", "zlib"}, optional
        What deflates.

    Attributes
    ----------
    reason : str or None
        Why HDF5 deflates, if it has to.
    """

    def __init__(
        self,
        file: SharedFile,
        dataset: Any,
        shape: tuple[int, ...] | None = None,
        codec: str | None = None,
    ) -> None:
        if shape is not None and shape != dataset.shape:
            dataset.resize(shape)
        self._file = file
        self._dataset = dataset
        self._shape: tuple[int, ...] = dataset.shape
        self._pipeline: Pipeline | None = None
        self.reason: str | None = None
        try:
            self._pipeline = Pipeline.of(dataset, codec)
        except Unsupported as reason:
            self.reason = str(reason)

    def __setitem__(self, region: tuple[slice, ...], block: Any) -> None:
        """Write a block; whole chunks of it are encoded in the calling thread."""
        if self._pipeline is None:
            self._leave(region, np.asarray(block))
            return
        block = np.asarray(block).astype(self._pipeline.dtype, casting="same_kind", copy=False)
        along = zip(region, self._pipeline.chunks, self._shape, strict=True)
        for pieces in itertools.product(*[list(_pieces(*each)) for each in along]):
            part = block[tuple(piece.of for piece in pieces)]
            if all(piece.whole for piece in pieces):
                self._write(self._pipeline, tuple(piece.start for piece in pieces), part)
            else:
                self._leave(tuple(piece.to for piece in pieces), part)

    def _write(self, pipeline: Pipeline, start: tuple[int, ...], part: NDArray[Any]) -> None:
        """Write a whole chunk, or all of it that is within the array."""
        if part.shape != pipeline.chunks:
            padded = np.full(pipeline.chunks, pipeline.fill, pipeline.dtype)
            padded[tuple(slice(size) for size in part.shape)] = part
            part = padded
        stored = pipeline.encode(part)
        with HDF5_LOCK:
            place = self._file.place(self._dataset, start, stored)
        if place is not None:
            self._file.fill(place, stored)

    def _leave(self, region: tuple[slice, ...], part: NDArray[Any]) -> None:
        """Leave a part to HDF5."""
        with HDF5_LOCK:
            if part.dtype.kind != "S":
                self._dataset[region] = part
                return
            # A character of netCDF is a string that ends with a zero: if HDF5 converted it, only that stayed.
            from h5py import h5s

            space = self._dataset.id.get_space()
            space.select_hyperslab(tuple(along.start for along in region), part.shape)
            inside, kind = h5s.create_simple(part.shape), self._dataset.id.get_type()
            self._dataset.id.write(inside, space, np.ascontiguousarray(part), kind)


class _Piece(NamedTuple):
    """What belongs to one chunk, along one dimension.

    Attributes
    ----------
    start : int
        Where the chunk starts.
    of, to : slice
        Where the piece is in the block, and in the array.
    whole : bool
        Whether that is all of the chunk that is within the array.
    """

    start: int
    of: slice
    to: slice
    whole: bool


def _pieces(region: slice, chunk: int, size: int) -> Iterator[_Piece]:
    """Divide a part of a dimension among its chunks."""
    for start in range(region.start // chunk * chunk, region.stop, chunk):
        stop = min(start + chunk, size)
        low, high = max(start, region.start), min(stop, region.stop)
        of = slice(low - region.start, high - region.start)
        yield _Piece(start, of, slice(low, high), (low, high) == (start, stop))
