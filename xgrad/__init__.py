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
    StorageError,
    TargetError,
    XgradError,
)
from .partials import compute, derivative, plan
from .plans import Plan
from .units import UnitsWarning

__version__ = "0.1.0"

__all__ = [
    "ChangedInputError",
    "CoordinateError",
    "DataArrayGrad",
    "DataTreeGrad",
    "DatasetGrad",
    "InputError",
    "MissingExtraError",
    "Plan",
    "StorageError",
    "TargetError",
    "UnitsWarning",
    "XgradError",
    "compute",
    "derivative",
    "gradient",
    "plan",
]
