"""The figure of the earth: radii of curvature, positions, and which figure a grid mapping says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingExtraError, XgradError

DEFAULT_RADIUS = 6_371_229.0  # what ECMWF, the Met Office and GRIB use
_NAMED = {"WGS84": (6_378_137.0, 1 / 298.257223563), "GRS80": (6_378_137.0, 1 / 298.257222101)}

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Figure:
    """An ellipsoid of revolution, a sphere where it is not flattened.

    Attributes
    ----------
    radius : float
        Semi-major axis in metres.
    flattening : float
        ``(a - b) / a``.
    origin : str
        Where it was found, in words.
    """

    radius: float
    flattening: float
    origin: str

    def __str__(self) -> str:
        if not self.flattening:
            return f"sphere of radius {self.radius:.12g} m ({self.origin})"
        inverse = 1.0 / self.flattening
        return f"ellipsoid a = {self.radius:.12g} m, 1/f = {inverse:.12g} ({self.origin})"

    @property
    def eccentricity2(self) -> float:
        """Square of the first eccentricity."""
        return self.flattening * (2.0 - self.flattening)

    def meridional(self, sine: Floats) -> Floats:
        """Radius of curvature of the meridian, in metres, given the sine of the latitude."""
        e2 = self.eccentricity2
        found: Floats = self.radius * (1.0 - e2) / (1.0 - e2 * sine * sine) ** 1.5
        return found

    def transverse(self, sine: Floats) -> Floats:
        """Radius of curvature of the prime vertical, in metres, given the sine of the latitude."""
        found: Floats = self.radius / np.sqrt(1.0 - self.eccentricity2 * sine * sine)
        return found

    def position(self, lon: Floats, lat: Floats) -> Floats:
        """Positions in metres from the earth's centre, along a new first axis, of radians."""
        sine, cosine = np.sin(lat), np.cos(lat)
        transverse = self.transverse(sine)
        return np.stack(
            [
                transverse * cosine * np.cos(lon),
                transverse * cosine * np.sin(lon),
                transverse * (1.0 - self.eccentricity2) * sine,
            ]
        )

    def mean(self) -> Figure:
        """The sphere with the mean radius ``(2 a + b) / 3``."""
        if not self.flattening:
            return self
        radius = self.radius * (1.0 - self.flattening / 3.0)
        return Figure(radius, 0.0, f"mean radius of the ellipsoid, {self.origin}")


DEFAULT = Figure(DEFAULT_RADIUS, 0.0, "default, no other is given")


def sphere(radius: Any) -> Figure:
    """Make a sphere from what the user gave."""
    return Figure(_length("radius", radius), 0.0, "as given")


def ellipsoid(a: Any, f: Any) -> Figure:
    """Make an ellipsoid from a name, or from its semi-major axis and flattening."""
    if isinstance(a, str):
        if f is not None:
            raise XgradError(f"the ellipsoid {a!r} is given by its name: leave f={f!r} out")
        return Figure(*_by_name(a), f"{a}, as given")
    if f is None:
        raise XgradError(f"an ellipsoid needs a name, or a and f; found a={a!r} without f")
    flattening = _number("f", f)
    if not 0.0 <= flattening < 0.5:
        raise XgradError(
            f"f={f!r}: the flattening is (a - b)/a, as 1/298.257223563, at least 0 and below 0.5"
        )
    return Figure(_length("a", a), flattening, "as given")


def from_grid_mapping(attrs: Mapping[Any, Any], name: object) -> Figure | None:
    """
    Read the figure of the earth from the attributes of a CF grid mapping.

    Parameters
    ----------
    attrs : mapping
        The attributes: `earth_radius`; or `semi_major_axis` with `inverse_flattening` or `semi_minor_axis`;
        or `reference_ellipsoid_name`; or `crs_wkt` or `spatial_ref`, for which pyproj is needed.
    name : object
        The name of the grid mapping variable, for messages.

    Returns
    -------
    Figure or None
        None where nothing is said.
    """
    origin = f"grid mapping {name!r}"
    if "earth_radius" in attrs:
        return Figure(_length(f"earth_radius of {name!r}", attrs["earth_radius"]), 0.0, origin)
    if "semi_major_axis" in attrs:
        radius = _length(f"semi_major_axis of {name!r}", attrs["semi_major_axis"])
        flattening = 0.0
        if "inverse_flattening" in attrs:
            inverse = _number(f"inverse_flattening of {name!r}", attrs["inverse_flattening"])
            flattening = 1.0 / inverse if inverse else 0.0
        elif "semi_minor_axis" in attrs:
            flattening = 1.0 - _length(f"semi_minor_axis of {name!r}", attrs["semi_minor_axis"]) / radius
        if not 0.0 <= flattening < 0.5:
            raise XgradError(f"the grid mapping {name!r} describes no ellipsoid: flattening {flattening!r}")
        return Figure(radius, flattening, origin)
    known = str(attrs.get("reference_ellipsoid_name", "")).replace(" ", "").replace("_", "").upper()
    if known in _NAMED:
        return Figure(*_NAMED[known], origin)
    wkt = attrs.get("crs_wkt") or attrs.get("spatial_ref")
    if wkt:
        found = _pyproj("an ellipsoid in a crs_wkt").CRS.from_wkt(wkt).ellipsoid
        if found is not None:
            inverse = found.inverse_flattening
            return Figure(found.semi_major_metre, 1.0 / inverse if inverse else 0.0, origin)
    return None


def _by_name(name: str) -> tuple[float, float]:
    """Return semi-major axis and flattening of a named ellipsoid; all but two are known to pyproj alone."""
    if name.upper() in _NAMED:
        return _NAMED[name.upper()]
    known = _pyproj(f"the ellipsoid {name!r}").get_ellps_map()
    if name not in known:
        raise XgradError(f"no ellipsoid {name!r} is known; there are {sorted(known)}")
    a, b = known[name]["a"], known[name].get("b")
    return a, 1.0 - b / a if b is not None else 1.0 / known[name]["rf"]


def _pyproj(need: str) -> Any:
    """Import pyproj when it is first needed."""
    try:
        import pyproj
    except ImportError:
        raise MissingExtraError(need, "geo") from None
    return pyproj


def _number(what: str, value: Any) -> float:
    """Return a finite number."""
    try:
        number = float(np.asarray(value).item())
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise XgradError(f"{what}={value!r}: a number is needed")
    return number


def _length(what: str, value: Any) -> float:
    """Return a positive length."""
    length = _number(what, value)
    if length <= 0.0:
        raise XgradError(f"{what}={value!r}: a length in metres is needed")
    return length
