"""The 3-D chord Jacobian: true east and north on any grid whose points have a longitude and a latitude.

Positions in space are differentiated with the same stencils as the field, and projected on the local east and
north: poles and the date line are ordinary points, and grids need not be orthogonal. Bare arrays only.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .. import chunks
from .figures import Figure, Floats
from .frames import Factors, Frame, Layout

# Where the sine of the angle between the grid lines is smaller, a cell has no area.
_DEGENERATE = 1e-3
# A latitude beyond is none: a pole, and what single precision adds to it.
_FURTHEST = math.pi / 2.0 * (1.0 + 1e-6)

Array = Any


def radians(angles: Floats, units: tuple[float, float]) -> Floats:
    """Return longitudes and latitudes, shape (2, ny, nx), in radians: a contiguous copy, whatever the view.

    They are NaN where one is not finite, or the latitude beyond a pole.
    """
    found: Floats = np.array(angles, dtype=np.float64, order="C")
    found *= np.array(units)[:, np.newaxis, np.newaxis]
    found[:, ~(np.isfinite(found).all(axis=0) & (np.abs(found[1]) <= _FURTHEST))] = np.nan
    return found


def places(angles: Floats, *, units: tuple[float, float]) -> Floats:
    """Return longitudes and latitudes in radians, NaN where there are none, given a row more on each side.

    Parameters
    ----------
    angles : ndarray, shape (2, ny, nx), float64
        Longitudes and latitudes. Points with the same as a neighbour (land that is filled with one number)
        have no place on the earth either.
    units : tuple of float
        The radians of their units.

    Returns
    -------
    ndarray, shape (2, ny, nx)
        A contiguous copy.
    """
    found = radians(angles, units)
    bad: NDArray[np.bool_] = np.isnan(found[0])
    for axis in (0, 1):
        before, after = ((slice(None),) * axis + (cut,) for cut in (slice(None, -1), slice(1, None)))
        same = (found[:, *before] == found[:, *after]).all(axis=0)
        bad[before] |= same
        bad[after] |= same
    found[:, bad] = np.nan
    return found


def position(angles: Floats, *, figure: Figure) -> Floats:
    """Return positions in space, shape (3, ny, nx), of longitudes and latitudes in radians."""
    lon, lat = np.ascontiguousarray(angles)
    return figure.position(lon, lat)


def jacobian(along: Floats, across: Floats, angles: Floats) -> Floats:
    """
    Return what derivatives along two grid lines are multiplied with.

    Parameters
    ----------
    along, across : ndarray, shape (3, ny, nx), float64
        Derivatives T_i and T_j of the position along the two grid lines.
    angles : ndarray, shape (2, ny, nx), float64
        Longitudes and latitudes in radians.

    Returns
    -------
    ndarray, shape (4, ny, nx), float64
        Factors of f_i and f_j in the eastward derivative, then in the northward one; NaN where the grid
        lines are parallel within 1e-3 or where there is no position.

    Notes
    -----
    With ``a = T_i.e, b = T_i.n, c = T_j.e, d = T_j.n`` the derivatives to the east and to the north are
    ``(d f_i - b f_j, -c f_i + a f_j) / (a d - b c)``.
    """
    along, across = np.ascontiguousarray(along), np.ascontiguousarray(across)
    lon, lat = np.ascontiguousarray(angles)
    sin_lon, cos_lon, sin_lat, cos_lat = np.sin(lon), np.cos(lon), np.sin(lat), np.cos(lat)

    def local(tangent: Floats) -> tuple[Floats, Floats]:
        east = tangent[1] * cos_lon - tangent[0] * sin_lon
        north = tangent[2] * cos_lat - sin_lat * (tangent[0] * cos_lon + tangent[1] * sin_lon)
        return east, north

    (a, b), (c, d) = local(along), local(across)
    with np.errstate(invalid="ignore", divide="ignore"):
        area = a * d - b * c
        flat = ~(np.abs(area) >= _DEGENERATE * np.hypot(a, b) * np.hypot(c, d)) | (area == 0.0)
        found: Floats = np.stack([d, -b, -c, a]) / area
    found[:, flat] = np.nan
    return found


def factors(
    angles: Array,
    dims: tuple[Hashable, Hashable],
    keys: Sequence[Hashable],
    frame: Frame,
    figure: Figure,
    layout: Layout,
) -> Factors:
    """Return the factors of a frame with two horizontal axes, of angles (2, ny, nx) on `dims`.

    `keys` are the axes of the frame along the second and the first dimension.
    """
    positions = chunks.pointwise(partial(position, figure=figure), angles, lead=3)
    tangents = chunks.partials(
        positions, [frame.partial(("xyz", *dims), key, layout.options) for key in keys], gaps=True
    )
    made = chunks.pointwise(jacobian, *tangents, angles, lead=4)
    pairs = [("x", keys[0]), ("x", keys[1]), ("y", keys[0]), ("y", keys[1])]
    return {pair: xr.Variable(dims, made[place]) for place, pair in enumerate(pairs)}
