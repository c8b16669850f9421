"""Time in integers: datetime64, timedelta64 and cftime as counts of ticks; the units that time is told in."""

from __future__ import annotations

import sys
from datetime import timedelta
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CoordinateError, XgradError

# datetime_unit -> (word that UDUNITS knows, its length in seconds)
DATETIME_UNITS = {
    "s": ("s", 1.0),
    "ms": ("ms", 1e-3),
    "us": ("us", 1e-6),
    "ns": ("ns", 1e-9),
    "m": ("min", 60.0),
    "h": ("h", 3600.0),
    "D": ("day", 86400.0),
    "W": ("week", 604800.0),
}

# Units of numpy: ticks in a second, or seconds in a tick.
_TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9, "ps": 10**12, "fs": 10**15, "as": 10**18}
_SECONDS = {"m": 60, "h": 3600, "D": 86400, "W": 604800}

_LEADING = {
    **dict.fromkeys(("second", "seconds", "sec", "secs", "s"), "s"),
    **dict.fromkeys(("millisecond", "milliseconds", "millisec", "millisecs", "msec", "msecs", "ms"), "ms"),
    **dict.fromkeys(("microsecond", "microseconds", "microsec", "microsecs", "usec", "us"), "us"),
    **dict.fromkeys(("nanosecond", "nanoseconds", "nanosec", "nanosecs", "nsec", "ns"), "ns"),
    **dict.fromkeys(("minute", "minutes", "min", "mins"), "min"),
    **dict.fromkeys(("hour", "hours", "hr", "hrs", "h"), "h"),
    **dict.fromkeys(("day", "days", "d"), "day"),
    **dict.fromkeys(("week", "weeks"), "week"),
}

# Calendar units: their lengths differ from one to the next.
_UNEVEN = frozenset(("month", "months", "mon", "mons", "year", "years", "yr", "yrs", "y")) | frozenset(
    ("decade", "decades", "century", "centuries", "millennium", "millennia")
)


def datetime_unit_of(datetime_unit: str) -> tuple[str, float]:
    """
    Look up a time unit.

    Parameters
    ----------
    datetime_unit : str
        NumPy's code of a unit: "s", "ms", "us", "ns", "m", "h", "D" or "W".

    Returns
    -------
    word : str
        The unit as UDUNITS writes it: "min" for "m", "day" for "D".
    seconds : float
        Its length in seconds.

    Raises
    ------
    XgradError
        If the unit is none of these, a month or a year for example.

    Examples
    --------
    >>> datetime_unit_of("D")
    ('day', 86400.0)
    """
    if isinstance(datetime_unit, str) and datetime_unit in DATETIME_UNITS:
        return DATETIME_UNITS[datetime_unit]
    valid = ", ".join(repr(unit) for unit in DATETIME_UNITS)
    raise XgradError(f"datetime_unit={datetime_unit!r} is no unit of fixed length: give one of {valid}")


def leading_unit(units: str, what: str) -> str | None:
    """
    Return the unit in which a numeric time axis counts.

    Parameters
    ----------
    units : str
        The coordinate's units, as in "days since 1850-01-01".
    what : str
        Words for the coordinate, for the error.

    Returns
    -------
    str or None
        "day" for "days since ..."; None if the units name no point in time.

    Raises
    ------
    CoordinateError
        For months, years and longer, whose lengths differ, and for packed dates ("day as %Y%m%d.%f").

    Examples
    --------
    >>> leading_unit("hours since 1900-01-01", "time"), leading_unit("hours", "time")
    ('h', None)
    """
    words = units.split()
    lower = [word.lower() for word in words]
    decode = "decode it to dates first (xarray.decode_cf, xarray.date_range), or give positions with spacing="
    if lower[1:2] == ["as"] and "%" in units:
        raise CoordinateError(f"{what} has the units {units!r}, dates packed into numbers: {decode}")
    if "since" not in lower[1:]:
        return None
    leading = " ".join(words[: lower.index("since", 1)])
    if leading.lower() in _UNEVEN:
        raise CoordinateError(f"{what} has the units {units!r}: these differ in length, so {decode}")
    return _LEADING.get(leading.lower(), leading)


def is_decoded(values: NDArray[Any]) -> bool:
    """
    Tell whether an array holds dates or durations.

    Parameters
    ----------
    values : numpy.ndarray
        A coordinate's values.

    Returns
    -------
    bool
        True for datetime64, timedelta64 and objects of which the first is a cftime date.
    """
    if values.dtype.kind == "O":
        # Without cftime in memory there can be no cftime objects: it need not be imported to know.
        cftime = sys.modules.get("cftime")
        return cftime is not None and values.size > 0 and isinstance(values.flat[0], cftime.datetime)
    return values.dtype.kind in "mM"


def count_ticks(values: NDArray[Any], what: str) -> tuple[NDArray[np.int64], int]:
    """
    Count times in whole ticks.

    Parameters
    ----------
    values : numpy.ndarray
        One-dimensional datetime64 or timedelta64 without NaT, or cftime dates.
    what : str
        Words for the coordinate, for the error.

    Returns
    -------
    counts : numpy.ndarray of int64
        Ticks since some whole second.
    ticks : int
        Ticks in a second.

    Raises
    ------
    CoordinateError
        For units without a fixed length, dates of several calendars, and times beyond 64 bits.
    """
    if values.dtype.kind == "O":
        return _count_dates(values, what)
    unit, multiple = np.datetime_data(values.dtype)
    if unit in ("Y", "M") and values.dtype.kind == "M":
        values = values.astype("datetime64[D]")
        unit, multiple = "D", 1
    if unit not in _TICKS and unit not in _SECONDS:
        raise CoordinateError(
            f"{what} has the dtype {values.dtype!s}, of no fixed length: use days or seconds"
        )
    counts = values.astype(values.dtype.newbyteorder("="), copy=False).view(np.int64)
    factor = multiple * _SECONDS.get(unit, 1)
    if factor > 1:
        if max(abs(int(counts.min())), abs(int(counts.max()))) * factor >= 2**63:
            raise CoordinateError(
                f"{what} reaches times that 64-bit seconds cannot hold: choose a nearer one"
            )
        counts = counts * factor
    return counts, _TICKS.get(unit, 1)


def _count_dates(values: NDArray[Any], what: str) -> tuple[NDArray[np.int64], int]:
    """Count cftime dates in microseconds since the whole second of the first one."""
    first = values[0]
    counts = np.empty(values.size, dtype=np.int64)
    microsecond = first.microsecond
    for index, date in enumerate(values):
        try:
            gap = date - first
            # Integers all the way: total_seconds() would round.
            counts[index] = (gap.days * 86400 + gap.seconds) * 10**6 + gap.microseconds + microsecond
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise CoordinateError(
                f"{what} holds {date!r} at index {index}, which is no date of the calendar"
                f" {first.calendar!r} that it begins with: use one calendar throughout"
            ) from error
    return counts, 10**6


def seconds(duration: np.timedelta64 | timedelta, what: str) -> Fraction:
    """
    Convert a duration to seconds, exactly.

    Parameters
    ----------
    duration : numpy.timedelta64 or datetime.timedelta
        The duration.
    what : str
        Words for it, for the error.

    Returns
    -------
    fractions.Fraction
        Its length in seconds.

    Raises
    ------
    CoordinateError
        If it is NaT, or counts months or years.
    """
    duration = as_timedelta64(duration)
    if np.isnat(duration):
        raise CoordinateError(f"{what} is {str(duration)!r}: give a duration")
    counts, ticks = count_ticks(np.array([duration]), what)
    return Fraction(int(counts[0]), ticks)


def as_timedelta64(duration: np.timedelta64 | timedelta) -> np.timedelta64:
    """
    Convert a duration to timedelta64 without losing digits.

    Parameters
    ----------
    duration : numpy.timedelta64 or datetime.timedelta
        The duration; pandas' Timedelta, a subclass of the latter, keeps its nanoseconds.

    Returns
    -------
    numpy.timedelta64
        The same duration.
    """
    if isinstance(duration, np.timedelta64):
        return duration
    precise = getattr(duration, "to_timedelta64", None)
    return np.timedelta64(duration, "us") if precise is None else np.timedelta64(precise())
