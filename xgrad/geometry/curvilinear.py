"""Longitudes and latitudes on two dimensions: NEMO, ROMS, POP, MPI-OM, WRF."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from .. import cf, chunks
from ..axes import Axis
from ..errors import CoordinateError
from . import chord
from .figures import Figure, Floats
from .frames import Direction, Factors, Frame, Layout, index_axis
from .memory import remembered
from .regular import figure_of
from .sites import Site

# Two columns are one where their points lie closer than this part of a step.
_SAME = 1e-3
# A grid is closed where its ends are neighbours: no further apart than their own neighbours, twice over.
_CLOSE = 2.0
_FLOAT32_LIMIT = 1e-4


@dataclass(frozen=True, slots=True)
class Curvilinear:  # numpydoc ignore=PR02
    """
    Longitudes and latitudes on two dimensions: derivatives to the east and to the north, per metre.

    Parameters
    ----------
    lon, lat : hashable or DataArray, optional
        Longitudes and latitudes, of shape (ny, nx), in degrees or radians; found by their CF attributes if
        they are not given. Where they are NaN, or repeat those of a neighbour, there is no grid.
    figure : Sphere or Ellipsoid, optional
        The figure of the earth, by default that of the data's grid mapping, else the sphere of 6 371 229 m.

    Notes
    -----
    The position in space is differentiated with the same stencils as the field, along the index of both
    dimensions, so that the order of the result is that of the field; then the 2x2 system of both is solved
    for the derivatives to the east and to the north. Poles and the date line are ordinary points. Grids
    that are closed along a dimension are rings, with or without repeated columns; at a tripolar fold
    stencils are one-sided.
    """

    lon: Any = None
    lat: Any = None
    figure: Any = None
    default_order: ClassVar[int] = 2
    word: ClassVar[str] = "curvilinear"

    def bind(self, site: Site) -> Frame:  # numpydoc ignore=PR01,RT01
        """Bind it to a variable."""
        lon_name, lon = _found(site, self.lon, "longitude")
        lat_name, lat = _found(site, self.lat, "latitude")
        if set(lon.dims) != set(lat.dims):
            raise CoordinateError(
                f"{lon_name!r} lies on {lon.dims!r}, but {lat_name!r} on {lat.dims!r}: "
                "both need the same dimensions"
            )
        lat = lat.transpose(*lon.dims)
        grid = _Grid(lon, lat, _angle(lon_name, lon.attrs), _angle(lat_name, lat.attrs))
        figure = figure_of(self.figure, site)
        rows, columns = lon.dims
        axes = {dim: grid.axis(dim, site, figure) for dim in (columns, rows)}
        directions = (
            Direction("x", columns, (columns, rows), "eastward", earthly=True),
            Direction("y", rows, (columns, rows), "northward", earthly=True),
        )

        def grid_of(layout: Layout) -> tuple[Factors, xr.Variable | None]:
            def make() -> tuple[tuple[Factors, xr.Variable | None], list[Any]]:
                angles = grid.angles(layout)
                found = chord.factors(angles, (rows, columns), (columns, rows), frame, figure, layout)
                nowhere = grid.invalid(angles)
                held = [variable._data for variable in found.values()]
                return (found, nowhere), held if nowhere is None else [*held, nowhere._data]

            if layout.chunks is not None:
                return make()[0]
            lines = (
                tuple(axis.boundary for axis in axes.values()),
                layout.options.order,
                layout.options.at_edges,
            )
            question = (
                lon.dims,
                grid.lon_angle,
                grid.lat_angle,
                figure,
                lines,
                *(a.overlap for a in axes.values()),
            )
            return remembered([np.asarray(lon._data), np.asarray(lat._data)], question, make)

        def factors(layout: Layout) -> Factors:
            return grid_of(layout)[0]

        def invalid(layout: Layout) -> xr.Variable | None:
            return grid_of(layout)[1]

        notes = (f"on the {figure}", f"chord Jacobian of {lon_name} and {lat_name}")
        frame = Frame(
            axes,
            directions,
            factors,
            notes,
            together=(columns, rows),
            invalid=invalid,
            warning=grid.warning(lon_name, figure),
        )
        return frame


def _found(site: Site, given: Any, kind: cf.Kind) -> tuple[Hashable, xr.Variable]:
    """Find 2-D longitudes or latitudes."""
    if given is not None:
        name, variable = site.variable(given, kind[:3])
    else:
        found = [name for name in site.named(kind) if site.array.coords[name].ndim > 1]
        if not found:
            raise CoordinateError(
                f"{site.array.name!r} has no {kind} on two dimensions: CF marks it by units of "
                "degrees_east or "
                f"degrees_north, or the standard name {kind}; else give it, as in "
                "xgrad.Curvilinear(lon=..., lat=...)"
            )
        if len(found) > 1:
            raise CoordinateError(
                f"{site.array.name!r} has {len(found)} coordinates that are a {kind}, {found!r}: give "
                "one, as in "
                f"xgrad.Curvilinear({kind[:3]}={found[0]!r}, ...)"
            )
        name, variable = found[0], site.array.coords[found[0]].variable
    site.refuse_foreign(variable, f"{kind} {name!r}")
    if variable.ndim != 2:
        first = variable.dims[:1]
        more = f"; if it does not change along {first[0]!r}, take one with .isel" if variable.ndim > 2 else ""
        raise CoordinateError(f"{kind} {name!r} lies on {variable.dims!r}: two dimensions are needed{more}")
    if variable.dtype.kind not in "fiu":
        raise CoordinateError(f"{kind} {name!r} has dtype {variable.dtype}: numbers are needed")
    cf.check_decoded(variable.attrs, f"{kind} {name!r}")
    return name, variable


def _angle(name: Hashable, attrs: Any) -> float:
    """Return the radians of one unit."""
    angle = cf.radians(attrs)
    if angle is None and str(attrs.get("units", "")).strip():
        raise CoordinateError(
            f"{name!r} should be an angle, but has units {attrs['units']!r}: correct them to degrees"
        )
    return float(np.pi / 180.0) if angle is None else angle


@dataclass(frozen=True, slots=True, eq=False)
class _Grid:
    """Longitudes and latitudes with the same dimensions, and the radians of their units."""

    lon: xr.Variable
    lat: xr.Variable
    lon_angle: float
    lat_angle: float

    def angles(self, layout: Layout) -> Any:
        """Return both in radians, shape (2, ny, nx), NaN where there is no place."""
        along = layout.chunks_of(self.lon.dims)
        pair = chunks.stacked([chunks.like(v._data, along) for v in (self.lon, self.lat)])
        scale = np.array([self.lon_angle, self.lat_angle])[:, np.newaxis, np.newaxis]
        return chunks.pointwise(chord.missing, pair, around=1) * scale

    def invalid(self, angles: Any) -> xr.Variable | None:
        """Return where there is no place; None where all points of a grid in memory have one."""
        bad = chunks.pointwise(_nowhere, angles, drop=1, dtype=np.bool_)
        if not chunks.is_chunked(bad) and not bad.any():
            return None
        return xr.Variable(self.lon.dims, bad)

    def axis(self, dim: Hashable, site: Site, figure: Figure) -> Axis:
        """Make the axis of the index along a dimension, a ring if the grid is closed; its ends are read."""
        size = self.lon.sizes[dim]
        asked = site.options.period_of(dim, dim)
        if asked is False or size < 4:
            return index_axis(dim, size)
        overlap = _overlap(*self._columns(dim, (0, 1, size - 2, size - 1), figure))
        if overlap is None and asked == "auto":
            return index_axis(dim, size)
        return index_axis(dim, size, ring=True, overlap=overlap or 0)

    def _columns(self, dim: Hashable, places: Sequence[int], figure: Figure) -> list[Floats]:
        """Return the positions of some columns, each of shape (3, n)."""
        lon, lat = (
            np.asarray(v.isel({dim: list(places)}).transpose(dim, ...).values, np.float64)
            for v in (self.lon, self.lat)
        )
        return list(figure.position(lon * self.lon_angle, lat * self.lat_angle).swapaxes(0, 1))

    def warning(self, name: Hashable, figure: Figure) -> str | None:
        """Say where float32 coordinates limit the accuracy: judged by the outer rows and columns."""
        if self.lon.dtype != np.float32 and self.lat.dtype != np.float32:
            return None
        steps = [
            np.linalg.norm(np.diff(column, axis=1), axis=0)
            for dim in self.lon.dims
            for column in self._columns(dim, (0, -1), figure)
        ]
        known = np.concatenate(steps)
        known = known[np.isfinite(known) & (known > 0.0)]
        if not known.size:
            return None
        degrees = float(np.median(known)) / figure.radius * 180.0 / np.pi
        error = float(np.finfo(np.float32).eps) * 360.0 / degrees
        if error <= _FLOAT32_LIMIT:
            return None
        return (
            f"the longitudes {name!r} and their latitudes are float32: with steps of {degrees:.3g} "
            "degrees this "
            f"limits the relative accuracy of derivatives to about {error:.0e}, whatever the order"
        )


def _nowhere(angles: Floats) -> Any:
    """Whether points have no place, of angles (2, ny, nx)."""
    return np.isnan(angles[0])


def _overlap(first: Floats, second: Floats, last2: Floats, last: Floats) -> int | None:
    """Tell from the outer columns how many of them a closed grid repeats; None for an open one."""

    def apart(one: Floats, other: Floats) -> Floats:
        distance: Floats = np.linalg.norm(one - other, axis=0)
        return distance

    step = np.minimum(apart(first, second), apart(last2, last))
    with np.errstate(invalid="ignore"):
        real = np.isfinite(step) & np.isfinite(apart(first, last)) & (step > 0.0)
    if real.sum() < 2:
        return None

    def all_same(*pairs: tuple[Floats, Floats]) -> bool:
        return all(bool((apart(one, other)[real] <= _SAME * step[real]).all()) for one, other in pairs)

    if all_same((first, last)):
        return 1
    if all_same((first, last2), (second, last)):
        return 2
    closing = apart(first, last)[real]
    widest = np.maximum(apart(first, second), apart(last2, last))[real]
    onward = np.minimum(apart(second, last), apart(first, last2))[real]
    # Rows at a fold may run back on themselves: of a wider overlap most rows tell.
    if bool((closing <= _CLOSE * widest).all()) and bool((onward > closing).mean() > 0.5):
        return 0
    return None
