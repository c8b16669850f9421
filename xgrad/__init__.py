"""Derivatives of gridded data along named coordinates: lazy, with units, for every xarray object.

Importing the package registers the `.grad` accessor on DataArray, Dataset and DataTree.
"""

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
    "plan",
]
