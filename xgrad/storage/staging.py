"""Blocks in files of their own: how a cluster hands over what one process then writes to one netCDF file.

Workers that wrote to one HDF5 file would damage it when one of them is killed.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xgrad.storage import running
from xgrad.storage.running import Report


class _Blocks:
    """A target: a folder in which each block is a file, named by where it begins."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __setitem__(self, region: tuple[slice, ...], block: Any) -> None:
        path = self._folder / _name(tuple(each.start for each in region))
        half = path.with_suffix(f".{os.getpid()}")
        with open(half, "wb") as file:
            np.save(file, np.asarray(block), allow_pickle=False)
        os.replace(half, path)


def staged(sources: Mapping[str, Any], folder: Path, report: Report | None) -> dict[str, Any]:
    """Compute Dask arrays on a cluster, and return arrays of the same chunks that read the results."""
    import dask.array as da

    folders = {name: folder / f"blocks-{index}" for index, name in enumerate(sources)}
    for each in folders.values():
        each.mkdir()
    running.store(sources, {name: _Blocks(path) for name, path in folders.items()}, report=report)
    made = {}
    for name, array in sources.items():
        starts = tuple((0, *itertools.accumulate(along[:-1])) for along in array.chunks)
        made[name] = da.map_blocks(
            _load, os.fspath(folders[name]), starts, chunks=array.chunks, dtype=array.dtype, meta=array._meta
        )
    return made


def _name(starts: tuple[int, ...]) -> str:
    """Return the name of the file of a block."""
    return f"{'.'.join(map(str, starts))}.npy"


def _load(folder: str, starts: tuple[tuple[int, ...], ...], block_id: tuple[int, ...] = ()) -> Any:
    """Read one block, and remove its file: nobody else needs it."""
    first = tuple(along[index] for along, index in zip(starts, block_id, strict=True))
    path = Path(folder) / _name(first)
    block = np.load(path, allow_pickle=False)
    path.unlink()
    return block
