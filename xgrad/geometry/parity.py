"""Which fields change their sign across a pole: components of vectors, told from their CF standard names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..errors import XgradError

# East and north turn round where a meridian crosses a pole: a name with one of them is that of a component,
# one with two (a square, a derivative of a component) is that of none.
_TURNED = re.compile(r"(?:^|_)(?:eastward|northward|westward|southward)(?=_)")
# Along x and y of longitudes and latitudes, these only: lengths, slopes and indices in x keep their sign.
_ALONG = re.compile(
    r"(?:^|_)[xy]_(?:sea_water_)?(?:wind|velocity|internal_stress|stress|displacement|force)(?=_|$)"
)
# What follows is a cause or a condition; squares, sizes and angles have no sign to change.
_BESIDE = re.compile(r"_due_to_|_assuming_|_relative_to_| ")
_SIGNLESS = re.compile(r"(?:^|_)(?:square_of|magnitude_of|direction)(?:_|$)")


def of(attrs: Mapping[Any, Any]) -> int:
    """
    Return what a field is multiplied with where a meridian goes on beyond a pole.

    Parameters
    ----------
    attrs : mapping
        Attributes of the field; its standard name decides.

    Returns
    -------
    int
        -1 for components of vectors to the east or to the north, or along x or y; 1 for all else.

    Examples
    --------
    >>> of({"standard_name": "eastward_wind"}), of({"standard_name": "air_temperature"}), of({})
    (-1, 1, 1)
    """
    name = attrs.get("standard_name")
    what = _BESIDE.split(name.strip(), 1)[0] if isinstance(name, str) else ""
    turns = len(_TURNED.findall(what)) or len(_ALONG.findall(what))
    return -1 if turns % 2 and not _SIGNLESS.search(what) else 1


def checked(given: Any) -> int | None:
    """
    Return the parity that the user gives.

    Parameters
    ----------
    given : object
        "auto", 1 or -1.

    Returns
    -------
    int or None
        None for "auto".
    """
    if isinstance(given, str) and given == "auto":
        return None
    if not isinstance(given, str | bool) and given in (1, -1):
        return int(given)
    raise XgradError(
        f"parity={given!r}: give 1 for scalars, -1 for components of vectors, which change their sign across "
        "the poles, or 'auto'"
    )
