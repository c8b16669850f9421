"""The portable kernel: any array of the Python Array API standard, and the oracle of the compiled kernels.

It adds the same terms in the same order as `compiled`, so that both agree bitwise on float32 and float64
NumPy arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .stencils import Gaps, Rows
from .weights import Floats, fornberg

Array = Any  # of whichever namespace the data come from


def differentiate(window: Array, axis: int, rows: Rows, gaps: bool) -> Array:
    """Return the derivative along `axis`.

    Parameters
    ----------
    window : array of a real floating or complex dtype
        Input, ascending along `axis`, with the halo that `rows` tells.
    axis : int
        The axis.
    rows : Rows
        The stencils of the rows of the result.
    gaps : bool
        Whether to give points next to missing values (NaN) the stencils of their run.

    Returns
    -------
    array
        Same namespace, device and dtype; arithmetic in float64, or in longdouble for longdouble.
    """
    xp = window.__array_namespace__()
    if not rows.size:
        return window[(*(slice(None),) * axis, slice(0, 0), ...)]
    with np.errstate(all="ignore"):
        if xp.isdtype(window.dtype, "complex floating"):
            real, imag = xp.real(window), xp.imag(window)
            if gaps:
                missing = xp.isnan(window)
                real, imag = (xp.where(missing, _full(xp, part, np.nan), part) for part in (real, imag))
            real, imag = (differentiate(part, axis, rows, gaps) for part in (real, imag))
            return _complex(xp, real, imag, window.dtype)
        long = isinstance(window.dtype, np.dtype) and window.dtype == np.longdouble
        work = window.dtype if long else xp.float64
        line = _Line(xp, xp.astype(window, work), axis, rows.before, rows.size, rows.gaps.reach)
        parts = [line.combine(first, stop, s.start, s.weights, s.parity) for first, stop, s in rows.segments]
        result = xp.concat(parts, axis=axis)
        if gaps:
            result = _mend(line, result, rows.gaps)
        return xp.astype(result, window.dtype)


def _full(xp: Any, like: Array, value: float) -> Array:
    """Return an array of one value, of the dtype and on the device of `like`."""
    return xp.full(like.shape, value, dtype=like.dtype, device=like.device)


def _complex(xp: Any, real: Array, imag: Array, dtype: Any) -> Array:
    """Join real and imaginary parts."""
    if xp is np:
        joined = np.empty(real.shape, dtype)
        joined.real, joined.imag = real, imag
        return joined
    return xp.astype(real, dtype) + xp.astype(imag, dtype) * 1j


class _Line:
    """A window padded along its axis, from which shifted rows are cut."""

    __slots__ = ("axis", "before", "padded", "rows", "window", "xp")

    def __init__(self, xp: Any, window: Array, axis: int, before: int, rows: int, reach: int) -> None:
        shape = tuple(reach if d == axis else size for d, size in enumerate(window.shape))
        pad = xp.full(shape, np.nan, dtype=window.dtype, device=window.device)
        self.xp, self.window, self.axis, self.rows = xp, window, axis, rows
        self.before = before + reach
        self.padded = xp.concat([pad, window, pad], axis=axis)

    def shifted(self, first: int, stop: int, offset: int) -> Array:
        """Return the values `offset` rows further for rows `first` to `stop - 1`."""
        low, high = self.before + first + offset, self.before + stop + offset
        return self.padded[(*(slice(None),) * self.axis, slice(low, high), ...)]

    def column(self, weights: Floats) -> Array:
        """Return one tap's weights, broadcast along the other axes."""
        shape = tuple(-1 if d == self.axis else 1 for d in range(self.window.ndim))
        return self.xp.reshape(
            self.xp.asarray(weights.copy(), dtype=self.window.dtype, device=self.window.device), shape
        )

    def combine(self, first: int, stop: int, start: int, weights: Floats, parity: int = 0) -> Array:
        """Return the weighted differences of rows `first` to `stop - 1`, in pairs outward from the point."""
        xp, here = self.xp, self.shifted(first, stop, 0)
        end = start + weights.shape[0]
        one_sided = start != 1 - end
        total = _full(xp, here, 0.0)
        for k in range(1, max(-start, end - 1) + 1):
            if parity:
                above, below = self.shifted(first, stop, k), self.shifted(first, stop, -k)
                pair = above - below if parity < 0 else (above - here) + (below - here)
                total = total + self.column(weights[k - start]) * pair
                continue
            terms = []
            for tap in (k, -k):
                if start <= tap < end and not (one_sided and not weights[tap - start].any()):
                    weight = self.column(weights[tap - start])
                    term = weight * (self.shifted(first, stop, tap) - here)
                    terms.append(xp.where(weight == 0, _full(xp, term, 0.0), term) if one_sided else term)
            if terms:
                total = total + sum(terms[1:], start=terms[0])
        return total


def _mend(line: _Line, result: Array, gaps: Gaps) -> Array:
    """Give each point next to missing values the widest stencil inside its run of valid points."""
    xp, rows = line.xp, line.rows
    here = line.shifted(0, rows, 0)
    below, above = (_run(line, direction, gaps.reach) for direction in (-1, 1))
    open_points = xp.isnan(result) & ~((below >= gaps.half) & (above >= gaps.half))
    width = xp.minimum(below + above + 1, xp.full_like(below, gaps.edge))
    free = xp.maximum(xp.minimum(below, xp.full_like(below, gaps.left)), width - 1 - above)
    below = xp.where(width == gaps.edge, free, below)
    for index, (taps, lower) in enumerate(gaps.variants):
        chosen = open_points & (width == taps) & (below == lower)
        if bool(xp.any(chosen)):
            if gaps.weights is not None:
                weights = np.broadcast_to(gaps.weights[index, :taps], (taps, rows))
            else:
                weights = _run_weights(gaps, line, lower, taps)
            result = xp.where(chosen, line.combine(0, rows, -lower, weights), result)
    return xp.where(xp.isnan(here), here, result)


def _run(line: _Line, direction: int, reach: int) -> Array:
    """Count the valid points next to each point in one direction, at most `reach`."""
    xp = line.xp
    whole = ~xp.isnan(line.shifted(0, line.rows, direction))
    count = xp.astype(whole, xp.int64)
    for k in range(2, reach + 1):
        whole = whole & ~xp.isnan(line.shifted(0, line.rows, k * direction))
        count = count + xp.astype(whole, xp.int64)
    return count


def _run_weights(gaps: Gaps, line: _Line, below: int, width: int) -> Floats:
    """Weights of one variant for every row whose taps lie inside the window, 0 elsewhere."""
    assert gaps.points is not None
    reach = gaps.reach
    whole, rest, turns = gaps.points
    row = np.arange(line.rows) + line.before - reach
    inside = (row - below >= 0) & (row - below + width <= whole.size)
    row = row[inside]
    taps = row - below + np.arange(width)[:, None]
    offsets = ((whole[taps] - whole[row]) + (rest[taps] - rest[row])) + (
        turns[taps] - turns[row]
    ) * gaps.period
    weights = np.zeros((width, line.rows))
    weights[:, inside] = fornberg(offsets, below, gaps.n) * gaps.factor
    return weights
