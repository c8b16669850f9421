"""The bare kernels, into arrays that are there already: nothing but arithmetic and memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xgrad import blocks, halos
from xgrad.schemes import scheme

from .contest import Case, Contest, disagreements, timed
from .fields import copy, described, field


def _kernel(f: xr.DataArray, outs: Sequence[NDArray[Any]], *, order: int, gaps: bool) -> Callable[[], Any]:
    """Return a call of xgrad's kernel on all axes of a field: the only place that knows how it is called."""
    sections = []
    for axis, dim in enumerate(f.dims):
        points = f[dim].values
        steps = np.diff(points)
        step = float(steps[0]) if (steps == steps[0]).all() else None
        made = scheme(np.stack([points, np.zeros_like(points)]), step=step, order=order)
        (link,) = halos.links(halos.Partial(axis, made), (points.size,), gaps)
        sections.append(link.section())
    around = [((), ())] * f.ndim
    return partial(blocks.run, f.values, sections, around, dtype=f.dtype, gaps=gaps, outs=outs)


def _contest(size: str, folder: Path, *, name: str, order: int) -> Contest:
    """One order of accuracy on all kinds of coordinates and data."""
    plain, broken = field(name, size), field(name, size, gaps=True)
    stretched = field(name, size, stretched=True)
    kinds = {
        "uniform": (plain, False),
        "stretched": (stretched, False),
        "gaps possible": (plain, True),
        "20 % missing": (broken, True),
    }
    outs = [np.empty_like(plain.values) for _ in plain.dims]
    calls = {kind: _kernel(f, outs, order=order, gaps=gaps) for kind, (f, gaps) in kinds.items()}

    def wrong() -> dict[str, str]:
        """Find kernels that do not give the bits of the public function."""
        found: dict[str, str] = {}
        for kind, (f, gaps) in kinds.items():
            public = f.grad.compute(dims=f.dims, order=order, skipna=gaps)
            results = {"the public function": lambda public=public: public.values(), kind: calls[kind]}
            found |= disagreements(results, "the public function", margin=0, tolerance=0.0)
        return found

    return Contest(
        work=f"order {order}, all {plain.ndim} axes of {described(plain)}",
        measures=timed({**calls, "floor": lambda: copy(plain.values, outs)}),
        disagreements=wrong,
        reference="uniform",
    )


CASES = tuple(
    Case("kernel", f"{name}, order {order}", partial(_contest, name=name, order=order))
    for name in ("2-D float64", "2-D float32", "3-D float64", "3-D float32")
    for order in (2, 4, 6)
)
