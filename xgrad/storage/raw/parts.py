"""Which parts of which chunks a selection is made of: numbers only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Part(NamedTuple):
    """What is wanted of one chunk along one dimension.

    Attributes
    ----------
    number : int
        Of the chunk.
    to, of : slice or ndarray of int
        Where it goes to in the result, and where it is in the chunk.
    length : int
        How many elements.
    whole : bool
        Whether that is all of the chunk, in its order.
    """

    number: int
    to: slice | NDArray[np.intp]
    of: slice | NDArray[np.intp]
    length: int
    whole: bool


def parts(key: Any, size: int, chunk: int) -> list[Part]:
    """Divide a selection along one dimension among the chunks."""
    if isinstance(key, int | np.integer):
        at = range(size)[key]
        key = slice(at, at + 1)
    if isinstance(key, slice):
        wanted = range(size)[key]
        if wanted.step == 1:
            return list(runs(wanted, chunk))
        key = np.arange(wanted.start, wanted.stop, wanted.step)
    positions = np.where(key < 0, key + size, key)
    if positions.size and (positions.min() < 0 or positions.max() >= size):
        raise IndexError(f"an index is out of bounds for a dimension of size {size}")
    numbers = positions // chunk
    found = []
    for number in np.unique(numbers).tolist():
        (to,) = np.nonzero(numbers == number)
        found.append(Part(number, to, positions[to] - number * chunk, to.size, False))
    return found


def runs(wanted: range, chunk: int) -> Iterator[Part]:
    """Divide a gapless selection among the chunks."""
    for number in range(wanted.start // chunk, -(-wanted.stop // chunk)) if wanted else ():
        first = number * chunk
        start, stop = max(first, wanted.start), min(first + chunk, wanted.stop)
        to, of = (slice(start - begin, stop - begin) for begin in (wanted.start, first))
        yield Part(number, to, of, stop - start, stop - start == chunk)


def selection(along: Sequence[slice | NDArray[np.intp]]) -> tuple[Any, ...]:
    """Select along each dimension by itself, as NumPy does with slices alone."""
    if all(isinstance(each, slice) for each in along):
        return tuple(along)
    lists = [np.r_[each] if isinstance(each, slice) else each for each in along]
    return np.ix_(*lists)
