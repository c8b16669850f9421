"""Stored values -> an ascending copy, or the refusal that says which value is in the way."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CoordinateError

_KINDS = {
    "b": "is boolean",
    "c": "is complex",
    "S": "holds bytes",
    "U": "holds strings",
    "T": "holds strings",
    "V": "is structured",
    "O": "holds objects",
}
# The span of an unwrapped longitude may pass a full turn by rounding.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Place:
    """Where positions come from, a coordinate or a given spacing of a dimension, and how to say so."""

    name: Hashable
    dim: Hashable
    given: bool = False

    @property
    def what(self) -> str:
        """What the positions are."""
        if self.given:
            return f"spacing of dimension {self.dim!r}"
        return f"coordinate {self.name!r}" + ("" if self.name == self.dim else f" of dimension {self.dim!r}")

    @property
    def sort(self) -> str:
        """How to put them in order."""
        return "give the positions in order" if self.given else f"sort it with .sortby({self.name!r})"

    @property
    def unique(self) -> str:
        """How to get rid of repeats."""
        if self.given:
            return "give each position once"
        return f"drop repeats with .drop_duplicates({self.dim!r})"


@dataclass(frozen=True, slots=True, eq=False)
class Ordered:
    """An ascending copy of stored values."""

    values: NDArray[Any]
    descending: bool
    notes: tuple[str, ...] = ()


def show(value: Any) -> str:
    """
    Write one value of a coordinate for a message.

    Parameters
    ----------
    value : object
        A scalar.

    Returns
    -------
    str
        Its plain Python form; control characters cannot get through.
    """
    if isinstance(value, (np.datetime64, np.timedelta64)) or hasattr(value, "calendar"):
        return repr(str(value))
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 80 else text[:77] + "..."


def refuse_unusable(values: NDArray[Any], place: Place, *, decoded: bool) -> None:
    """
    Refuse values that are no positions.

    Parameters
    ----------
    values : numpy.ndarray
        One-dimensional values as stored.
    place : Place
        Words for the message.
    decoded : bool
        Whether they are dates or durations.

    Raises
    ------
    CoordinateError
        For fewer than two values, those that are not real numbers or times, and NaN, NaT and inf.
    """
    if values.size < 2:
        raise CoordinateError(f"{place.what} has size {values.size}: at least 2 points are needed")
    if not decoded and values.dtype.kind in _KINDS:
        raise CoordinateError(
            f"{place.what} {_KINDS[values.dtype.kind]} (dtype {values.dtype!s},"
            f" first value {show(values[0])}): numbers, datetime64, timedelta64 or cftime dates are needed"
        )
    if values.dtype.kind in "mM":
        missing = np.isnat(values)
    elif values.dtype.kind == "f":
        missing = ~np.isfinite(values)
    else:
        return
    if missing.any():
        index = int(missing.argmax())
        raise CoordinateError(
            f"{place.what} has {show(values[index])} at index {index}: leave such points out, or correct them"
        )


def ascending(stored: NDArray[Any], shown: NDArray[Any], place: Place, turn: float | None) -> Ordered:
    """
    Put values in ascending order; a longitude may jump by one full turn.

    Parameters
    ----------
    stored : numpy.ndarray
        At least two finite numbers in stored order.
    shown : numpy.ndarray
        The same as the user knows them, for the message.
    place : Place
        Words for the message.
    turn : float or None
        The full turn of a longitude.

    Returns
    -------
    Ordered
        The values in ascending order.

    Raises
    ------
    CoordinateError
        If the values neither ascend nor descend strictly.
    """
    rises = stored[1:] > stored[:-1]
    rising = int(np.count_nonzero(rises))
    if rising == rises.size:
        return Ordered(stored, False)
    falls = stored[1:] < stored[:-1]
    falling = int(np.count_nonzero(falls))
    if falling == falls.size:
        return Ordered(stored[::-1], True)
    if turn is not None and rising + falling == rises.size:
        unwrapped = _unwrapped(stored, turn)
        if unwrapped is not None:
            return unwrapped
    bad = ~rises if rising >= falling else ~falls
    index = int(bad.argmax()) + 1
    found = f"{show(shown[index])} at index {index} follows {show(shown[index - 1])}"
    if stored[index] == stored[index - 1]:
        raise CoordinateError(f"{place.what} has a duplicate: {found}; {place.unique}")
    raise CoordinateError(f"{place.what} neither ascends nor descends throughout: {found}; {place.sort}")


def _unwrapped(stored: NDArray[Any], turn: float) -> Ordered | None:
    """Undo one jump of a full turn, if that and nothing else makes the values ascend or descend."""
    found = []
    for descending in (False, True):
        values = stored[::-1] if descending else stored
        (falls,) = np.nonzero(values[1:] < values[:-1])
        if falls.size != 1:
            continue
        after = int(falls[0]) + 1
        jump = float(values[after - 1] - values[after])
        span = float(values[-1] - values[0]) + turn
        # More than half a turn: a smaller fall is disorder, not a passage through the date line.
        if turn / 2 < jump < turn and span <= turn * (1 + _ROUNDING):
            name = "2 pi" if turn == math.tau else f"{turn:g}-degree"
            whole = np.concatenate([values[:after], values[after:] + turn])
            found.append(Ordered(whole, descending, (f"{name} jump unwrapped",)))
    # Three values such as 0, 200, 0 can be read both ways.
    return found[0] if len(found) == 1 else None
