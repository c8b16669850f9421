"""Longitudes and latitudes along two dimensions, on a sphere or an ellipsoid."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .. import cf
from ..axes import Axis
from ..errors import CoordinateError, XgradError
from ..schemes import Boundary, Mirror, Open
from . import figures, parity
from .figures import Figure, Floats
from .frames import Crossing, Direction, Frame, Layout, Parts
from .sites import Site

# A first latitude within one spacing of the pole, rounding included.
_ONE_SPACING = 1.001


@dataclass(frozen=True, slots=True)
class Sphere:  # numpydoc ignore=PR02
    """
    The earth as a sphere: derivatives to the east and to the north, per metre, on 1-D longitude and latitude.

    Parameters
    ----------
    radius : float, optional
        Radius in metres. By default that of the data's grid mapping (of an ellipsoid the mean radius
        (2a + b)/3), else 6 371 229 m.
    lon, lat : hashable or DataArray, optional
        The coordinates, where their attributes do not tell.
    parity : {"auto", 1, -1}, optional
        What a field is multiplied with beyond a pole, where it is seen from the other side: 1 for scalars, -1
        for the eastward and northward components of vectors. "auto" asks its standard name
        (``eastward_wind``, ``surface_downward_y_stress``), and takes for a scalar what has none.

    Notes
    -----
    ``df/dx = f_lam / (R cos phi)`` and ``df/dy = f_phi / R``. Where the longitudes are a closed circle,
    stencils in latitude go on beyond the pole along the opposite meridian, and rows on a pole are finite: the
    eastward derivative at longitude lam is the northward one at lam - 90 degrees (lam + 90 on the south
    pole). Of components of vectors it has no limit, and is NaN there.
    """

    radius: float | None = None
    lon: Any = None
    lat: Any = None
    parity: Any = "auto"
    default_order: ClassVar[int] = 2
    word: ClassVar[str] = "sphere"

    def __post_init__(self) -> None:
        if self.radius is not None:
            figures.sphere(self.radius)
        parity.checked(self.parity)

    def _figure(self, site: Site, *coordinates: Hashable) -> Figure:
        """Return the sphere, given where it stands."""
        if self.radius is not None:
            return figures.sphere(self.radius)
        found = site.figure(*coordinates)
        return figures.DEFAULT if found is None else found.mean()

    def bind(self, site: Site) -> Frame:  # numpydoc ignore=PR01,RT01
        """Bind it to a variable."""
        return _bound(site, self)


@dataclass(frozen=True, slots=True)
class Ellipsoid:  # numpydoc ignore=PR02
    """
    The earth as an ellipsoid: derivatives to the east and to the north, in metres, on 1-D lon and lat.

    Parameters
    ----------
    a : float or str, optional
        Semi-major axis in metres, or the name of an ellipsoid ("WGS84", "GRS80"; more with pyproj). By
        default that of the data's grid mapping, else WGS84.
    f : float, optional
        Flattening (a - b)/a, with `a` in metres.
    lon, lat : hashable or DataArray, optional
        The coordinates, where their attributes do not tell.
    parity : {"auto", 1, -1}, optional
        As for `Sphere`.

    Notes
    -----
    ``df/dx = f_lam / (N cos phi)`` and ``df/dy = f_phi / M`` with geodetic latitude phi and the radii of
    curvature ``N = a (1 - e2 sin2 phi)**-0.5`` and ``M = a (1 - e2) (1 - e2 sin2 phi)**-1.5``. Poles as for
    `Sphere`.
    """

    a: float | str | None = None
    f: float | None = None
    lon: Any = None
    lat: Any = None
    parity: Any = "auto"
    default_order: ClassVar[int] = 2
    word: ClassVar[str] = "ellipsoid"

    def __post_init__(self) -> None:
        if self.a is not None or self.f is not None:
            figures.ellipsoid(self.a, self.f)
        parity.checked(self.parity)

    def _figure(self, site: Site, *coordinates: Hashable) -> Figure:
        """Return the ellipsoid, given where it stands."""
        if self.a is not None:
            return figures.ellipsoid(self.a, self.f)
        return site.figure(*coordinates) or replace(
            figures.ellipsoid("WGS84", None), origin="WGS84, no other is given"
        )

    def bind(self, site: Site) -> Frame:  # numpydoc ignore=PR01,RT01
        """Bind it to a variable."""
        return _bound(site, self)


def figure_of(given: Any, site: Site, *coordinates: Hashable) -> Figure:
    """
    Return the figure of the earth: as given, else of the grid mapping, else the default.

    Parameters
    ----------
    given : Sphere, Ellipsoid, str, float or None
        What the user gave: "sphere" and "ellipsoid" mean what they mean as geometries, other names are those
        of ellipsoids, a number is the radius of a sphere.
    site : Site
        The variable, whose grid mapping may say it.
    *coordinates : hashable
        The coordinates on it; there may be other grid mappings for others.

    Returns
    -------
    Figure
        The figure, with where it was found.
    """
    if given is None:
        return site.figure(*coordinates) or figures.DEFAULT
    shape = given
    if isinstance(given, str):
        words: dict[str, Callable[[], Sphere | Ellipsoid]] = {"sphere": Sphere, "ellipsoid": Ellipsoid}
        shape = words[given]() if given in words else Ellipsoid(given)
    elif isinstance(given, int | float | np.number) and not isinstance(given, bool):
        shape = Sphere(float(given))
    if not isinstance(shape, Sphere | Ellipsoid):
        raise XgradError(
            f"figure={given!r}: give a radius in metres, the name of an ellipsoid such as 'WGS84', 'sphere', "
            "or an object such as xgrad.Ellipsoid(...)"
        )
    return shape._figure(site, *coordinates)


def _bound(site: Site, shape: Sphere | Ellipsoid) -> Frame:
    """Bind a figure to 1-D longitudes and latitudes; a single one is no axis unless it is asked for."""
    lon = _coordinate(site, shape.lon, "longitude")
    lat = _coordinate(site, shape.lat, "latitude")
    if lat is None:
        raise CoordinateError(
            f"{site.array.name!r} has no latitude that lies along one dimension: CF marks it by units of "
            "degrees_north or the standard name latitude; else give it, as in xgrad.Sphere(lat='y')"
        )
    figure = shape._figure(site, lat, *(() if lon is None else (lon,)))
    axes: dict[Hashable, Axis] = {}
    directions = []
    if lon is not None and not _is_single(site, lon):
        marks = {} if cf.is_longitude(site.coordinate(lon).attrs) else {"standard_name": "longitude"}
        axes[lon] = site.axis(lon, marks)
        directions.append(Direction("x", lon, (lon,), "eastward"))
    latitudes = site.coordinate(lat)
    lon_angle = 1.0 if lon is None else _angle(lon, site.coordinate(lon).attrs)
    lat_angle = _angle(lat, latitudes.attrs)
    crossing, rates = None, {}
    if _is_single(site, lat):
        degrees, poles, dims = np.asarray(latitudes.values, np.float64), (False, False), latitudes.dims
    else:
        ring = axes[lon] if lon in axes and axes[lon].ring else None
        axes[lat], degrees, poles = _Latitudes.of(site, lat, lat_angle).continued(ring)
        dims = (axes[lat].dim,)
        if lon in axes and axes[lon].dim == axes[lat].dim:
            raise CoordinateError(f"{lon!r} and {lat!r} lie on one dimension, {dims[0]!r}: there is no grid")
        directions.append(Direction("y", lat, (lat,), "northward"))
        if lon is not None and ring is not None:
            given = parity.checked(shape.parity)
            crossing = Crossing(lon, lat, *poles, _uneven(site, lon, ring), given)
    if not directions:
        raise CoordinateError(f"the longitude and the latitude of {site.array.name!r} are single numbers")
    east, north = _scales(figure, degrees * lat_angle, lon_angle, lat_angle)
    if not figure.flattening:  # all meridians have one scale, and it is in the stencils
        rates, north = {lat: float(north.flat[0])}, np.ones_like(north)
    for end, there in zip((0, -1), poles, strict=True):
        if there:  # the eastward derivative is found along a meridian, or missing
            east[end] = north[end] if crossing is not None else np.nan
    stored = [values[::-1] if lat in axes and axes[lat].descending else values for values in (east, north)]
    values = dict(zip("xy", stored, strict=True))
    made = {(d.key, d.dim): xr.Variable(dims, values[d.key]) for d in directions}
    if rates and ("y", lat) in made:
        made["y", lat] = xr.Variable((), np.float64(1.0))

    def parts(layout: Layout) -> Parts:
        return Parts(made)

    crosses = lat in axes and any(isinstance(end, Mirror) for end in axes[lat].boundary)
    notes = (f"on the {figure}", *(("stencils cross the poles",) if crosses else ()))
    return Frame(axes, tuple(directions), parts, notes, crossing=crossing, rates=rates)


def _is_single(site: Site, name: Hashable) -> bool:
    """Whether a coordinate is one number, along which no derivative is asked for."""
    return site.coordinate(name).size == 1 and not (site.coordinate(name).ndim and site.asks_for(name))


def _coordinate(site: Site, given: Any, kind: cf.Kind) -> Hashable | None:
    """Find the longitude or the latitude of a variable along one dimension (a latitude may be one number)."""
    array = site.array
    if given is not None:
        name, variable = site.variable(given, kind)
        if name not in array.coords or variable.ndim > 1:
            raise CoordinateError(
                f"{kind} {name!r} must be a coordinate of {array.name!r} along one dimension, but it lies on "
                f"{variable.dims!r}; 2-D longitudes and latitudes are for geometry='curvilinear'"
            )
        return name
    found = site.named(kind, 1) or site.named(kind, 0)
    asked = [name for name in found if site.asked is not None and name in site.asked]
    beside = [name for name in found if site.asks_for(name)]
    chosen = asked or beside or [name for name in found if name in array.dims] or found
    if len(chosen) > 1:
        raise CoordinateError(
            f"{array.name!r} has {len(chosen)} coordinates that are a {kind}, {chosen!r}: name one, as in "
            f"xgrad.Sphere({kind[:3]}={chosen[0]!r})"
        )
    return chosen[0] if chosen else None


def _angle(name: Hashable, attrs: Any) -> float:
    """Return the radians of one unit of a longitude or a latitude; without any mark they are degrees."""
    angle = cf.radians(attrs)
    if angle is None and str(attrs.get("units", "")).strip():
        raise CoordinateError(
            f"{name!r} should be an angle, but has units {attrs['units']!r}: correct them to degrees_east or "
            "degrees_north, or give a geometry that fits"
        )
    return math.pi / 180.0 if angle is None else angle


def _uneven(site: Site, lon: Hashable, axis: Axis) -> NDArray[np.float64] | None:
    """Return the longitudes of a circle in radians, if none lies a quarter of it away from each."""
    count = axis.points.shape[1]
    if axis.step is not None and count % 4 == 0:
        return None
    angle = _angle(lon, site.coordinate(lon).attrs)
    if axis.step is not None:
        places: Floats = np.arange(count) * (2.0 * math.pi / count)
    else:
        places = (axis.points[0] + axis.points[1]) * angle
    return places


@dataclass(frozen=True, slots=True, eq=False)
class _Latitudes:
    """Latitudes along one dimension: their axis, ascending values, a right angle, and how exact they are."""

    axis: Axis
    values: Floats
    right: float
    rounding: float

    @classmethod
    def of(cls, site: Site, name: Hashable, angle: float) -> _Latitudes:
        """Read them, and refuse what is beyond a pole."""
        axis, stored = site.axis(name), np.asarray(site.coordinate(name).values)
        single = stored.dtype.itemsize <= 4 and stored.dtype.kind == "f"
        values = stored.astype(np.float64)[:: -1 if axis.descending else 1]
        right = math.pi / 2.0 / angle
        right = 90.0 if abs(right - 90.0) < 1e-9 else right
        rounding = 4.0 * float(np.spacing(np.float32(right) if single else np.float64(right)))
        furthest = max(-values[0], values[-1])
        if furthest > right + rounding:
            raise CoordinateError(
                f"latitude {name!r} goes to {furthest:.10g}, beyond the pole at {right:.10g}"
            )
        return cls(axis, values, right, rounding)

    def continued(self, lon: Axis | None) -> tuple[Axis, Floats, tuple[bool, bool]]:
        """Continue the axis across the poles of closed circles: return it, its values, which ends are poles.

        Of a uniform axis that ends on a pole or half a step before it the values are known exactly.
        """
        gaps = self._gaps
        on_pole = (gaps[0] == 0.0, gaps[1] == 0.0)
        axis, values = self._repaired(gaps)
        if lon is None or lon.step is None or lon.points.shape[1] % 2:
            return axis, values, on_pole
        if axis.step is not None:
            gaps = [axis.step / 2.0 if self._half(gap) else gap for gap in gaps]
        nearest = [axis.step or values[1] - values[0], axis.step or values[-1] - values[-2]]
        ends: list[Boundary] = [
            Mirror(float(gap)) if gap <= _ONE_SPACING * step else Open()
            for gap, step in zip(gaps, nearest, strict=True)
        ]
        if axis.step is not None and any(
            isinstance(end, Mirror) and end.gap not in (0.0, axis.step / 2.0) for end in ends
        ):
            axis = replace(axis, step=None, points=np.stack([values, np.zeros_like(values)]))
        return replace(axis, boundary=(ends[0], ends[1])), values, on_pole

    @property
    def _gaps(self) -> list[float]:
        """Distances of the first and the last latitude from the poles, 0 within rounding."""
        found = (float(self.values[0]) + self.right, self.right - float(self.values[-1]))
        return [gap if gap > self.rounding else 0.0 for gap in found]

    def _half(self, gap: float) -> bool:
        """Whether a uniform axis ends half a step before a pole."""
        return self.axis.step is not None and abs(gap - self.axis.step / 2.0) <= self.rounding

    def _repaired(self, gaps: list[float]) -> tuple[Axis, Floats]:
        """Return the axis and its values, without the rounding of the stored ones where that is known."""
        axis, values = self.axis, self.values.copy()
        known = [gap == 0.0 or self._half(gap) for gap in gaps]
        if axis.step is not None and any(known):
            count = values.size
            if all(known):
                # from pole to pole: as many steps as there are between the points, and a half at some ends
                halves = sum(gap > 0.0 for gap in gaps)
                axis = replace(axis, step=2.0 * self.right / (count - 1 + halves / 2.0))
            step = 0.0 if axis.step is None else axis.step
            first, last = (step / 2.0 if gap else 0.0 for gap in gaps)
            upward = first - self.right + np.arange(count) * step
            downward = self.right - last - np.arange(count)[::-1] * step
            values = np.asarray(upward if known[0] else downward, np.float64)
            if all(known):
                values[count // 2 :] = downward[count // 2 :]
        if gaps[0] == 0.0:
            values[0] = -self.right
        if gaps[1] == 0.0:
            values[-1] = self.right
        return axis, values


def _scales(
    figure: Figure,
    latitudes: Floats,
    lon_angle: float,
    lat_angle: float,
) -> tuple[Floats, Floats]:
    """Return what derivatives along longitude and latitude are multiplied with, per metre."""
    sine = np.sin(latitudes)
    north = 1.0 / (lat_angle * figure.meridional(sine))
    cosine = np.sin(math.pi / 2.0 - np.abs(latitudes))
    with np.errstate(divide="ignore"):
        east = np.where(cosine > 0.0, 1.0 / (lon_angle * figure.transverse(sine) * cosine), np.nan)
    return east, north
