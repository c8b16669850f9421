"""Factors of grids in memory, remembered by content: made once for all time steps, variables and calls.

Coordinates are compared value by value with a copy, not by identity, since arrays can change in place:
that is one reading of them, against some fifty nanoseconds a point for the factors.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

MOST_BYTES = 1 << 28

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """What was asked, of which arrays, and what was made of them."""

    question: Hashable
    arrays: tuple[NDArray[Any], ...]
    made: Any
    size: int


_lock = threading.Lock()
_kept: list[_Entry] = []


def remembered(
    arrays: Sequence[Any], question: Hashable, make: Callable[[], tuple[Made, Sequence[Any]]]
) -> Made:
    """
    Return what is made of some arrays, from memory if it was made of equal ones before.

    Parameters
    ----------
    arrays : sequence of array
        Those of NumPy are compared; with others nothing is remembered.
    question : hashable
        What else the result depends on.
    make : callable
        Makes the result, and the arrays that it holds, which become read-only.

    Returns
    -------
    object
        The result.
    """
    if not all(isinstance(array, np.ndarray) for array in arrays):
        return make()[0]
    with _lock:
        entries = [entry for entry in _kept if entry.question == question]
    for entry in entries:
        if len(entry.arrays) == len(arrays) and all(map(_same, entry.arrays, arrays)):
            with _lock:
                if entry in _kept:
                    _kept.remove(entry)
                    _kept.append(entry)
            return entry.made  # type: ignore[no-any-return]
    made, held = make()
    size = sum(array.nbytes for array in (*arrays, *held))
    if size <= MOST_BYTES // 2:
        for array in held:
            array.setflags(write=False)
        with _lock:
            _kept.append(_Entry(question, tuple(array.copy() for array in arrays), made, size))
            while sum(entry.size for entry in _kept) > MOST_BYTES:
                del _kept[0]
    return made


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether two arrays hold the same bits, missing values among them."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return bool(((one == other) | ((one != one) & (other != other))).all())


def forget() -> None:
    """Drop everything that is remembered."""
    with _lock:
        _kept.clear()
