"""What a coordinate is, told from its CF attributes; a variable's name never decides."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any, Literal

from .errors import XgradError

Kind = Literal["longitude", "latitude", "x", "y"]

# CF 4.2: the spellings of degrees_east, compared without regard to case.
_EAST = frozenset({"degrees_east", "degree_east", "degrees_e", "degree_e", "degreese", "degreee"})
_DEGREES = frozenset({"degrees", "degree", "deg", "arc_degree", "arc_degrees", "angular_degree", "°"})
_RADIANS = frozenset({"radians", "radian", "rad"})
_LONGITUDES = frozenset({"longitude", "grid_longitude"})
_NORTH = frozenset({"degrees_north", "degree_north", "degrees_n", "degree_n", "degreesn", "degreen"})
_FOOT, _SURVEY_FOOT = 0.3048, 1200.0 / 3937.0
_LENGTHS = {
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1.0),
    **dict.fromkeys(("km", "kilometer", "kilometers", "kilometre", "kilometres"), 1000.0),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), 0.01),
    **dict.fromkeys(("ft", "foot", "feet", "international_foot", "international_feet"), _FOOT),
    **dict.fromkeys(("us_survey_foot", "us_survey_feet", "us survey foot"), _SURVEY_FOOT),
}


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


def is_latitude(attrs: Mapping[Any, Any]) -> bool:
    """
    Tell whether attributes are those of a true latitude.

    Parameters
    ----------
    attrs : mapping
        Attributes of the coordinate.

    Returns
    -------
    bool
        True for units in a spelling of ``degrees_north``, and for the standard name ``latitude``.

    Examples
    --------
    >>> is_latitude({"units": "degrees_north"}), is_latitude({"units": "degrees"})
    (True, False)
    """
    return _text(attrs, "units") in _NORTH or _text(attrs, "standard_name") == "latitude"


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


def radians(attrs: Mapping[Any, Any]) -> float | None:
    """
    Return the radians of one unit of an angle.

    Parameters
    ----------
    attrs : mapping
        Attributes of the coordinate; without `units` a coordinate that calls itself a longitude or latitude
        is in degrees.

    Returns
    -------
    float or None
        None for what is no angle.

    Examples
    --------
    >>> radians({"units": "radian"}), radians({"units": "m"})
    (1.0, None)
    """
    units = _text(attrs, "units")
    if units in _RADIANS:
        return 1.0
    if units in _EAST | _NORTH | _DEGREES or (not units and _text(attrs, "standard_name") in _ANGLES):
        return math.pi / 180.0
    return None


_ANGLES = frozenset({"longitude", "latitude", "grid_longitude", "grid_latitude"})


def is_time(attrs: Mapping[Any, Any]) -> bool:
    """
    Tell whether attributes are those of times.

    Parameters
    ----------
    attrs : mapping
        Attributes of the coordinate.

    Returns
    -------
    bool
        True for the axis T, the standard name time, and units since a date.

    Examples
    --------
    >>> is_time({"units": "days since 2000-01-01"}), is_time({"units": "m"})
    (True, False)
    """
    return (
        _text(attrs, "axis") == "t"
        or _text(attrs, "standard_name") == "time"
        or " since " in _text(attrs, "units")
    )


def is_vertical(attrs: Mapping[Any, Any]) -> bool:
    """
    Tell whether attributes are those of a height, a depth or a level.

    Parameters
    ----------
    attrs : mapping
        Attributes of the coordinate.

    Returns
    -------
    bool
        True for the axis Z, and where `positive` says which way is up.

    Examples
    --------
    >>> is_vertical({"positive": "down"}), is_vertical({"axis": "X"})
    (True, False)
    """
    return _text(attrs, "axis") == "z" or "positive" in attrs


def is_angular(attrs: Mapping[Any, Any]) -> bool:
    """
    Tell whether attributes are those of an angle, or of a coordinate that only a projection explains.

    Parameters
    ----------
    attrs : mapping
        Attributes of the coordinate.

    Returns
    -------
    bool
        True where a step along it may be no length on the earth.

    Examples
    --------
    >>> is_angular({"units": "degrees"}), is_angular({"units": "m"})
    (True, False)
    """
    name = _text(attrs, "standard_name")
    return radians(attrs) is not None or name in _ANGLES or name.startswith("projection_")


def metres(units: object) -> float | None:
    """
    Return the metres of one unit of length.

    Parameters
    ----------
    units : object
        The `units` attribute.

    Returns
    -------
    float or None
        None for what is no length, or none that coordinates of grids are given in.

    Examples
    --------
    >>> metres("km"), metres("K")
    (1000.0, None)
    """
    return _LENGTHS.get(units.strip().lower()) if isinstance(units, str) else None


def kinds(array: Any) -> dict[Kind, list[Hashable]]:
    """
    Find the coordinates of each kind, as cf-xarray tells them: from standard names, units, axes, long names.

    Parameters
    ----------
    array : DataArray
        What has the coordinates.

    Returns
    -------
    dict of str to list of hashable
        Their names in the order of the coordinates: true longitudes and latitudes; x and y of a projection or
        of a rotated grid.
    """
    import cf_xarray  # noqa: F401  # it registers .cf

    axes, coordinates = array.cf.axes, array.cf.coordinates
    earthly = {kind: set(coordinates.get(kind, ())) for kind in ("longitude", "latitude")}
    plane = {kind: set(axes.get(kind.upper(), ())).difference(*earthly.values()) for kind in ("x", "y")}
    found: dict[Any, set[Hashable]] = earthly | plane
    return {kind: [name for name in array.coords if name in names] for kind, names in found.items()}


def grid_mappings(text: object) -> dict[str, tuple[str, ...]]:
    """
    Read a `grid_mapping` attribute in its short or its long form.

    Parameters
    ----------
    text : object
        "crs", or "crs: x y other: lat lon".

    Returns
    -------
    dict of str to tuple of str
        The names of grid mappings with the coordinates that they are for, none in the short form; empty where
        there is no such attribute.

    Examples
    --------
    >>> grid_mappings("crs: x y wgs: lat lon"), grid_mappings("crs")
    ({'crs': ('x', 'y'), 'wgs': ('lat', 'lon')}, {'crs': ()})
    """
    words = text.split() if isinstance(text, str) else []
    if not any(word.endswith(":") for word in words):
        return {word: () for word in words[:1]}
    found: dict[str, tuple[str, ...]] = {}
    for word in words:
        if word.endswith(":"):
            name = word[:-1]
            found[name] = ()
        elif found:
            found[name] += (word,)
    return found


def is_projection(attrs: Mapping[Any, Any]) -> bool:
    """
    Tell whether a grid mapping is other than true longitudes and latitudes.

    Parameters
    ----------
    attrs : mapping
        Attributes of the grid mapping: ``grid_mapping_name``, else ``crs_wkt`` or ``spatial_ref``.

    Returns
    -------
    bool
        False for one that says nothing, or the figure of the earth only.

    Examples
    --------
    >>> is_projection({"grid_mapping_name": "mercator"}), is_projection({"crs_wkt": 'GEOGCRS["WGS 84"]'})
    (True, False)
    """
    name = _text(attrs, "grid_mapping_name")
    if name:
        return name != "latitude_longitude"
    wkt = _text(attrs, "crs_wkt") or _text(attrs, "spatial_ref")
    return bool(wkt) and (not wkt.startswith(("geog", "geod")) or "derivingconversion[" in wkt)
