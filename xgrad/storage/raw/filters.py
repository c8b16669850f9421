"""The filters of HDF5 chunks (shuffle, deflate, fletcher32), there and back: bare bytes and arrays.

Everything here runs in the calling thread and holds the GIL for moments only. Measured on 4 MiB of float32,
in ms: inflate 3.7 (isal) or 8.9 (zlib); deflate 4.4 (isal, level 1); unshuffle 1.2 as strided copies, 0.9 by
shifting in NumPy, 0.3 compiled; shuffle 1.2 and 0.4; fletcher32 4.2 by cumulative sums, 2.1 compiled, which
is not worth a kernel as it is summed over compressed bytes.
"""

from __future__ import annotations

import math
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xgrad.errors import InputError, MissingExtraError

CODECS = ("isal", "zlib")
# What HDF5 calls them.
_FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32"}
_LAYOUTS = {0: "compact", 1: "contiguous", 3: "virtual"}
_ISAL_LEVEL = 2  # of 0 to 3: within 5 % of zlib 4; 1 is a tenth faster and 3 % larger, 3 is much slower
_SECTION = 4096  # elements that stay in the first cache

Bytes = NDArray[np.uint8]


class Unsupported(Exception):  # noqa: N818
    """Data that are not read or written raw; the message says why, and the ordinary way serves them."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """How the chunks of one variable are stored.

    Attributes
    ----------
    filters : tuple of str
        Their names, in the order in which they are applied when a chunk is written.
    dtype : dtype
        As stored, byte order included.
    chunks : tuple of int
        Shape of a chunk.
    fill : scalar
        What a chunk that was never written consists of.
    codec : {"isal", "zlib"}
        What inflates and deflates.
    level : int
        The deflate level that the file names; zlib heeds it, isal has one that is worth its time.
    """

    filters: tuple[str, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    fill: Any
    codec: str
    level: int

    @classmethod
    def of(cls, dataset: Any, codec: str | None = None) -> Pipeline:
        """Describe a variable.

        Parameters
        ----------
        dataset : h5py.Dataset
            The variable in an open file; the caller holds the HDF5 lock.
        codec : {"isal", "zlib"}, optional
            What is to inflate and deflate; the fastest that is installed by default.

        Returns
        -------
        Pipeline
            All that is needed to decode and encode its chunks without HDF5.

        Raises
        ------
        Unsupported
            If anything about the variable is not known here.
        """
        from h5py import h5t

        made = dataset.id.get_create_plist()
        layout = _LAYOUTS.get(made.get_layout())
        if layout is not None:
            raise Unsupported(f"it is {layout}")
        if dataset.file.userblock_size or dataset.file.driver not in ("sec2", "fileobj"):
            raise Unsupported("its file has a user block or is spread over several")
        dtype, stored = dataset.dtype, dataset.id.get_type()
        plain = dtype.kind in "iuf" and dtype.itemsize <= 8 and dtype.metadata is None
        if not plain or not stored.equal(h5t.py_create(dtype)):
            raise Unsupported(f"its type is no plain number ({dtype})")
        filters, level = [], 0
        for position in range(made.get_nfilters()):
            code, _, values, _ = made.get_filter(position)
            if code not in _FILTERS:
                raise Unsupported(f"filter {code} is not known")
            filters.append(_FILTERS[code])
            if filters[-1] == "deflate":
                level = values[0]
            elif filters[-1] == "shuffle" and tuple(values[:1]) != (dtype.itemsize,):
                raise Unsupported("its bytes are shuffled in another way than its type")
        codec = codec or default_codec()
        found = cls(tuple(filters), dtype, dataset.chunks, dataset.fillvalue, codec, level)
        if filters and _partial_chunks_as_they_are(dataset, found.nbytes):
            raise Unsupported("its partial chunks may be stored unfiltered")
        return found

    @property
    def nbytes(self) -> int:
        """Size of a decoded chunk.

        Returns
        -------
        int
            In bytes.
        """
        return math.prod(self.chunks) * self.dtype.itemsize

    def decode(self, raw: bytes, mask: int = 0, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Undo the filters.

        Parameters
        ----------
        raw : bytes
            The chunk as stored.
        mask : int
            Bit k says that filter k was left out when the chunk was written.
        out : ndarray, optional
            Takes the result; contiguous, of the shape of a chunk and of the data type stored.

        Returns
        -------
        ndarray
            The elements of the chunk; `out` where that is given, otherwise not for writing.

        Raises
        ------
        InputError
            If the chunk is damaged.
        """
        data = np.frombuffer(raw, np.uint8)
        todo = [name for k, name in enumerate(self.filters) if not mask >> k & 1]
        while todo:
            name = todo.pop()
            if name == "deflate":
                data = self._inflated(data)
            elif name == "fletcher32":
                data = _checked(data)
            elif todo or out is None or data.size != self.nbytes:
                data = _unshuffled(data, np.empty_like(data), self.dtype.itemsize)
            else:
                data = _unshuffled(data, _as_bytes(out), self.dtype.itemsize)
        if data.size != self.nbytes:
            raise InputError(f"it holds {data.size} bytes, not {self.nbytes}")
        block = data.view(self.dtype).reshape(self.chunks)
        if out is None:
            return block
        if not np.may_share_memory(block, out):
            out[...] = block
        return out

    def encode(self, block: NDArray[Any]) -> Bytes:
        """Apply the filters, none of them left out.

        Parameters
        ----------
        block : ndarray
            Elements of a whole chunk.

        Returns
        -------
        ndarray of uint8
            What is to be stored.
        """
        data = _as_bytes(np.ascontiguousarray(block, self.dtype))
        for name in self.filters:
            if name == "deflate":
                level = _ISAL_LEVEL if self.codec == "isal" else self.level
                data = np.frombuffer(_codec(self.codec).compress(data, level), np.uint8)
            elif name == "shuffle":
                data = _shuffled(data, np.empty_like(data), self.dtype.itemsize)
            else:
                data = np.concatenate([data, _sum(data)])
        return data

    def _inflated(self, data: Bytes) -> Bytes:
        """Undo deflate; never more bytes than a chunk and its checksum have."""
        codec = _codec(self.codec)
        inflate = codec.decompressobj()
        try:
            found = inflate.decompress(data, self.nbytes + 8)
        except (codec.error, zlib.error) as error:
            raise InputError(f"it does not inflate ({error})") from None
        if not inflate.eof:
            raise InputError("it does not inflate to the size of a chunk")
        return np.frombuffer(found, np.uint8)


def default_codec() -> str:
    """Choose among the codecs.

    Returns
    -------
    str
        The fastest one that is installed.
    """
    return "isal" if find_spec("isal") is not None else "zlib"


@cache
def _codec(name: str) -> ModuleType:
    """The module of a codec."""
    if name == "zlib":
        return zlib
    try:
        from isal import isal_zlib
    except ImportError:
        raise MissingExtraError("the codec isal", "fastio") from None
    return isal_zlib


def _partial_chunks_as_they_are(dataset: Any, nbytes: int) -> bool:
    """Whether chunks that reach beyond the array may be stored unfiltered, as H5Pset_chunk_opts allows.

    Nothing that HDF5 tells of a file shows it but the size of such a chunk; the last chunk is one, if any is.
    """
    ends = list(zip(dataset.shape, dataset.chunks, strict=True))
    if not dataset.size or not any(size % chunk for size, chunk in ends):
        return False

    def partial(stored: Any) -> Any:
        starts = zip(stored.chunk_offset, ends, strict=True)
        return stored if any(start + chunk > size for start, (size, chunk) in starts) else None

    stored = dataset.id.get_chunk_info_by_coord(tuple((size - 1) // chunk * chunk for size, chunk in ends))
    if stored.byte_offset is None:  # never written
        stored = dataset.id.chunk_iter(partial)
    return stored is not None and stored.size == nbytes and not stored.filter_mask


def _as_bytes(array: NDArray[Any]) -> Bytes:
    """View a contiguous array as bytes."""
    return array.reshape(-1).view(np.uint8)


def _unshuffled(data: Bytes, out: Bytes, size: int) -> Bytes:
    """Gather the bytes of each element, of which first all first bytes are stored, then all second ones."""
    whole = data.size // size * size  # a checksum may follow
    planes, elements = data[:whole].reshape(size, -1), out[:whole]
    kernel = _shuffler(_gather, size)
    if kernel is None:
        elements.reshape(-1, size)[...] = planes.T
    else:
        planes.setflags(write=False)  # always, as each type would be compiled for itself
        kernel(planes, elements.view(f"u{size}"))
    out[whole:] = data[whole:]
    return out


def _shuffled(data: Bytes, out: Bytes, size: int) -> Bytes:
    """Store first the first bytes of all elements, then their second bytes, and so on."""
    whole = data.size // size * size
    elements, planes = data[:whole], out[:whole].reshape(size, -1)
    kernel = _shuffler(_spread, size)
    if kernel is None:
        planes[...] = elements.reshape(-1, size).T
    else:
        elements.setflags(write=False)
        kernel(elements.view(f"u{size}"), planes)
    out[whole:] = data[whole:]
    return out


def _gather(planes, out):  # type: ignore[no-untyped-def]
    """Unshuffle; a section of elements at a time, their high bytes first."""
    size, count = planes.shape
    for start in range(0, count, _SECTION):
        section = out[start : start + _SECTION]
        plane = planes[size - 1, start : start + _SECTION]
        for i in range(section.size):
            section[i] = plane[i]
        for k in range(size - 2, -1, -1):
            plane = planes[k, start : start + _SECTION]
            for i in range(section.size):
                section[i] = (section[i] << 8) | plane[i]


def _spread(elements, planes):  # type: ignore[no-untyped-def]
    """Shuffle."""
    size, count = planes.shape
    for start in range(0, count, _SECTION):
        section = elements[start : start + _SECTION]
        for k in range(size):
            plane = planes[k, start : start + _SECTION]
            for i in range(section.size):
                plane[i] = section[i] >> (8 * k)


@cache
def compiled(function: Callable[..., None], *labels: object) -> Callable[..., None] | None:
    """Compile a loop for arrays that the labels tell.

    Parameters
    ----------
    function : callable
        The loop.
    *labels : object
        What tells the types of its arrays: each kernel is made, and cached on disk, for one set of them.

    Returns
    -------
    callable or None
        It holds the GIL for moments only; None where Numba cannot be imported.
    """
    try:
        from xgrad.kernels.compiled import _compiled
    except ImportError:
        return None
    return _compiled(function, *labels)


def _shuffler(function: Callable[..., None], size: int) -> Callable[..., None] | None:
    """Compile a loop that shifts the bytes of an element out of it or into it."""
    return compiled(function, size) if size > 1 and sys.byteorder == "little" else None


def _checked(data: Bytes) -> Bytes:
    """Take off the checksum, which must be right."""
    body, stored = data[:-4], data[-4:]
    if not np.array_equal(_sum(body), stored):
        raise InputError("its checksum is wrong")
    return body


def _sum(data: Bytes) -> Bytes:
    """Checksum fletcher32 as HDF5 stores it: of big-endian 16-bit words, modulo 65535 but never 0 again."""
    words = data[: data.size // 2 * 2].view(">u2")
    first = second = 0
    for start in range(0, words.size, 1 << 16):
        sums = np.cumsum(words[start : start + (1 << 16)], dtype=np.uint64)
        second = _folded(second + first * sums.size + int(sums.sum()))
        first = _folded(first + int(sums[-1]))
    if data.size % 2:
        first = _folded(first + (int(data[-1]) << 8))
        second = _folded(second + first)
    return np.frombuffer((second << 16 | first).to_bytes(4, "little"), np.uint8)


def _folded(total: int) -> int:
    """Return the remainder by 65535, where only nothing gives 0."""
    return (total - 1) % 65535 + 1 if total else 0
