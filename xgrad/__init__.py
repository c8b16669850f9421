"""Derivatives of gridded data along named coordinates: lazy, with units, for every xarray object.

Importing the package registers the `.grad` accessor on DataArray, Dataset and DataTree.
"""

import typing

from .accessor import DataArrayGrad, DatasetGrad, DataTreeGrad
from .arrays import gradient
from .errors import (
    ChangedInputError,
    CoordinateError,
    InputError,
    MissingExtraError,
    PrecisionWarning,
    StorageError,
    TargetError,
    XgradError,
)
from .geometry import (
    Curvilinear,
    Ellipsoid,
    Metric,
    Projected,
    Sphere,
    TerrainFollowing,
    hydrostatic_consistency,
)
from .partials import compute, derivative, plan
from .plans import Plan
from .units import UnitsWarning

if typing.TYPE_CHECKING:
    from .storage import Progress, open, write

__version__ = "0.1.0"

__all__ = [
    "ChangedInputError",
    "CoordinateError",
    "Curvilinear",
    "DataArrayGrad",
    "DataTreeGrad",
    "DatasetGrad",
    "Ellipsoid",
    "InputError",
    "Metric",
    "MissingExtraError",
    "Plan",
    "PrecisionWarning",
    "Progress",
    "Projected",
    "Sphere",
    "StorageError",
    "TargetError",
    "TerrainFollowing",
    "UnitsWarning",
    "XgradError",
    "compute",
    "derivative",
    "gradient",
    "hydrostatic_consistency",
    "open",
    "plan",
    "write",
]


def __getattr__(name: str) -> typing.Any:
    """Load what is about files when it is first asked for."""
    if name not in ("Progress", "open", "write"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import storage

    return getattr(storage, name)


def __dir__() -> list[str]:
    """Name what is loaded later too."""
    return sorted({*globals(), *__all__})
