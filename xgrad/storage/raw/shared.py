"""A file that HDF5 lays out and threads fill, past the cache of the system where that is worth it."""

from __future__ import annotations

import errno
import io
import mmap
import os
from concurrent.futures import Future, ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

# Chunks of at least this size begin with a page, and their whole pages go to the disk: what lies in one
# page must not go there both past the cache and through it.
ALIGNED, PAGE = 1 << 20, mmap.PAGESIZE
# How much is on its way to the disk: the buffers, and the size of each.
_BUFFERS, _BUFFER = 4, 4 << 20


class SharedFile(io.RawIOBase):
    """What HDF5 takes for its file; chunks go past it, and large ones past the cache of the system.

    HDF5 finds a place for a chunk only when it is given its bytes, and then writes them, under its lock.
    Here it is given them, but the writing of just these bytes is left out: `place` tells where they belong,
    and `fill` puts them there from any thread.

    Large chunks go to the disk directly. The cache of the system would have to find memory for each page,
    copy to it, and wait for the disk at the end; so the disk works from the first block on, and what
    others have in the cache stays there. Where a file system knows no such writes, the cache serves.

    Parameters
    ----------
    path : str or os.PathLike
        An existing file, which nobody else has open.

    Notes
    -----
    HDF5 never sees an error of the disk: it would be left with a file that it can neither write nor close,
    and crash at the end of the process. The first error is kept, and `check` raises it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = os.open(path, os.O_RDWR)
        self._direct = _opened_directly(path)
        self._writers = ThreadPoolExecutor(_BUFFERS, thread_name_prefix="xgrad-disk")
        self._free: SimpleQueue[Bytes] = SimpleQueue()
        self._pending: set[Future[None]] = set()
        for _ in range(_BUFFERS):  # they begin with a page, as the disk wants it
            self._free.put(np.frombuffer(mmap.mmap(-1, _BUFFER), np.uint8))
        self._at = 0
        self._error: BaseException | None = None
        self._left_out: int | None = None
        self._place: int | None = None
        self._end = 0

    def place(self, dataset: Any, start: tuple[int, ...], stored: Bytes) -> int | None:
        """Have HDF5 find a place for a chunk; the caller holds its lock.

        Parameters
        ----------
        dataset : h5py.Dataset
            The variable.
        start : tuple of int
            Where the chunk starts in it.
        stored : ndarray of uint8
            The chunk as stored.

        Returns
        -------
        int or None
            The place, for `fill`; None if HDF5 wrote the chunk itself.
        """
        self._left_out, self._place = stored.ctypes.data, None
        try:
            dataset.id.write_direct_chunk(start, stored)
        finally:
            self._left_out = None
        self.check()
        if self._place is not None:
            if self._place < self._end:
                self._settle()  # something else may be on its way there
            self._end = max(self._end, self._place + stored.size)
        return self._place

    def fill(self, place: int, stored: Bytes) -> None:
        """Write a chunk to its place, from any thread.

        Parameters
        ----------
        place : int
            What `place` returned.
        stored : ndarray of uint8
            The chunk; it may change afterwards.
        """
        pages = stored.size - stored.size % PAGE if stored.size >= ALIGNED and not place % PAGE else 0
        done = 0
        if self._direct is not None:
            while done < pages:
                part = stored[done : min(done + _BUFFER, pages)]
                self._start_writing(self._direct, part, place + done)
                done += part.size
        _write(self._file, stored[done:].data, place + done)
        self.check()

    def _start_writing(self, direct: int, part: Bytes, place: int) -> None:
        """Have pages of a chunk written past the cache, as soon as there is a buffer for them."""
        buffer = self._free.get()
        try:
            buffer[: part.size] = part
            job = self._writers.submit(self._write_pages, direct, buffer, part.size, place)
            self._pending.add(job)
            job.add_done_callback(self._pending.discard)
        except BaseException:
            self._free.put(buffer)
            raise

    def _write_pages(self, direct: int, buffer: Bytes, size: int, place: int) -> None:
        """Write what is in a buffer, and set that free."""
        pages = buffer[:size].data
        try:
            try:
                _write(direct, pages, place)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                _write(self._file, pages, place)  # the disk wants them otherwise
        except BaseException as error:
            self._error = self._error or error
        finally:
            self._free.put(buffer)

    def _settle(self) -> None:
        """Wait for what is on its way to the disk."""
        wait(list(self._pending))

    def check(self) -> None:
        """Raise the first error that nobody was told of, if there was one."""
        if self._error is not None:
            raise self._error

    def finish(self) -> None:
        """Wait until nothing is on its way to the disk, and raise the first error, if there was one."""
        self._settle()
        self.check()

    # What HDF5 calls, under its lock.

    def readable(self) -> bool:
        """Yes."""
        return True

    def writable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: os.fstat(self._file).st_size}
        self._at = base[whence] + offset
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read from the place on."""
        self._settle()
        found = os.pread(self._file, len(buffer), self._at)
        memoryview(buffer)[: len(found)] = found
        self._at += len(found)
        return len(found)

    def write(self, data: Any) -> int:
        """Write from the place on, unless that is left to `fill`."""
        size = len(data)
        if self._left_out is not None and np.frombuffer(data, np.uint8).ctypes.data == self._left_out:
            self._place = self._at
        elif self._error is None:
            try:
                _write(self._file, data, self._at)
            except BaseException as error:  # a signal may come at any moment
                self._error = error
        self._at += size
        return size

    def truncate(self, size: int | None = None) -> int:
        """Set the length of the file."""
        length = self._at if size is None else size
        try:
            os.ftruncate(self._file, length)
        except BaseException as error:
            self._error = self._error or error
        return length

    def close(self) -> None:
        """Wait for what is on its way to the disk, and close."""
        if not self.closed:
            super().close()
            self._writers.shutdown()
            os.close(self._file)
            if self._direct is not None:
                os.close(self._direct)


def _opened_directly(path: str | os.PathLike[str]) -> int | None:
    """Open a file for writing past the cache of the system; None where there is no such thing."""
    if not hasattr(os, "O_DIRECT"):
        return None
    try:
        return os.open(path, os.O_WRONLY | os.O_DIRECT)
    except OSError:
        return None


def _write(file: int, data: memoryview, at: int) -> None:
    """Write all of some bytes; the system may do it in parts."""
    while data:
        count = os.pwrite(file, data, at)
        data, at = data[count:], at + count
