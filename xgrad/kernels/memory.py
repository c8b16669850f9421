"""Arrays as flat memory with a first element and strides, and the loops over two of them: plain numbers.

Transposed, strided and reversed arrays need no copy this way. Dimensions that lie behind each other in memory
are merged, and loops run in memory order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Flat:
    """An array as a line of memory.

    Attributes
    ----------
    memory : ndarray, 1-D, contiguous
        A view of all memory between the array's lowest and highest element.
    start : int
        Place of the array's first element in it.
    strides : tuple of int
        In elements.
    """

    memory: NDArray[Any]
    start: int
    strides: tuple[int, ...]

    @classmethod
    def of(cls, array: NDArray[Any], writeable: bool = False) -> Flat:
        """View an array; read-only views are of one type for the compiler, wherever they come from."""
        strides = tuple(stride // array.itemsize for stride in array.strides)
        if array.flags.c_contiguous:
            memory, start = array.reshape(-1), 0
        elif array.flags.f_contiguous:
            memory, start = array.T.reshape(-1), 0
        else:
            extents = [stride * (size - 1) for stride, size in zip(strides, array.shape, strict=True)]
            start = -sum(extent for extent in extents if extent < 0)
            lowest = array[tuple(slice(-1, None) if s < 0 else slice(0, 1) for s in strides)]
            span = 1 + sum(map(abs, extents))
            memory = as_strided(lowest, (span,), (array.itemsize,), writeable=writeable)
        if not writeable:
            memory.setflags(write=False)
        return cls(memory, start, strides)


class Loops(NamedTuple):
    """How to walk through an input and an output at once: places, lines at each place, points of a line.

    Attributes
    ----------
    outer : ndarray, shape (dims, 3), int64
        Size and both strides of each outer dimension, slowest first.
    lines : tuple of int
        Number of lines, and the strides from one to the next.
    points : tuple of int
        Number of points on a line, and the strides from one to the next.
    along : int
        1 if the points of a line are rows of the differentiated axis, 0 if its lines are.
    """

    outer: NDArray[np.int64]
    lines: tuple[int, int, int]
    points: tuple[int, int, int]
    along: int


@lru_cache(maxsize=1024)
def loops(shape: tuple[int, ...], xs: tuple[int, ...], os: tuple[int, ...], axis: int) -> Loops:
    """Order the loops over a box, given its shape, the strides of input and output, and the axis."""
    rows = shape[axis], xs[axis], os[axis]
    others = _merged(d for k, d in enumerate(zip(shape, xs, os, strict=True)) if k != axis)
    if rows[0] == 1 or abs(others[-1][1]) < abs(rows[1]):
        return Loops(_table(others[:-1]), rows, others[-1], 0)
    return Loops(_table(others), (1, 0, 0), rows, 1)


def everywhere(array: Flat, shape: tuple[int, ...]) -> tuple[NDArray[np.int64], int, int]:
    """Return the outer dimensions, and the points and stride of a line, of all elements of one array."""
    merged = _merged(zip(shape, array.strides, array.strides, strict=True))
    return _table(merged[:-1]), merged[-1][0], merged[-1][1]


def _table(dims: Sequence[tuple[int, int, int]]) -> NDArray[np.int64]:
    """Sizes and strides, one dimension a row."""
    table = np.array(dims, dtype=np.int64).reshape(-1, 3)
    table.setflags(write=False)
    return table


def _merged(dims: Iterable[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Sort dimensions by stride, slowest first, and join those that follow each other in both arrays."""
    merged: list[tuple[int, int, int]] = []
    for size, x, o in sorted(dims, key=lambda dim: -abs(dim[1])):
        if size == 1:
            continue
        if merged and merged[-1][1] == size * x and merged[-1][2] == size * o:
            merged[-1] = (merged[-1][0] * size, x, o)
        else:
            merged.append((size, x, o))
    return merged or [(1, 1, 1)]
