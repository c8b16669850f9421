"""Which geometry CF metadata say: every candidate is considered, and has its reason."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from .. import cf
from ..errors import CoordinateError
from .curvilinear import Curvilinear
from .frames import Frame
from .projected import Projected
from .regular import Sphere
from .sites import Site


@dataclass(frozen=True, slots=True)
class Auto:
    """The geometry that the CF metadata say."""

    default_order: ClassVar[int] = 2
    word: ClassVar[str] = "auto"

    def bind(self, site: Site) -> Frame | None:
        """Bind the one geometry that fits; None for coordinates that are lengths and nothing else."""
        reasons = consider(site)
        fitting = [name for name, reason in reasons.items() if reason is None]
        if len(fitting) == 1:
            frame: Frame = CANDIDATES[fitting[0]]().bind(site)
            others = "; ".join(
                f"not {name}: {reason}" for name, reason in reasons.items() if reason is not None
            )
            return replace(frame, reasons=(f"geometry {fitting[0]!r} by CF metadata; {others}",))
        listed = "; ".join(f"{name}: {reason or 'fits'}" for name, reason in reasons.items())
        if not fitting and _cartesian(site):
            return None
        what = "more than one geometry fits" if fitting else "no geometry fits"
        raise CoordinateError(
            f"geometry='auto': {what} {site.array.name!r} ({listed}); name one, as in geometry='sphere', or "
            "correct the metadata"
        )


CANDIDATES: dict[str, Any] = {"projected": Projected, "sphere": Sphere, "curvilinear": Curvilinear}


def consider(site: Site) -> dict[str, str | None]:
    """Say of each candidate why it does not fit, None where it does."""
    return {
        "projected": _not_projected(site),
        "sphere": _not_regular(site),
        "curvilinear": _not_curvilinear(site),
    }


def _named(site: Site, kind: cf.Kind, ndim: int) -> list[Hashable]:
    """Names of coordinates of a kind with a number of dimensions."""
    return [name for name in site.named(kind) if site.array.coords[name].ndim == ndim]


def _wrong_units(site: Site, ndim: int) -> str | None:
    """Say of longitudes and latitudes that are no angles."""
    kinds: tuple[cf.Kind, ...] = ("longitude", "latitude")
    for kind in kinds:
        for name in _named(site, kind, ndim):
            attrs = site.array.coords[name].attrs
            if cf.radians(attrs) is None and attrs.get("units"):
                return f"the {kind} {name!r} has units {attrs['units']!r}, which are no angle"
    return None


def _not_projected(site: Site) -> str | None:
    projections = [name for name, attrs in site.mappings.items() if cf.is_projection(attrs)]
    x, y = _named(site, "x", 1), _named(site, "y", 1)
    if not projections:
        return (
            f"there are {x[0]!r} and {y[0]!r}, but no grid_mapping says their projection"
            if x and y
            else ("no grid_mapping with a projection")
        )
    return None if x and y else f"the grid mapping {projections[0]!r} has no 1-D x and y"


def _not_regular(site: Site) -> str | None:
    lon, lat = _named(site, "longitude", 1), _named(site, "latitude", 1)
    if not lon or not lat:
        lacking = " and ".join(word for word, found in (("longitude", lon), ("latitude", lat)) if not found)
        if not (lat and not lon and not _named(site, "longitude", 2)):
            return f"no {lacking} along one dimension"
    projections = [name for name, attrs in site.mappings.items() if cf.is_projection(attrs)]
    if projections and _not_projected(site) is None:
        return f"the grid mapping {projections[0]!r} is a projection"
    return _wrong_units(site, 1)


def _not_curvilinear(site: Site) -> str | None:
    lon, lat = _named(site, "longitude", 2), _named(site, "latitude", 2)
    if not lon or not lat:
        deep = [name for name in site.named("longitude") if site.array.coords[name].ndim > 2]
        if deep:
            dims = site.array.coords[deep[0]].dims
            return f"the longitude {deep[0]!r} lies on {dims!r}, not on two dimensions"
        return "no longitude and latitude on two dimensions"
    if _not_projected(site) is None:
        return "the projection says more"
    plain = [dim for dim in site.array.coords[lon[0]].dims if dim in site.array.coords]
    if plain:
        return (
            f"its dimensions have the 1-D coordinates {plain!r}, of a projection perhaps, but no "
            "grid_mapping "
            "says which: say geometry='curvilinear' if they are none"
        )
    return _wrong_units(site, 2)


def _cartesian(site: Site) -> bool:
    """Whether no coordinate that is asked for is an angle or bears any mark of the earth."""
    if site.named("longitude") or site.named("latitude") or site.mappings:
        return False
    names = site.asked if site.asked is not None else site.dims
    for name in names:
        if name in site.array.coords:
            attrs = site.array.coords[name].attrs
            known = str(attrs.get("standard_name", ""))
            if cf.radians(attrs) is not None or known.startswith(("projection_", "grid_l")):
                return False
    return True
