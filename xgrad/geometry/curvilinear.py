"""Longitudes and latitudes on two dimensions: NEMO, ROMS, POP, MPI-OM, WRF."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from .. import cf, chunks
from ..axes import Axis
from ..errors import CoordinateError
from . import chord
from .figures import Figure, Floats
from .frames import Direction, Frame, Layout, Parts, index_axis
from .memory import remembered
from .regular import figure_of
from .sites import Site, flat

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
    figure : float, str, Sphere or Ellipsoid, optional
        The figure of the earth: a radius in metres, the name of an ellipsoid, "sphere", or an object; by
        default that of the data's grid mapping, else the sphere of 6 371 229 m.

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
                f"{lon_name!r} lies on {lon.dims!r}, but {lat_name!r} on {lat.dims!r}: both need the same "
                "dimensions"
            )
        figure = figure_of(self.figure, site, lon_name, lat_name)
        units = _angle(lon_name, lon.attrs), _angle(lat_name, lat.attrs)
        grid = _Grid(lon, lat.transpose(*lon.dims), units, figure)
        rows, columns = lon.dims
        axes = {dim: grid.axis(dim, site) for dim in (columns, rows)}
        directions = (
            Direction("x", columns, (columns, rows), "eastward"),
            Direction("y", rows, (columns, rows), "northward"),
        )

        def parts(layout: Layout) -> Parts:
            def make() -> Parts:
                places = grid.angles(layout)
                factors = chord.factors(places, (rows, columns), (columns, rows), frame, figure, layout)
                return Parts(factors, grid.nowhere(places))

            held = [] if layout.chunks is not None else [np.asarray(v._data) for v in (grid.lon, grid.lat)]
            return remembered(make, layout, axes.values(), held, (lon.dims, units, figure))

        notes = (f"on the {figure}", f"chord Jacobian of {lon_name} and {lat_name}")
        together = (columns, rows)
        frame = Frame(axes, directions, parts, notes, together, warning=grid.warning(lon_name))
        return frame


def _found(site: Site, given: Any, kind: cf.Kind) -> tuple[Hashable, xr.Variable]:
    """Find 2-D longitudes or latitudes."""
    if given is not None:
        name, variable = site.variable(given, kind[:3])
    else:
        found = [name for name in site.named(kind) if site.coordinate(name).ndim > 1]
        if not found:
            raise CoordinateError(
                f"{site.array.name!r} has no {kind} on two dimensions: CF marks it by units of degrees_east "
                f"or degrees_north, or the standard name {kind}; else give it, as in "
                "xgrad.Curvilinear(lon=..., lat=...)"
            )
        if len(found) > 1:
            raise CoordinateError(
                f"{site.array.name!r} has {len(found)} coordinates that are a {kind}, {found!r}: give one, "
                f"as in xgrad.Curvilinear({kind[:3]}={found[0]!r}, ...)"
            )
        name, variable = found[0], site.coordinate(found[0])
    variable = flat(variable)
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


@dataclass(frozen=True, eq=False)
class _Grid:
    """Longitudes and latitudes on the same dimensions, the radians of their units, and the earth's figure."""

    lon: xr.Variable
    lat: xr.Variable
    units: tuple[float, float]
    figure: Figure

    def angles(self, layout: Layout) -> Any:
        """Return both in radians, shape (2, ny, nx), NaN where there is no place."""
        along = layout.chunks_of(self.lon.dims)
        pair = chunks.stacked([chunks.like(v._data, along) for v in (self.lon, self.lat)])
        return chunks.pointwise(partial(chord.places, units=self.units), pair, around=1)

    def nowhere(self, angles: Any) -> xr.Variable | None:
        """Return where there is no place; None where all points of a grid in memory have one."""
        bad = chunks.pointwise(_nowhere, angles, drop=1, dtype=np.bool_)
        if not chunks.is_chunked(bad) and not bad.any():
            return None
        return xr.Variable(self.lon.dims, bad)

    @cached_property
    def _outer(self) -> dict[Hashable, Floats]:
        """Positions of two columns at both ends of each dimension, shape (3, 4, n); they are read at once."""
        places = {dim: [0, min(1, n - 1), max(n - 2, 0), n - 1] for dim, n in self.lon.sizes.items()}
        both = (self.lon, self.lat)
        cut = [v.isel({dim: places[dim]}).transpose(dim, ...) for dim in places for v in both]
        read = iter(chunks.in_memory([variable._data for variable in cut]))
        angles = [chord.radians(np.stack([next(read), next(read)]), self.units) for _ in places]
        return {dim: self.figure.position(*outer) for dim, outer in zip(places, angles, strict=True)}

    def axis(self, dim: Hashable, site: Site) -> Axis:
        """Make the axis of the index along a dimension, a ring if the grid is closed."""
        size = self.lon.sizes[dim]
        asked = site.options.period_of(dim, dim)
        if asked is False or size < 4:
            return index_axis(dim, size)
        overlap = _overlap(*self._outer[dim].swapaxes(0, 1))
        if overlap is None and asked == "auto":
            return index_axis(dim, size)
        return index_axis(dim, size, ring=True, overlap=overlap or 0)

    def warning(self, name: Hashable) -> str | None:
        """Say where float32 coordinates limit the accuracy: judged by the outer rows and columns."""
        if self.lon.dtype != np.float32 and self.lat.dtype != np.float32:
            return None
        steps = [np.linalg.norm(np.diff(outer[:, [0, -1]], axis=2), axis=0) for outer in self._outer.values()]
        known = np.concatenate(steps, axis=None)
        known = known[np.isfinite(known) & (known > 0.0)]
        if not known.size:
            return None
        degrees = float(np.degrees(np.median(known) / self.figure.radius))
        error = float(np.finfo(np.float32).eps) * 360.0 / degrees
        if error <= _FLOAT32_LIMIT:
            return None
        return (
            f"the longitudes {name!r} and their latitudes are float32: with steps of {degrees:.3g} degrees "
            f"this limits the relative accuracy of derivatives to about {error:.0e}, whatever the order"
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
