"""New processes: what an import costs, and the first call."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from .contest import SECONDS, Case, Contest, Metrics

_PRELUDE = "import time; started = time.perf_counter(); import xarray, dask"
_ARRAY = """
import numpy as np
coords = {"y": np.arange(40.0), "x": np.arange(60.0)}
f = xarray.DataArray(np.random.default_rng(0).standard_normal((40, 60)), coords, name="f")
started = time.perf_counter()
"""
_CALL = _PRELUDE + _ARRAY + 'import xgrad; f.grad.compute(dims=["y", "x"])'
_IMPORT = _PRELUDE + _ARRAY + "import xgrad"


def _cold(code: str, kernels: Path | None = None) -> Metrics:
    """Run code in a new process and return the seconds since the `started` in it."""
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run(
            [sys.executable, "-c", f"{code}\nprint(time.perf_counter() - started)"],
            env={**os.environ, "NUMBA_CACHE_DIR": str(kernels or empty)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return {SECONDS: float(done.stdout)}


def _warm(kernels: Path) -> Metrics:
    """Time the first call with the kernels in a cache, which is filled before if it is empty."""
    if not any(kernels.iterdir()):
        _cold(_CALL, kernels)
    return _cold(_CALL, kernels)


def _contest(size: str, folder: Path) -> Contest:
    """Compare the first call with the imports that everybody has to wait for."""
    return Contest(
        work="40 × 60 float64, two axes, each in a new process",
        measures={
            "import xarray, dask": partial(_cold, _PRELUDE),
            "import xgrad": partial(_cold, _IMPORT),
            "first call, kernels cached": partial(_warm, folder),
            "first call, no kernel cached": partial(_cold, _CALL),
        },
        reference="import xarray, dask",
        warm=False,
    )


CASES = (Case("first", "new process", _contest),)
