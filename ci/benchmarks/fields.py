"""What is differentiated: sizes, coordinates, noise, gaps like coasts; and the floor below all methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

FIELDS = {
    "2-D float64": ((4096, 4096), "float64"),
    "2-D float32": ((4096, 4096), "float32"),
    "3-D float64": ((256, 256, 256), "float64"),
    "3-D float32": ((200, 512, 512), "float32"),
    "4-D float32": ((16, 40, 256, 320), "float32"),
}
_SHARE = {"toy": 0.0, "small": 1 / 16, "full": 1.0}
_LEAST = 16  # points of an axis
_SLAB = 1 << 18  # bytes: a slab of the input stays in a core's cache until all outputs are written


def scaled(shape: Sequence[int], size: str, least: int = _LEAST) -> tuple[int, ...]:
    """Return the shape that holds a share of the full one's points."""
    factor = _SHARE[size] ** (1 / len(shape))
    return tuple(min(n, max(least, round(n * factor))) for n in shape)


def positions(count: int, stretched: bool) -> NDArray[np.float64]:
    """Return evenly spaced positions, exact in binary, or smoothly stretched ones."""
    steps = np.arange(count) / 4
    return steps + np.sin(steps) / 8 if stretched else steps


def field(name: str, size: str, *, stretched: bool = False, gaps: bool = False) -> xr.DataArray:
    """Return noise, with 20 % of it missing if there are to be gaps."""
    shape, dtype = FIELDS[name]
    shape = scaled(shape, size)
    values = np.random.default_rng(0).standard_normal(shape, dtype=dtype)  # type: ignore[call-overload]
    if gaps:
        values[..., _land(*shape[-2:])] = np.nan
    dims = tuple("tzyx"[-len(shape) :])
    coords = {dim: positions(n, stretched) for dim, n in zip(dims, shape, strict=True)}
    return xr.DataArray(values, coords, dims, name="f")


def _land(rows: int, columns: int) -> NDArray[np.bool_]:
    """Mark a fifth of a map: continents and islands, as sums of waves."""
    rng = np.random.default_rng(1)
    y, x = np.linspace(0, 2 * np.pi, rows)[:, np.newaxis], np.linspace(0, 2 * np.pi, columns)
    height = np.zeros((rows, columns))
    for wave in (1, 2, 3, 5, 8, 13, 21, 34):
        a, b = rng.uniform(-wave, wave, 2)
        height += np.sin(a * y + b * x + rng.uniform(0, 2 * np.pi)) / wave**0.5
    land: NDArray[np.bool_] = height > np.quantile(height, 0.8)
    return land


def copy(source: NDArray[Any], outs: Sequence[NDArray[Any]]) -> None:
    """Do the least that derivatives need: read the input once, write each output once."""
    flat, targets = source.reshape(-1), [out.reshape(-1) for out in outs]
    step = _SLAB // source.itemsize
    for first in range(0, flat.size, step):
        for target in targets:
            np.copyto(target[first : first + step], flat[first : first + step])


def fresh(source: NDArray[Any], count: int) -> list[NDArray[Any]]:
    """Do the same into new memory, which the system has to hand out page by page."""
    outs = [np.empty_like(source) for _ in range(count)]
    copy(source, outs)
    return outs


def described(array: Any) -> str:
    """Say shape and dtype."""
    return f"{' × '.join(map(str, array.shape))} {array.dtype}"
