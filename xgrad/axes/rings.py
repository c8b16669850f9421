"""Which axes close on themselves: the seam-gap rule for longitudes, and the periods that are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from numbers import Real
from typing import Any

import numpy as np

from ..errors import CoordinateError, XgradError
from . import times
from .positions import Positions, Reals, Uniform

Periodic = bool | str | float | np.timedelta64 | timedelta

# Spacings of a longitude that differ by less than this part are one spacing, and so is the gap at its seam.
_EVEN = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Closure:
    """Positions without a repeated last point, their period (None: open ends), the uniform step if any."""

    positions: Positions
    period: float | None
    duplicate: bool
    uniform: Uniform | None
    notes: tuple[str, ...] = ()


def close(
    positions: Positions, periodic: Periodic, what: str, *, turn: float | None, decoded: bool
) -> Closure:
    """
    Decide whether an axis is a ring.

    Parameters
    ----------
    positions : Positions
        The axis in ascending order.
    periodic : {"auto", True, False}, float, numpy.timedelta64 or datetime.timedelta
        What was asked: rings for global longitudes only, a ring, open ends, or a ring of this period.
    what : str
        Words for the coordinate, for the errors.
    turn : float or None
        The full turn of a longitude, None for other coordinates.
    decoded : bool
        Whether the positions are dates or durations, so that a period is a duration.

    Returns
    -------
    Closure
        The ring, or the axis with open ends.

    Raises
    ------
    CoordinateError
        If a period is needed and not known, does not fit the coordinate, or does not exceed its span.
    XgradError
        If `periodic` is none of the values above.
    """
    asked = _asked(periodic, what)
    if asked is False or (asked == "auto" and turn is None):
        return _open(positions)
    if asked == "auto" and turn is not None:
        return _by_seam(positions, turn)
    if asked is True and turn is None:
        return _by_step(positions, what)
    if isinstance(asked, (float, Fraction)):
        if isinstance(asked, Fraction) is not decoded:
            need = "a duration, as numpy.timedelta64(1, 'D')" if decoded else "a number in its own unit"
            raise CoordinateError(f"{what}: periodic={periodic!r} is no period of it; give {need}")
        return _by_period(positions, asked, what)
    return _by_period(positions, float(turn or 0.0), what)


def _asked(periodic: Any, what: str) -> bool | str | float | Fraction:
    """Check the option; a duration becomes a fraction of seconds, a number a float."""
    if isinstance(periodic, (bool, np.bool_)):
        return bool(periodic)
    if isinstance(periodic, str) and periodic == "auto":
        return periodic
    period: float | Fraction = 0.0
    if isinstance(periodic, (np.timedelta64, timedelta)):
        period = times.seconds(periodic, f"{what}: the period")
    elif isinstance(periodic, Real):
        period = float(periodic)
    if 0 < period < float("inf"):
        return period
    raise XgradError(
        f"{what}: periodic={periodic!r} is not understood; give 'auto', True, False or a positive period"
    )


def _open(positions: Positions, *notes: str) -> Closure:
    """Leave the ends open."""
    return Closure(positions, None, False, positions.uniform(), notes)


def _ring(positions: Positions, period: float | Fraction, *, duplicate: bool, note: str) -> Closure:
    """Close an axis, without its last point if that repeats the first."""
    if duplicate:
        positions, note = positions.trimmed(), f"{note}, duplicate point"
    if positions.size < 4:
        note = f"{note}, only {positions.size} points"
    return Closure(positions, float(period), duplicate, positions.uniform(period), (note,))


def _by_step(positions: Positions, what: str) -> Closure:
    """Close a uniform axis whose period is not said: one step after its last point comes the first."""
    uniform = positions.uniform()
    if uniform is None:
        raise CoordinateError(
            f"{what} is not uniform, so periodic=True does not tell its period: give the period itself"
        )
    period = positions.lap(uniform)
    return Closure(positions, period, False, uniform, (f"periodic: period {period:.6g}, n times the step",))


def _by_period(positions: Positions, period: float | Fraction, what: str) -> Closure:
    """Close an axis with a period that is known."""
    duplicate = positions.size > 2 and positions.closes(period)
    if not duplicate and not positions.fits(period):
        raise CoordinateError(
            f"{what}: the period must exceed the span, {positions.span:.10g}; found {float(period):.10g}"
        )
    return _ring(positions, period, duplicate=duplicate, note=f"periodic: period {float(period):.6g}")


def _by_seam(positions: Positions, turn: float) -> Closure:
    """Close a longitude if the gap at its seam is like its spacings."""
    if not isinstance(positions, Reals):
        return _open(positions)
    gap = turn - positions.span
    steps = np.diff(positions.high)
    least, most = float(steps.min()), float(steps.max())
    if gap < 0.0 and not positions.closes(turn):
        return _open(positions, f"not periodic: longitudes span {positions.span:.6g}, more than a turn")
    if most >= turn / 2:
        return _open(positions, f"not periodic: a spacing of {most:.6g} within the longitudes")
    if positions.closes(turn):
        return _ring(positions, turn, duplicate=True, note="periodic: global longitudes")
    mean = positions.span / steps.size
    if most - least <= _EVEN * mean:
        closed = abs(gap - mean) <= _EVEN * mean
    else:
        first, last = float(steps[0]), float(steps[-1])
        closed = 0.8 * min(first, last) <= gap <= 1.25 * max(first, last)
    if closed:
        return _ring(
            positions, turn, duplicate=False, note=f"periodic: global longitudes, gap {gap:.6g} at the seam"
        )
    return _open(positions, f"not periodic: regional longitudes, gap {gap:.6g}")
