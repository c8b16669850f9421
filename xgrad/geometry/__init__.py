"""Geometries: derivatives to the east and to the north, per metre, on every grid that people have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol, runtime_checkable

from ..errors import XgradError
from .auto import Auto
from .curvilinear import Curvilinear
from .frames import Direction, Frame, Layout, Parts, aligned, partial
from .metric import Metric
from .projected import Projected
from .regular import Ellipsoid, Sphere
from .sites import Site
from .terrain import TerrainFollowing, hydrostatic_consistency

__all__ = [
    "GEOMETRIES",
    "Curvilinear",
    "Direction",
    "Ellipsoid",
    "Frame",
    "Geometry",
    "Layout",
    "Metric",
    "Parts",
    "Projected",
    "Site",
    "Sphere",
    "TerrainFollowing",
    "aligned",
    "hydrostatic_consistency",
    "of",
    "partial",
]


@runtime_checkable
class Geometry(Protocol):
    """What turns derivatives along coordinates into derivatives per metre."""

    default_order: ClassVar[int]
    word: ClassVar[str]

    def bind(self, site: Site) -> Frame | None:
        """Bind it to a variable; None where plain derivatives are per metre already."""


GEOMETRIES: dict[str, Callable[[], Geometry]] = {
    "auto": Auto,
    "sphere": Sphere,
    "ellipsoid": Ellipsoid,
    "projected": Projected,
    "curvilinear": Curvilinear,
}


def of(given: Any) -> Geometry | None:
    """Return the geometry that the user means: a name, an object, or None."""
    if given is None or (isinstance(given, Geometry) and not isinstance(given, type)):
        return given
    if isinstance(given, str) and given in GEOMETRIES:
        return GEOMETRIES[given]()
    raise XgradError(
        f"geometry={given!r} is not known: give {', '.join(map(repr, GEOMETRIES))}, None, or an object such "
        "as xgrad.Sphere(radius=6371229.0)"
    )
