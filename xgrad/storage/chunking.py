"""How large the pieces are in which files are read and written: arithmetic on shapes only."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence

import xarray as xr

# Several chunks of the input and of every output are in memory for each thread, so a chunk has to be small
# against the memory; and large against the cost of a task and of a disk access.
READ_BYTES = 16 * 2**20
# HDF5 reads and compresses whole stored chunks, and keeps 16 MiB of them a variable (netCDF-C 4.9).
STORED_BYTES = 4 * 2**20


def read_chunks(
    ds: xr.Dataset, wanted: Mapping[Hashable, int], most: int = READ_BYTES
) -> dict[Hashable, int]:
    """Return a chunk size for each dimension: those wanted, the others so that no variable exceeds `most`."""
    sizes: dict[Hashable, int] = dict(ds.sizes)
    sizes.update(wanted)
    for var in sorted(ds.data_vars.values(), key=lambda var: -var.nbytes):
        stored = var.encoding.get("preferred_chunks", {})
        chosen = {
            dim: sizes[dim] if dim in wanted else min(stored.get(dim, 1), sizes[dim]) for dim in var.dims
        }
        room = most // max(var.dtype.itemsize, 1)
        for dim in reversed(var.dims):  # what lies together on disk is read together
            if dim not in wanted:
                times = room // max(math.prod(chosen.values()), 1)
                chosen[dim] = min(chosen[dim] * max(times, 1), sizes[dim])
        sizes.update(chosen)
    return sizes


def stored_chunks(
    shape: Sequence[int], blocks: Sequence[Sequence[int]], itemsize: int, *, whole: bool = False
) -> tuple[int, ...]:
    """Return sizes of stored chunks, of at most STORED_BYTES, for an array that is computed in `blocks`.

    A block is made of whole stored chunks where that is possible, so that none is read back to be completed;
    `whole` says that it must be.
    """
    steps = [_step(lengths, size, whole) for lengths, size in zip(blocks, shape, strict=True)]
    for axis, lengths in enumerate(blocks):  # the first axis is the slowest on disk: it is divided first
        excess = math.prod(steps) * itemsize / STORED_BYTES
        if excess > 1:
            most = max(int(steps[axis] / excess), 1)
            if len(lengths) == 1:
                steps[axis] = most
            else:
                steps[axis] = next(part for part in range(most, 0, -1) if steps[axis] % part == 0)
    return tuple(steps)


def whole_blocks(lengths: Sequence[int]) -> int | None:
    """Return the block size with which all blocks end at a multiple of a chunk that is no sliver.

    None where the blocks are so already.
    """
    longest = max(lengths, default=1) or 1
    return None if math.gcd(*lengths[:-1], 0) * 8 >= longest or len(lengths) < 2 else longest


def _step(lengths: Sequence[int], size: int, whole: bool) -> int:
    """Return the longest stored chunk that ends with every block; the longest block if that is a sliver."""
    longest = max(lengths, default=size) or 1
    common = math.gcd(*lengths[:-1]) or longest
    return common if whole or common * 8 >= longest else longest
