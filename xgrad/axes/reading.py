"""The entrances: an xarray coordinate, or a spacing that the caller gives, becomes an Axis."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from datetime import timedelta
from functools import lru_cache
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.indexes import PandasMultiIndex

from .. import cf
from ..errors import CoordinateError, suggestion
from ..schemes import Boundary, Open, Wrap
from . import times
from .axis import Axis
from .ordering import Place, ascending, refuse_unusable, show
from .positions import Counts, Positions, holds_float32, reals
from .rings import Periodic, close

_TELLING = ("units", "standard_name", "axis")  # the attributes on which an axis depends
# Of axes that are remembered: 64 of them hold at most 10 MB.
_MOST_POINTS, _LONGEST_WORD = 1 << 12, 1 << 8


def axis_from_coordinate(
    obj: xr.DataArray | xr.Dataset,
    name: Hashable,
    *,
    periodic: Periodic = "auto",
    datetime_unit: str = "s",
) -> Axis:
    """
    Make the axis of a coordinate; only the coordinate is read, never the data.

    Parameters
    ----------
    obj : xarray.DataArray or xarray.Dataset
        The object that has the coordinate.
    name : Hashable
        A dimension with its coordinate, or a 1-D coordinate along one dimension.
    periodic : {"auto", True, False}, float, numpy.timedelta64 or datetime.timedelta
        "auto" makes rings of global longitudes; True of any longitude, and of a uniform axis with the period
        n h; a number is the period in the coordinate's unit, a duration that of dates and durations.
    datetime_unit : {"s", "ms", "us", "ns", "m", "h", "D", "W"}
        Unit of time in which dates and durations are expressed.

    Returns
    -------
    Axis
        The axis.

    Raises
    ------
    CoordinateError
        If no derivative can be formed along the coordinate; the message names the first offending index.
    XgradError
        If an option is not valid.

    Examples
    --------
    >>> sst = xr.DataArray([1.0, 2.0, 4.0], dims="depth", coords={"depth": [0.0, 10.0, 30.0]})
    >>> axis_from_coordinate(sst, "depth").spacing
    (10.0, 20.0)
    """
    variable = _variable(obj, name)
    values, attrs = _plain(variable.data, variable.attrs)
    place = Place(name, variable.dims[0])
    return _axis(values, attrs, place, periodic=periodic, datetime_unit=datetime_unit)


def axis_from_spacing(
    dim: Hashable,
    size: int,
    spacing: Any,
    *,
    periodic: Periodic = "auto",
    datetime_unit: str = "s",
) -> Axis:
    """
    Make the axis of a dimension from the spacing that the caller gives for it.

    Parameters
    ----------
    dim : Hashable
        The dimension; it names the axis too.
    size : int
        Number of points along it.
    spacing : scalar or 1-D array
        A step, negative for a descending axis, or `size` positions: numbers, durations or (positions only)
        dates, as Python, NumPy, pandas or xarray objects or as quantities with `magnitude` and `units`.
        The unit comes from ``attrs["units"]`` or the quantity; other spacings have none.
    periodic : {"auto", True, False}, float, numpy.timedelta64 or datetime.timedelta
        As for `axis_from_coordinate`; the attributes of `spacing` tell whether it is a longitude.
    datetime_unit : {"s", "ms", "us", "ns", "m", "h", "D", "W"}
        As for `axis_from_coordinate`.

    Returns
    -------
    Axis
        The axis. A step is taken exactly as given.

    Raises
    ------
    CoordinateError
        If the spacing is not usable or does not fit `size`.
    XgradError
        If an option is not valid.

    Examples
    --------
    >>> axis_from_spacing("x", 4, -0.1).step
    0.1
    """
    place = Place(dim, dim, given=True)
    what = place.what
    if isinstance(spacing, (xr.DataArray, xr.Variable)):
        values, attrs = _plain(spacing.data, spacing.attrs)
    elif isinstance(spacing, timedelta):
        values, attrs = np.asarray(times.as_timedelta64(spacing)), {}
    else:
        values, attrs = _plain(spacing, {})
    if np.ma.is_masked(spacing):
        raise CoordinateError(f"{what} has masked values: leave such points out, or correct them")
    given = None
    if values.ndim == 0:
        values, given = _from_step(values, size, what)
    elif values.shape != (size,):
        raise CoordinateError(
            f"{what}: one step or {size} positions are needed, found shape {values.shape!r}"
        )
    return _axis(values, attrs, place, periodic=periodic, datetime_unit=datetime_unit, step=given)


def _variable(obj: xr.DataArray | xr.Dataset, name: Hashable) -> xr.Variable:
    """Find a 1-D coordinate, or say what is there instead."""
    if name in obj.coords:
        variable = obj.variables[name] if isinstance(obj, xr.Dataset) else obj.coords.variables[name]
        if isinstance(obj.xindexes.get(name), PandasMultiIndex):
            raise CoordinateError(
                f"coordinate {name!r} belongs to a MultiIndex, along which there is no distance:"
                f" use .unstack({variable.dims[0]!r}) first, or .reset_index({variable.dims[0]!r})"
            )
        if variable.ndim == 1:
            return variable
        found = "is a scalar" if variable.ndim == 0 else f"lies on the dimensions {variable.dims!r}"
        raise CoordinateError(
            f"coordinate {name!r} {found}: a coordinate along one dimension is needed;"
            " give spacing={dim: step or positions} for a dimension that has none"
        )
    if name in obj.sizes:
        raise CoordinateError(
            f"dimension {name!r} has no coordinate: assign one,"
            f" or give spacing={{{name!r}: step or positions}}"
        )
    if isinstance(obj, xr.Dataset) and name in obj.variables:
        raise CoordinateError(f"{name!r} is a data variable: make it a coordinate with .set_coords({name!r})")
    known = dict.fromkeys((*obj.sizes, *obj.coords))
    raise CoordinateError(f"no dimension or coordinate {name!r}: {suggestion(name, known)}")


def _plain(data: Any, attrs: Mapping[Any, Any]) -> tuple[NDArray[Any], Mapping[Any, Any]]:
    """Take the numbers out of a quantity or a lazy array; a quantity's unit replaces the attribute."""
    if hasattr(data, "magnitude") and hasattr(data, "units"):
        # Long names, no blanks ("meter/second"): pint's symbols are not those of UDUNITS ("a": year, are).
        units = str(data.units).removeprefix("delta_").replace(" ", "")
        return np.asarray(data.magnitude), {**attrs, "units": "1" if units == "dimensionless" else units}
    return np.asarray(data), attrs


def _from_step(step: NDArray[Any], size: int, what: str) -> tuple[NDArray[Any], float | None]:
    """Return positions one step apart, and the step itself where multiples of it are rounded."""
    scalar, kind = step[()], step.dtype.kind
    if kind not in "iufm":
        raise CoordinateError(
            f"{what}: {show(scalar)} is no step; give a number, a duration or {size} positions"
        )
    usable = not np.isnat(scalar) if kind == "m" else bool(np.isfinite(scalar))
    if not usable or not scalar.astype(np.int64 if kind == "m" else step.dtype):
        raise CoordinateError(f"{what}: a step must be finite and not 0, found {show(scalar)}")
    if kind == "f":
        return np.arange(size) * float(scalar), abs(float(scalar))
    length = int(scalar.astype(np.int64)) if kind == "m" else int(scalar)
    if abs(length) * size >= 2**63:
        raise CoordinateError(f"{what}: {size} steps of {show(scalar)} do not fit into 64 bits")
    positions = np.arange(size, dtype=np.int64) * length
    return (positions.view(step.dtype.newbyteorder("=")) if kind == "m" else positions), None


def _axis(
    values: NDArray[Any],
    attrs: Mapping[Any, Any],
    place: Place,
    *,
    periodic: Periodic,
    datetime_unit: str,
    step: float | None = None,
) -> Axis:
    """Decide everything about an axis from its stored positions; short axes are remembered by content."""
    unit = times.datetime_unit_of(datetime_unit)
    cf.check_decoded(attrs, place.what)
    texts = tuple(attrs.get(key) for key in _TELLING)
    if (
        values.size <= _MOST_POINTS
        and values.dtype.kind in "iufmM"
        and isinstance(periodic, str | int | float)
        and _plain_words(place.name, place.dim, *texts)
    ):
        return _remembered(values.tobytes(), values.dtype.str, place, texts, periodic, unit, step)
    return _decided(values, place, texts, periodic, unit, step)


def _plain_words(*words: Any) -> bool:
    """Whether words are short strings: 1 and True are equal too, and other objects say so themselves."""
    return all(word is None or (type(word) is str and len(word) <= _LONGEST_WORD) for word in words)


@lru_cache(maxsize=64, typed=True)
def _remembered(raw: bytes, dtype: str, *question: Any) -> Axis:
    """Decide everything about an axis from the bytes of its positions: equal content, equal axis."""
    return _decided(np.frombuffer(raw, dtype), *question)


def _decided(
    values: NDArray[Any],
    place: Place,
    texts: tuple[Any, ...],
    periodic: Periodic,
    unit: tuple[str, float],
    step: float | None,
) -> Axis:
    """Decide everything about an axis from its stored positions."""
    attrs = dict(zip(_TELLING, texts, strict=True))
    decoded = times.is_decoded(values)
    refuse_unusable(values, place, decoded=decoded)
    units = attrs["units"]
    if not isinstance(units, str) or not units.strip():
        units = None
    since = times.leading_unit(units, place.what) if units and not decoded else None
    turn = None if decoded else cf.circle(attrs)
    stored, ticks = times.count_ticks(values, place.what) if decoded else (_widened(values, turn), 1)
    ordered = ascending(stored, values, place, turn)
    single = stored.dtype.kind == "f" and since is None and holds_float32(stored)
    positions: Positions = (
        reals(ordered.values, single=single, given=step)
        if stored.dtype.kind == "f"
        else Counts(ordered.values, ticks)
    )
    if not math.isfinite(positions.span):
        raise CoordinateError(f"{place.what} spans more than a float64 can hold: rescale it")
    ring = close(positions, periodic, place.what, turn=turn, decoded=decoded)
    end: Boundary = Open() if ring.period is None else Wrap(ring.period)
    snapped = () if ring.uniform is None or ring.uniform.note is None else (ring.uniform.note,)
    return Axis(
        name=place.name,
        dim=place.dim,
        points=ring.positions.points(),
        step=None if ring.uniform is None else ring.uniform.step,
        scale=unit[1] if decoded else 1.0,
        descending=ordered.descending,
        boundary=(end, end),
        overlap=int(ring.duplicate),
        units=unit[0] if decoded else since or units,
        time=decoded or since is not None,
        notes=ordered.notes + ring.notes + snapped,
    )


def _widened(values: NDArray[Any], turn: float | None) -> NDArray[Any]:
    """Return numbers in which differences neither wrap round nor lose digits; longitudes as floats."""
    if values.dtype.kind == "f":
        return values.astype(np.longdouble if values.dtype.itemsize > 8 else np.float64, copy=False)
    if turn is not None:
        return values.astype(np.float64)
    return values.astype(np.uint64 if values.dtype.kind == "u" else np.int64, copy=False)
