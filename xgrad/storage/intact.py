"""Inputs that are whole, and stay as they are while they are read."""

from __future__ import annotations

import hashlib
import math
import os
import re
import struct
from collections.abc import Iterable, Mapping
from typing import BinaryIO

from xgrad.errors import ChangedInputError, InputError

State = tuple[int, ...]
# Where Datasets carry the states that their files had when they were opened, in their encoding.
OPENED = "xgrad_opened"


_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:(/|:)")  # C:/ is none; and a Path has made one slash of two


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a URL, which fsspec opens."""
    return bool(_URL.match(os.fspath(path)))


def local(path: str | os.PathLike[str]) -> str | None:
    """Return where a file lies in the file system, None if it does not lie there."""
    text = os.fspath(path).removeprefix("file://")
    return None if is_remote(text) else text


def state(inputs: Iterable[str | os.PathLike[str]]) -> dict[str, State]:
    """Return what differs once a file or a store is changed or replaced: of URLs nothing is known.

    Of a file its size, time of change and identity; of a folder the same of all its files, as numbers.
    """
    paths = {os.fspath(source): local(source) for source in inputs}
    return {source: _state(path) for source, path in paths.items() if path is not None}


def _state(source: str) -> State:
    """Return the state of one input."""
    if not os.path.isdir(source):
        return _state_of_file(source)
    count = total = mixed = 0
    for folder, _, names in os.walk(source):
        for name in names:
            path = os.path.join(folder, name)
            each = _state_of_file(path)
            text = f"{path} {each}"
            digest = hashlib.blake2b(os.fsencode(text), digest_size=6).digest()
            # A sum, for the order of files is the system's own.
            count, total, mixed = count + 1, total + each[0], mixed + int.from_bytes(digest, "big")
    return count, total, mixed


def _state_of_file(path: str) -> State:
    """Return the state of one file."""
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns, status.st_ino


def check_unchanged(before: Mapping[str, State]) -> None:
    """Refuse to publish what was computed from inputs that changed meanwhile."""
    for source, known in before.items():
        try:
            now = _state(local(source) or source)
        except OSError:  # gone, or going
            now = ()
        if now != known:
            raise ChangedInputError(
                f"the input {source!r} changed while it was read, so nothing was written; run it again"
            )


def check_whole(path: str | os.PathLike[str]) -> None:
    """Refuse a file that is shorter than its own header says; else what lacks is read as zeros (netCDF-3)."""
    size = os.path.getsize(path)
    try:
        with open(path, "rb") as file:
            magic = file.read(8)
            if magic[:3] == b"CDF" and magic[3:4] in (b"\x01", b"\x02", b"\x05"):
                needed = _Classic(file, magic[3]).size()
            elif magic == b"\x89HDF\r\n\x1a\n":
                needed = _size_of_hdf5(file)
            else:
                return
    except PermissionError:
        raise InputError(f"{os.fspath(path)!r} may not be read: permission denied") from None
    except (struct.error, _CutOffError):
        raise InputError(f"{os.fspath(path)!r} is cut off within its header, at {size} bytes") from None
    if size < needed:
        raise InputError(
            f"{os.fspath(path)!r} is cut off: it has {size} bytes, and its header says {needed}; "
            "fetch or make it again"
        )


def _size_of_hdf5(file: BinaryIO) -> int:
    """Return the size that the superblock of an HDF5 file says [HDF5 file format specification 3.0, II.A]."""
    file.seek(8)
    (version,) = struct.unpack("B", file.read(1))
    place = {0: 13, 1: 13, 2: 9, 3: 9}.get(version)
    if place is None:
        return 0
    file.seek(place)
    (width,) = struct.unpack("B", file.read(1))
    kind = {4: "<I", 8: "<Q"}.get(width)
    if kind is None:
        return 0
    file.seek({0: 24, 1: 28, 2: 12, 3: 12}[version])
    base, _, end = (struct.unpack(kind, file.read(width))[0] for _ in range(3))
    return 0 if base else int(end)


class _CutOffError(Exception):
    """There is less than was to be read."""


# Bytes of a value of each type, nc_byte to nc_uint64.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}


class _Classic:
    """The header of a netCDF-3 file, as far as it tells the size [netCDF classic format specification]."""

    def __init__(self, file: BinaryIO, version: int) -> None:
        self._file = file
        self._count = 8 if version == 5 else 4  # bytes of a number of things
        self._offset = 4 if version == 1 else 8  # bytes of a place in the file
        file.seek(4)

    def size(self) -> int:
        """Return the size of the whole file, but for what is only padding."""
        records = self._number(self._count)
        if records == (1 << 8 * self._count) - 1:  # a stream, whose writer did not know
            records = 0
        lengths = [self._dimension() for _ in range(self._list())]
        self._attributes()
        fixed, recorded = [0], []
        for _ in range(self._list()):
            begin, count, width, is_record = self._variable(lengths)
            if is_record:
                recorded.append((begin, count * width, width))
            else:
                fixed.append(begin + count * width if count else 0)
        stride = sum(_padded(size) for _, size, _ in recorded)
        if len(recorded) == 1:  # a single one is not padded
            stride = recorded[0][1]
        if records:
            fixed += [begin + (records - 1) * stride + size for begin, size, _ in recorded]
        return max(fixed)

    def _number(self, width: int) -> int:
        """Read a number."""
        return int.from_bytes(self._bytes(width), "big")

    def _bytes(self, count: int) -> bytes:
        """Read bytes."""
        found = self._file.read(count)
        if len(found) < count:
            raise _CutOffError
        return found

    def _skip(self, count: int) -> None:
        """Go over bytes and their padding."""
        self._file.seek(_padded(count), os.SEEK_CUR)

    def _list(self) -> int:
        """Read how long a list is."""
        self._bytes(4)
        return self._number(self._count)

    def _name(self) -> None:
        """Go over a name."""
        self._skip(self._number(self._count))

    def _dimension(self) -> int:
        """Read the length of a dimension, 0 for the one of records."""
        self._name()
        return self._number(self._count)

    def _attributes(self) -> None:
        """Go over attributes."""
        for _ in range(self._list()):
            self._name()
            kind = self._number(4)
            self._skip(self._number(self._count) * _SIZES.get(kind, 1))

    def _variable(self, lengths: list[int]) -> tuple[int, int, int, bool]:
        """Read where a variable begins, its values (of one record), their bytes, and if it has records."""
        self._name()
        dims = [self._number(self._count) for _ in range(self._number(self._count))]
        self._attributes()
        width = _SIZES.get(self._number(4), 1)
        self._number(self._count)  # its size, which does not hold large ones
        begin = self._number(self._offset)
        shape = [lengths[dim] for dim in dims if dim < len(lengths)]
        is_record = bool(shape) and shape[0] == 0
        return begin, math.prod(shape[is_record:]), width, is_record


def _padded(count: int) -> int:
    """Return a number of bytes up to a multiple of 4."""
    return -(-count // 4) * 4
