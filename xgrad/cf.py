"""What a coordinate is, told from its CF attributes alone; a variable's name never decides."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .errors import XgradError

# CF 4.2: the spellings of degrees_east, compared without regard to case.
_EAST = frozenset({"degrees_east", "degree_east", "degrees_e", "degree_e", "degreese", "degreee"})
_DEGREES = frozenset({"degrees", "degree", "deg", "arc_degree", "arc_degrees", "angular_degree", "°"})
_RADIANS = frozenset({"radians", "radian", "rad"})
_LONGITUDES = frozenset({"longitude", "grid_longitude"})


def _text(attrs: Mapping[Any, Any], key: str) -> str:
    """Return one attribute in lower case, empty where it is absent or no text."""
    value = attrs.get(key)
    return value.strip().lower() if isinstance(value, str) else ""


def circle(attrs: Mapping[Any, Any]) -> float | None:
    """
    Return the length of a full turn of a longitude, in the coordinate's own unit.

    Parameters
    ----------
    attrs : mapping
        Attributes of the coordinate: ``units``, ``standard_name`` and ``axis`` are read.

    Returns
    -------
    float or None
        360.0 for degrees, 2 pi for radians, None for anything that is not a longitude.

    Notes
    -----
    A longitude has units in a spelling of ``degrees_east``; or the standard name ``longitude`` or
    ``grid_longitude``, in degrees, in radians or without units (then degrees); or, without a standard name,
    the axis ``X`` and units of degrees. Any other standard name or unit (``projection_x_angular_coordinate``,
    a longitude in ``meters``) is no longitude, because adding a turn to it would mean nothing.

    Examples
    --------
    >>> circle({"units": "degrees_east"}), circle({"units": "m", "axis": "X"})
    (360.0, None)
    """
    units = _text(attrs, "units")
    if units in _EAST:
        return 360.0
    standard_name = _text(attrs, "standard_name")
    if standard_name in _LONGITUDES:
        if units in _RADIANS:
            return math.tau
        return 360.0 if not units or units in _DEGREES else None
    if not standard_name and _text(attrs, "axis") == "x" and units in _DEGREES:
        return 360.0
    return None


def is_longitude(attrs: Mapping[Any, Any]) -> bool:
    """
    Tell whether attributes are those of a longitude.

    Parameters
    ----------
    attrs : mapping
        Attributes of the coordinate.

    Returns
    -------
    bool
        True where `circle` knows the length of a full turn.

    Examples
    --------
    >>> is_longitude({"standard_name": "longitude", "units": "degrees"})
    True
    """
    return circle(attrs) is not None


def check_decoded(attrs: Mapping[Any, Any], what: str) -> None:
    """
    Refuse values that are still packed: their derivative would carry the unit of the unpacked ones.

    Parameters
    ----------
    attrs : mapping
        The attributes of a variable; in a decoded one the packing stands in `encoding`.
    what : str
        How the message calls the variable.

    Raises
    ------
    XgradError
        If there is a `scale_factor` or an `add_offset`.
    """
    packing = [key for key in ("scale_factor", "add_offset") if key in attrs]
    if packing:
        raise XgradError(
            f"{what} has {' and '.join(packing)} in its attributes, so its values are packed: "
            "decode them with xarray.decode_cf, or drop the attributes if they are not packed any more"
        )
