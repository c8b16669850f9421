"""Which geometry CF metadata say: every candidate is considered, and has its reason."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from .. import cf
from ..errors import CoordinateError
from .curvilinear import Curvilinear
from .frames import Frame
from .projected import Projected
from .regular import Ellipsoid, Sphere
from .sites import Site, is_temporal, is_vertical


@dataclass(frozen=True, slots=True)
class Auto:
    """The geometry that the CF metadata say."""

    default_order: ClassVar[int] = 2
    word: ClassVar[str] = "auto"

    def bind(self, site: Site) -> Frame | None:
        """Bind the one geometry that fits; None where nothing that is asked for bears a mark of the earth."""
        if not _is_marked(site):
            return None
        frames, reasons = consider(site)
        if len(frames) == 1:
            ((name, frame),) = frames.items()
            others = "; ".join(f"not {other}: {reason}" for other, reason in reasons.items())
            return replace(frame, reasons=(f"geometry {name!r} by CF metadata; {others}",))
        listed = "; ".join(f"{name}: {reasons.get(name, 'fits')}" for name in (*frames, *reasons))
        what = "more than one geometry fits" if frames else "no geometry fits"
        raise CoordinateError(
            f"geometry='auto': {what} {site.array.name!r} ({listed}); name one, as in geometry='sphere', or "
            "correct the metadata"
        )


def consider(site: Site) -> tuple[dict[str, Frame], dict[str, str]]:
    """Return the candidates that fit, bound, and why each of the others does not.

    On 1-D longitudes and latitudes the grid mapping says whether the earth is an ellipsoid.
    """
    figure = site.figure()
    flat = figure is not None and figure.flattening > 0.0
    candidates: dict[str, tuple[Any, str | None]] = {
        "projected": (Projected(), _not_projected(site)),
        "ellipsoid" if flat else "sphere": (Ellipsoid() if flat else Sphere(), _not_regular(site)),
        "curvilinear": (Curvilinear(), _not_curvilinear(site)),
    }
    frames, reasons = {}, {}
    for name, (shape, reason) in candidates.items():
        if reason is not None:
            reasons[name] = reason
            continue
        try:
            frames[name] = shape.bind(site)
        except CoordinateError as error:
            reasons[name] = str(error)
    return frames, reasons


def _not_projected(site: Site) -> str | None:
    x, y = site.named("x", 1), site.named("y", 1)
    projection = _projection(site)
    if projection is None:
        there = f"there are {x[0]!r} and {y[0]!r}, but " if x and y else ""
        return (
            f"{there}no grid_mapping says their projection" if there else "no grid_mapping with a projection"
        )
    return None if x and y else f"the grid mapping {projection!r} has no 1-D x and y"


def _not_regular(site: Site) -> str | None:
    lon, lat = site.named("longitude", 1), site.named("latitude", 1)
    scalar = site.named("latitude", 0)  # the derivative along longitudes needs no more
    lacking = ["longitude"] if not lon and (not lat or site.named("longitude", 2)) else []
    lacking += ["latitude"] if not lat and not (lon and scalar) else []
    if lacking:
        return f"no {' and '.join(lacking)} along one dimension{_hidden(site)}"
    if _projection(site) is not None and _not_projected(site) is None:
        return f"the grid mapping {_projection(site)!r} is a projection"
    return None


def _not_curvilinear(site: Site) -> str | None:
    deep = [name for name in site.named("longitude") if site.coordinate(name).ndim > 1]
    if not deep or not any(site.coordinate(name).ndim > 1 for name in site.named("latitude")):
        return f"no longitude and latitude on two dimensions{_hidden(site)}"
    if _not_projected(site) is None:
        return "the projection says more"
    plain = [
        dim
        for dim in site.coordinate(deep[0]).dims
        if dim in site.array.coords and not is_temporal(site.array, dim) and not _counts(site.coordinate(dim))
    ]
    if plain:
        return (
            f"its dimensions have the 1-D coordinates {plain!r}, of a projection perhaps, but no "
            "grid_mapping says which: say geometry='curvilinear' if they are none"
        )
    return None


def _projection(site: Site) -> str | None:
    """Return the name of a grid mapping that is a projection."""
    return next((name for name, attrs in site.mappings.items() if cf.is_projection(attrs)), None)


def _counts(variable: xr.Variable) -> bool:
    """Whether a coordinate only counts the points of its dimension, as those of CMIP's ocean models do."""
    if variable.dtype.kind not in "iuf" or str(variable.attrs.get("units", "1")).strip() not in ("", "1"):
        return False
    steps = np.diff(np.asarray(variable.values, np.float64))
    return "standard_name" not in variable.attrs and bool((steps == 1.0).all() or (steps == -1.0).all())


def _hidden(site: Site) -> str:
    """Say which data variables of a Dataset would serve if they were coordinates."""
    if not isinstance(site.whole, xr.Dataset):
        return ""
    found = [name for name in site.whole.data_vars if _is_hidden(site, name)]
    return f"; {found!r} would be, as coordinates: see .set_coords" if found else ""


def _is_hidden(site: Site, name: Hashable) -> bool:
    """Whether a data variable is a longitude or a latitude on dimensions that are asked for."""
    variable = site.whole[name].variable
    placed = bool(variable.dims) and set(variable.dims) <= set(site.dims)
    return placed and (cf.is_longitude(variable.attrs) or cf.is_latitude(variable.attrs))


def _is_marked(site: Site) -> bool:
    """Whether anything along the dimensions that are asked for, but for time, is of the earth or an angle."""
    array, whole = site.array, site.whole
    asked = {site.dim(name) for name in (site.dims if site.asked is None else site.asked)}
    asked = {dim for dim in asked if not is_temporal(array, dim)}
    kinds: tuple[cf.Kind, ...] = ("longitude", "latitude")
    places = [array.coords[name] for kind in kinds for name in site.named(kind)]
    if isinstance(whole, xr.Dataset):
        places += [whole[name] for name in whole.data_vars if _is_hidden(site, name)]
    if any(asked & set(place.dims) for place in places):
        return True
    for dim in asked:
        own = [dim] if dim in array.coords else [name for name, c in array.coords.items() if dim in c.dims]
        if any(cf.is_angular(array.coords[name].attrs) for name in own):
            return True
    return site.is_mapped and not all(is_vertical(array, dim) for dim in asked)
