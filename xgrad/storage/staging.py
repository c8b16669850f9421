"""Blocks in files of their own: how a cluster hands over what this process then writes to a netCDF file.

Workers that wrote to one HDF5 file would damage it when one of them is killed.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from xgrad.errors import StorageError
from xgrad.storage import running
from xgrad.storage.graphs import Block
from xgrad.storage.running import Report, Target


class _Blocks:
    """A target: a folder in which each block is a file of bare numbers, named by where it begins."""

    def __init__(self, folder: Path, dtype: np.dtype[Any]) -> None:
        folder.mkdir()
        self._folder, self._dtype = folder, dtype

    def __setitem__(self, region: tuple[slice, ...], block: Any) -> None:
        path = self._path(region)
        half = path.with_suffix(f".{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}")
        with open(half, "wb") as file:  # np.ndarray.tofile says nothing when the disk is full
            file.write(np.ascontiguousarray(block, self._dtype).data)
        os.replace(half, path)  # whole, whenever this worker is killed and another one does it again

    def take(self, region: tuple[slice, ...]) -> Any:
        """Return a block, whose file is then gone."""
        path = self._path(region)
        block = np.fromfile(path, self._dtype).reshape([each.stop - each.start for each in region])
        path.unlink()
        return block

    def _path(self, region: tuple[slice, ...]) -> Path:
        """Return the file of a block."""
        return self._folder / f"{'-'.join(str(each.start) for each in region)}.block"


def store(
    sources: Mapping[str, Any], targets: Mapping[str, Target], folder: Path, report: Report | None
) -> None:
    """Compute Dask arrays in other processes, and put their blocks into targets of this one as they arrive.

    Parameters
    ----------
    sources : mapping of str to dask.array.Array
        What to compute.
    targets : mapping of str to Target
        Where the blocks of each go, from several threads.
    folder : pathlib.Path
        Where blocks wait; all processes see it.
    report : callable, optional
        Called with the number of written blocks and the number of all.
    """
    import dask

    waiting = {
        name: _Blocks(folder / f"blocks-{number}", array.dtype)
        for number, (name, array) in enumerate(sources.items())
    }

    def move(block: Block) -> None:
        try:
            targets[block.name][block.region] = waiting[block.name].take(block.region)
        except (OSError, RuntimeError) as error:
            raise StorageError(f"variable {block.name!r}: {error}") from error

    with ThreadPoolExecutor(dask.system.CPU_COUNT) as pool:
        running.store(sources, waiting, arrived=lambda blocks: list(pool.map(move, blocks)), report=report)
