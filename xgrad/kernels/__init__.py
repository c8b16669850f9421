"""Derivatives of bare arrays from stencils: compiled for native NumPy arrays, portable for all else."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from . import portable

__all__ = ["compiled_for", "portable"]

_NATIVE = frozenset(np.dtype(name) for name in ("float32", "float64", "complex64", "complex128"))


def compiled_for(data: Any) -> ModuleType | None:
    """Return the compiled kernels if they can serve `data`, else None.

    They serve NumPy arrays of every boolean, integer, float32, float64, complex64 and complex128 dtype, of
    any byte order, where Numba can be imported; what is not native is converted to float64 (or its native
    counterpart) block by block.
    """
    if type(data) is not np.ndarray or (
        data.dtype.newbyteorder("=") not in _NATIVE and data.dtype.kind not in "biu"
    ):
        return None
    return _load()


@cache
def _load() -> ModuleType | None:
    """Import the compiled kernels when first needed."""
    try:
        from . import compiled
    except ImportError:
        return None
    return compiled
