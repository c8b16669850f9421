"""Coordinates of a map projection, or of a rotated grid, along two dimensions."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, ClassVar

import numpy as np

from .. import cf, chunks
from ..errors import CoordinateError, MissingExtraError, XgradError
from . import chord, figures
from .figures import Figure, Floats
from .frames import Direction, Frame, Layout, Parts
from .memory import remembered
from .regular import figure_of
from .sites import Site

# What says the figure of the earth in a grid mapping.
_OF_FIGURES = frozenset(
    {
        *("earth_radius", "semi_major_axis", "semi_minor_axis", "inverse_flattening"),
        *("reference_ellipsoid_name", "crs_wkt", "spatial_ref"),
    }
)


@dataclass(frozen=True, slots=True)
class Projected:  # numpydoc ignore=PR02
    """
    Coordinates of a map projection: derivatives to the true east and the true north, per metre on the earth.

    Parameters
    ----------
    crs : object, optional
        The coordinate reference system, in any form that pyproj takes (WKT, EPSG code, PROJ string,
        attributes of a CF grid mapping); by default the data's grid mapping.
    x, y : hashable, optional
        The coordinates, where their attributes do not tell.
    figure : float, str, Sphere or Ellipsoid, optional
        The figure of the earth where a grid mapping does not say it: a radius in metres, the name of an
        ellipsoid, "sphere", or an object; by default the sphere of 6 371 229 m.

    Notes
    -----
    Longitudes and latitudes of the grid points come from pyproj (extra ``geo``); their positions in space are
    differentiated along x and y with the stencils of the field, as for `Curvilinear`. Scale, rotation and
    distortion of the projection are thus all in the result, to the order of the field.
    """

    crs: Any = None
    x: Any = None
    y: Any = None
    figure: Any = None
    default_order: ClassVar[int] = 2
    word: ClassVar[str] = "projected"

    def bind(self, site: Site) -> Frame:  # numpydoc ignore=PR01,RT01
        """Bind it to a variable."""
        projection = _Projection.of(*self._crs(site))
        names = [_coordinate(site, self.x, "x"), _coordinate(site, self.y, "y")]
        axes = {name: site.axis(name) for name in names}
        x, y = names
        if axes[x].dim == axes[y].dim:
            raise CoordinateError(f"{x!r} and {y!r} lie on one dimension, {axes[x].dim!r}: there is no grid")
        values = [_scaled(site, name, projection) for name in names]
        dims = (axes[y].dim, axes[x].dim)
        directions = (
            Direction("x", x, (x, y), "eastward"),
            Direction("y", y, (x, y), "northward"),
        )

        def parts(layout: Layout) -> Parts:
            def make() -> Parts:
                inverse = partial(_inverse, definition=projection.definition)
                angles = chunks.gridded(inverse, values[1], values[0], layout.chunks_of(dims))
                return Parts(chord.factors(angles, dims, (x, y), frame, projection.figure, layout))

            question = (dims, x, y, projection.definition, projection.figure)
            return remembered(make, layout, axes.values(), values, question)

        notes = (f"on the {projection.figure}", f"chord Jacobian of the projection {projection.name}")
        frame = Frame(axes, directions, parts, notes, together=(axes[x].dim, axes[y].dim))
        return frame

    def _crs(self, site: Site) -> tuple[Any, Figure | None]:
        """Return what defines the projection, and the figure where pyproj's own does not count."""
        if self.crs is not None:
            if self.figure is not None:
                raise XgradError("crs= has its own figure of the earth: leave figure= out")
            return self.crs, None
        found = {name: attrs for name, attrs in site.mappings.items() if cf.is_projection(attrs)}
        if not found:
            raise CoordinateError(
                f"{site.array.name!r} has no grid mapping with a projection: give one, as in "
                'xgrad.Projected(crs="EPSG:3857")'
            )
        if len(found) > 1:
            raise CoordinateError(
                f"{site.array.name!r} has {len(found)} grid mappings with a projection, {list(found)!r}: "
                "give one, as in xgrad.Projected(crs=ds['...'].attrs)"
            )
        ((name, attrs),) = found.items()
        if self.figure is None and figures.from_grid_mapping(attrs, name) is not None:
            return attrs, None
        figure = figure_of(self.figure, site)
        kept: dict[Any, Any] = {key: value for key, value in attrs.items() if key not in _OF_FIGURES}
        if figure.flattening:
            kept |= {"semi_major_axis": figure.radius, "inverse_flattening": 1.0 / figure.flattening}
        else:
            kept["earth_radius"] = figure.radius
        return kept, figure


@dataclass(frozen=True, slots=True, eq=False)
class _Projection:
    """What is known of a projection: its definition as text, its figure, its name, the units of x and y."""

    definition: str
    figure: Figure
    name: str
    unit: float
    angular: bool
    height: float | None

    @classmethod
    def of(cls, crs: Any, figure: Figure | None) -> _Projection:
        """Read it from anything that pyproj takes."""
        try:
            import pyproj
        except ImportError:
            raise MissingExtraError("a map projection", "geo") from None
        try:
            if isinstance(crs, Mapping):
                attrs = {
                    k: v.tolist() if isinstance(v, np.ndarray | np.generic) else v for k, v in crs.items()
                }
                made = pyproj.CRS.from_cf(attrs)
            else:
                attrs, made = {}, pyproj.CRS.from_user_input(crs)
        except (pyproj.exceptions.CRSError, KeyError, TypeError, ValueError) as error:
            raise CoordinateError(f"pyproj does not understand the projection {crs!r}: {error}") from error
        if made.is_geographic and not made.is_derived:
            raise CoordinateError(
                f"{made.name!r} is no projection but true longitudes and latitudes: use "
                "geometry='ellipsoid' or 'sphere'"
            )
        ellipsoid = made.ellipsoid
        if ellipsoid is None or not made.axis_info:
            raise CoordinateError(f"the projection {made.name!r} has no ellipsoid or no axes")
        if figure is None:
            inverse = ellipsoid.inverse_flattening
            figure = Figure(
                ellipsoid.semi_major_metre, 1.0 / inverse if inverse else 0.0, "of the projection"
            )
        name = attrs.get("grid_mapping_name") or made.name
        height = made.to_cf().get("perspective_point_height")
        unit = float(made.axis_info[0].unit_conversion_factor)
        return cls(
            made.to_wkt(),
            figure,
            str(name),
            unit,
            bool(made.is_geographic),
            None if height is None else float(height),
        )


@lru_cache(maxsize=16)
def _transformer(definition: str) -> Any:
    """Make what turns coordinates of a projection into longitudes and latitudes on its own figure."""
    import pyproj

    crs = pyproj.CRS.from_wkt(definition)
    base = crs.source_crs if crs.is_derived and crs.is_geographic else crs.geodetic_crs
    return pyproj.Transformer.from_crs(crs, base, always_xy=True)


def _inverse(y: Floats, x: Floats, *, definition: str) -> Floats:
    """Return longitudes and latitudes in radians, shape (2, ny, nx), of points in units of the projection."""
    grid = np.meshgrid(x, y)
    lon, lat = _transformer(definition).transform(*grid)
    found = np.stack([np.radians(lon), np.radians(lat)])
    found[:, ~np.isfinite(found).all(axis=0)] = np.nan
    return found


def _coordinate(site: Site, given: Any, kind: cf.Kind) -> Hashable:
    """Find the x or the y of a projection."""
    array = site.array
    if given is not None:
        name, variable = site.variable(given, kind)
        if name not in array.coords or variable.ndim != 1:
            raise CoordinateError(
                f"{kind}={name!r} must be a coordinate of {array.name!r} along one dimension"
            )
        return name
    found = site.named(kind, 1)
    chosen = [name for name in found if name in array.dims] or found
    if len(chosen) != 1:
        what = f"{len(chosen)} coordinates, {chosen!r}, that are" if chosen else "no coordinate that is"
        raise CoordinateError(
            f"{array.name!r} has {what} the {kind} of a projection: CF marks it by axis {kind.upper()!r} or "
            f"the standard name projection_{kind}_coordinate; else give it, as in "
            f"xgrad.Projected({kind}='...')"
        )
    return chosen[0]


def _scaled(site: Site, name: Hashable, projection: _Projection) -> Floats:
    """Return the values of a coordinate, in units of the projection, in their stored order."""
    variable, axis = site.coordinate(name), site.axis(name)
    values = np.asarray(variable.values).astype(np.float64)
    if axis.step is not None:  # float32 rounding is repaired as in the stencils
        count = values.size
        first = values[-1] if axis.descending else values[0]
        ladder = first + np.arange(count) * axis.step
        values = ladder[::-1] if axis.descending else ladder
    units, angle = variable.attrs.get("units"), cf.radians(variable.attrs)
    if projection.angular:
        if angle is None:
            raise CoordinateError(f"{name!r} of the rotated grid needs units of degrees; found {units!r}")
        return values * (angle / projection.unit)
    if angle is not None and projection.height is not None:
        return values * (angle * projection.height / projection.unit)  # the scanning angles of a satellite
    metres = cf.metres(units)
    if metres is None:
        raise CoordinateError(
            f"{name!r} of the projection {projection.name} needs units of length, m or km; found {units!r}: "
            "set its attrs['units']"
        )
    return values * (metres / projection.unit)
