"""Quantities (pint) around arrays: taken off before the arithmetic and put back on the results."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import xarray as xr

from .errors import CoordinateError
from .units import derivative_units


def is_quantity(data: Any) -> bool:
    """Whether an array carries its unit."""
    return hasattr(data, "magnitude") and hasattr(data, "units")


def units_of(array: xr.DataArray) -> str | None:
    """Return the unit of a DataArray's quantity, None if it holds none; nothing is loaded."""
    data = array.variable._data
    return str(data.units).removeprefix("delta_") if is_quantity(data) else None


def strip(data: Any) -> Any:
    """Return an array without its unit."""
    return data.magnitude if is_quantity(data) else data


def derived_unit(data: Any, along: Sequence[tuple[str | None, int]]) -> Any:
    """Return the unit of a derivative of a quantity, None for data without unit.

    Parameters
    ----------
    data : array or quantity
        What is differentiated; not computed.
    along : sequence of (str or None, int)
        Unit of each coordinate, and order of the derivative along it.

    Returns
    -------
    unit or None
        Of the quantity's own registry. Offset units give their differences: delta_degree_Celsius / meter.

    Raises
    ------
    CoordinateError
        If the unit of a coordinate is missing or unknown to the registry.
    """
    if not is_quantity(data):
        return None
    nothing = data[(slice(0),) * data.ndim]
    unit = (nothing - nothing).units
    for name, n in along:
        unit = unit / _coordinate_unit(data._REGISTRY, name) ** n
    return unit


def restore(result: Any, unit: Any) -> Any:
    """Make a quantity of a derivative, if it has a unit of `derived_unit`."""
    return result if unit is None else unit._REGISTRY.Quantity(result, unit)


def _coordinate_unit(registry: Any, units: str | None) -> Any:
    """Return a coordinate's unit in the terms of a registry."""
    if units is None:
        raise CoordinateError(
            "the data are a quantity, but the coordinate has no units: set its attrs['units'] ('1' for none)"
        )
    form = derivative_units("1", [(units, -1)]) or units
    try:
        return registry.parse_units(re.sub(r"(?<=[A-Za-z_])(-?\d+)", r"**\1", form).replace(" ", " * "))
    except Exception as error:
        raise CoordinateError(f"the quantity's registry does not know the coordinate's units {units!r}") from error
