"""Quantities (pint) around arrays: taken off before the arithmetic and put back on the results."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from typing import Any

from .errors import CoordinateError, XgradError
from .units import derivative_units

_FACTOR = re.compile(r"(.*[^\d-])(-?\d+)?")  # "s-2": a word and its exponent; plain numbers do not match


def is_quantity(data: Any) -> bool:
    """Whether an array carries its unit."""
    return hasattr(data, "magnitude") and hasattr(data, "units")


def units_of(data: Any) -> str | None:
    """Return the unit of a quantity in UDUNITS words, None for an array without."""
    if not is_quantity(data):
        return None
    # compact, of long names: "meter**2/second"; the symbols of pint and UDUNITS differ ("a": year, are)
    text = format(data.units, "C").removeprefix("delta_")
    return "1" if text == "dimensionless" else text


def strip(data: Any) -> Any:
    """Return an array without its unit."""
    return data.magnitude if is_quantity(data) else data


def derived_unit(data: Any, along: Sequence[tuple[Hashable, str | None, int]]) -> Any:
    """Return the unit of a derivative of a quantity; nothing is computed.

    Parameters
    ----------
    data : quantity
        What is differentiated.
    along : sequence of (name, str or None, int)
        Each coordinate with its unit and the order of the derivative along it.

    Returns
    -------
    unit
        Of the quantity's own registry. Offset units give their differences: delta_degree_Celsius / meter.

    Raises
    ------
    CoordinateError
        If the unit of a coordinate is missing or unknown to the registry.
    XgradError
        If the quantity's unit has no differences.
    """
    nothing = data[(slice(0),) * data.ndim]
    try:
        unit = (nothing - nothing).units
    except Exception as error:
        raise XgradError(f"values in {data.units!s} have no differences: {error}") from error
    for name, units, n in along:
        unit = unit / _coordinate_unit(data._REGISTRY, name, units) ** n
    return unit


def restore(result: Any, unit: Any) -> Any:
    """Make a quantity of a derivative, if it has a unit of `derived_unit`."""
    return result if unit is None else unit._REGISTRY.Quantity(result, unit)


def _coordinate_unit(registry: Any, name: Hashable, units: str | None) -> Any:
    """Return a coordinate's unit in the terms of a registry."""
    advice = f"set its attrs['units'] ('1' for none), or give spacing={{{name!r}: a quantity}}"
    if units is None:
        raise CoordinateError(f"the data are a quantity, but {name!r} has no units: {advice}")
    form = derivative_units(units)
    try:
        if form is None:  # no UDUNITS words; the registry may know better
            return registry.parse_units(units)
        unit = registry.dimensionless
        for factor in [] if form == "1" else re.split(r"[ *]", form):
            match = _FACTOR.fullmatch(factor)
            if match is None or factor[0].isdigit():
                raise ValueError(f"{factor!r} is a number")
            unit = unit * registry.parse_units(match[1]) ** int(match[2] or 1)
        return unit
    except Exception as error:
        raise CoordinateError(
            f"the data are a quantity, whose registry does not know the units {units!r} of {name!r}: {advice}"
        ) from error
