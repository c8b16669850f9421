"""Ascending positions along one axis, exact, as reals or as integer counts; and whether they are uniform."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

SNAPPED = "snapped to uniform (float32 coordinate)"

# Deviation in units of the last place at which rounding still explains it: linspace and arange stay below
# 2, float32 arithmetic reaches 2.6 in float32.
_ULPS = 4
# A float32 axis too coarse for its own steps is not repaired: 4 ulp of it could hide a real irregularity.
_LARGEST_REPAIR = 5e-3
# A seam counts as closed, or as a duplicate, within this part of a step.
_CLOSED = 1e-3
_EXACT = 2**53


@dataclass(frozen=True, slots=True)
class Uniform:
    """The one step of a uniform axis, and the word that says how it was found if that needs saying."""

    step: float
    note: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Reals:
    """Ascending floating-point positions `high + low`; `single` if float32 rounding may be repaired."""

    high: NDArray[np.float64]
    low: NDArray[np.float64] | None
    single: bool
    given: float | None = None

    @property
    def size(self) -> int:
        """Number of positions."""
        return self.high.size

    @property
    def span(self) -> float:
        """Distance from the first to the last."""
        low = 0.0 if self.low is None else float(self.low[-1]) - float(self.low[0])
        return (float(self.high[-1]) - float(self.high[0])) + low

    @property
    def rounding(self) -> float:
        """The deviation that rounding of the stored values explains."""
        largest = max(abs(float(self.high[0])), abs(float(self.high[-1])))
        return _ULPS * float(np.spacing(np.float32(largest) if self.single else np.float64(largest)))

    def points(self) -> NDArray[np.float64]:
        """Return the rows high and low."""
        rows = np.empty((2, self.size))
        rows[0] = self.high
        rows[1] = 0.0 if self.low is None else self.low
        return rows

    def trimmed(self) -> Reals:
        """Return all but the last position."""
        low = None if self.low is None else self.low[:-1]
        return Reals(self.high[:-1], low, self.single, self.given)

    def closes(self, period: float | Fraction) -> bool:
        """Tell whether the last position is the first one again, one period on."""
        steps = np.diff(self.high)
        median = float(np.partition(steps, steps.size // 2)[steps.size // 2])
        return abs(float(period) - self.span) <= _CLOSED * median + self.rounding

    def fits(self, period: float | Fraction) -> bool:
        """Tell whether the positions end before they come round to the first one again."""
        return self.span < period

    def uniform(self, period: float | Fraction | None = None) -> Uniform | None:
        """Return the uniform step, of the ring if a period is given, or None if spacings differ."""
        if period is None:
            step = self.span / (self.size - 1)
            if self.given is not None:
                return Uniform(self.given)
        else:
            step = float(period) / self.size
        deviation = self._deviation(step)
        if deviation <= min(self._rounding64, _LARGEST_REPAIR * step):
            return Uniform(step)
        if period is not None and self._rounded_step(step):
            return Uniform(step)
        if self.single and deviation <= min(self.rounding, _LARGEST_REPAIR * step):
            return Uniform(step, SNAPPED)
        return None

    def lap(self, uniform: Uniform) -> float:
        """Return the period of the ring that all positions of this step make."""
        return self.size * uniform.step

    @property
    def _rounding64(self) -> float:
        """The deviation that float64 explains."""
        return _ULPS * float(np.spacing(max(abs(float(self.high[0])), abs(float(self.high[-1])))))

    def _deviation(self, step: float) -> float:
        """Return the largest distance from a ladder of this step that begins at the first position."""
        ladder = np.arange(self.size, dtype=np.float64)
        ladder *= step
        ladder += self.high[0]
        ladder -= self.high
        return float(np.abs(ladder, out=ladder).max())

    def _rounded_step(self, step: float) -> bool:
        """Tell whether a ring is uniform but for the rounding of its step: arange(-179.95, 180, 0.1)."""
        if self.size < 2:
            return False
        own, most = self.span / (self.size - 1), min(self._rounding64, _LARGEST_REPAIR * step)
        return abs(own - step) <= most and self._deviation(own) <= most


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Ascending integer positions, `ticks` of them in a base unit: integer coordinates and decoded times."""

    values: NDArray[np.int64] | NDArray[np.uint64]
    ticks: int = 1

    @property
    def size(self) -> int:
        """Number of positions."""
        return self.values.size

    @property
    def length(self) -> Fraction:
        """Distance from the first to the last, exactly."""
        return Fraction(int(self.values[-1]) - int(self.values[0]), self.ticks)

    @property
    def span(self) -> float:
        """Distance from the first to the last."""
        return float(self.length)

    def points(self) -> NDArray[np.float64]:
        """Return the rows whole and remainder, in base units."""
        if self.ticks == 1:
            return _exact(self.values)
        whole = self.values // self.ticks
        rows = _exact(whole)
        rows[1] += (self.values - whole * self.ticks) / self.ticks
        return rows

    def trimmed(self) -> Counts:
        """Return all but the last position."""
        return Counts(self.values[:-1], self.ticks)

    def closes(self, period: float | Fraction) -> bool:
        """Tell whether the last position is the first one again, one period on: exactly, or not at all."""
        return self.length == Fraction(period)

    def fits(self, period: float | Fraction) -> bool:
        """Tell whether the positions end before they come round to the first one again."""
        return self.length < Fraction(period)

    def uniform(self, period: float | Fraction | None = None) -> Uniform | None:
        """Return the step if all integer differences are equal, round the ring too if a period is given."""
        # Modulo 2**64 the differences are right even where int64 would overflow.
        counts = self.values.view(np.uint64)
        steps = counts[1:] - counts[:-1]
        if steps.size == 0 or not (steps == steps[0]).all():
            return None
        step = int(steps[0])
        if period is not None and Fraction(step * self.size, self.ticks) != Fraction(period):
            return None
        whole, remainder = divmod(step, self.ticks)
        return Uniform(whole + remainder / self.ticks)

    def lap(self, uniform: Uniform) -> float:
        """Return the period of the ring that all positions of this step make."""
        return float(self.length * self.size / (self.size - 1))


Positions = Reals | Counts


def _exact(values: NDArray[np.int64] | NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return ascending integers less the first as two float64 rows, which hold 64 bits between them."""
    counts = np.ascontiguousarray(values).view(np.uint64)
    rows = np.zeros((2, counts.size))
    distance = counts - counts[0]
    if distance[-1] > _EXACT:
        below = distance & np.uint64(2**32 - 1)
        rows[1] = below
        distance = distance - below
    rows[0] = distance
    return rows


def holds_float32(values: NDArray[Any]) -> bool:
    """
    Tell whether floats came from float32 and may be repaired.

    Parameters
    ----------
    values : numpy.ndarray
        One-dimensional floats.

    Returns
    -------
    bool
        True if each is a float32 number and they are not all integers.
    """
    if values.dtype.itemsize > 4:
        with np.errstate(over="ignore"):
            if not (values.astype(np.float32) == values).all():
                return False
    return not (np.rint(values) == values).all()


def reals(values: NDArray[Any], *, single: bool, given: float | None = None) -> Reals:
    """
    Make positions of ascending floats.

    Parameters
    ----------
    values : numpy.ndarray
        Ascending floats of any precision.
    single : bool
        Whether they came from float32 and may be repaired.
    given : float, optional
        Their step, where the caller named it.

    Returns
    -------
    Reals
        The positions; those of extended precision are taken from the first one, so that no digits are lost.
    """
    if values.dtype.itemsize <= 8:
        return Reals(values.astype(np.float64, copy=False), None, single, given)
    distance = values - values[0]
    high = distance.astype(np.float64)
    return Reals(high, (distance - high).astype(np.float64), single, given)
