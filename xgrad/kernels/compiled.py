"""The compiled kernels (Numba): float32 and float64 in any memory layout, without copies.

Every kernel sees data as flat memory with a first element and strides, so that transposed, strided and
reversed arrays need no copy; dimensions that lie behind each other in memory are merged, and loops run in
memory order. Indices are unsigned: signed ones bring a wrap-around test that keeps loops from being
vectorised. Nothing is fused or reordered (no fastmath), so a point's result depends on its taps alone, not
on where its block begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from types import FunctionType
from typing import Any

import numpy as np
from numba import njit
from numba.core.caching import FunctionCache
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from .stencils import Rows
from .weights import fornberg

_MEND_BYTES = 1 << 22  # bounds the table of run weights that a stretched axis may need


def _cacheable() -> bool:
    """Whether Numba finds a folder for its on-disk cache; where none can be written, asking for one fails."""
    try:
        FunctionCache(fornberg)
    except RuntimeError:
        return False
    return True


_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}
_fornberg = njit(**_OPTIONS)(fornberg)
_CACHE = _cacheable()


def _compiled(function: Callable[..., Any], *labels: object) -> Callable[..., Any]:
    """Compile a kernel for one data type, cached on disk under a name of its own.

    Numba keeps all signatures and closures of one name in one index, which processes that compile at the same
    time can corrupt: code of another width was then loaded without an error. Under its own name each kernel
    has one entry, and whoever writes it writes the same. What kernels call is compiled into them.
    """
    own = FunctionType(function.__code__, function.__globals__, function.__name__, None, function.__closure__)
    own.__module__, own.__qualname__ = function.__module__, "_".join(map(str, (function.__name__, *labels)))
    return njit(cache=_CACHE, **_OPTIONS)(own)  # type: ignore[no-any-return]


@cache
def _antisymmetric(half: int, dtype: Any) -> Callable[..., Any]:
    """Make the kernel of ``sum_k w_k (f_{i+k} - f_{i-k})``, its loop over the taps unrolled."""

    def antisymmetric(x, x0, out, o0, outer, n, xn, on, m, xm, om, w):  # type: ignore[no-untyped-def]
        for t in range(_count(outer)):
            xt, ot = _place(outer, t, x0, o0)
            if m == 1:
                for j in range(n):
                    total = 0.0
                    for k in range(1, half + 1):
                        above = np.float64(x[np.uintp(xt + (j + k) * xn)])
                        below = np.float64(x[np.uintp(xt + (j - k) * xn)])
                        total += w[np.uintp(half + k), 0] * (above - below)
                    out[np.uintp(ot + j * on)] = total
            else:
                for j in range(n):
                    xj, oj = xt + j * xn, ot + j * on
                    for i in range(m):
                        total = 0.0
                        for k in range(1, half + 1):
                            above = np.float64(x[np.uintp(xj + k * xn + i * xm)])
                            below = np.float64(x[np.uintp(xj - k * xn + i * xm)])
                            total += w[np.uintp(half + k), 0] * (above - below)
                        out[np.uintp(oj + i * om)] = total

    return _compiled(antisymmetric, half, dtype)


@cache
def _symmetric(half: int, dtype: Any) -> Callable[..., Any]:
    """Make the kernel of ``sum_k w_k ((f_{i+k} - f_i) + (f_{i-k} - f_i))``, the loop over k unrolled."""

    def symmetric(x, x0, out, o0, outer, n, xn, on, m, xm, om, w):  # type: ignore[no-untyped-def]
        for t in range(_count(outer)):
            xt, ot = _place(outer, t, x0, o0)
            if m == 1:
                for j in range(n):
                    here = np.float64(x[np.uintp(xt + j * xn)])
                    total = 0.0
                    for k in range(1, half + 1):
                        above = np.float64(x[np.uintp(xt + (j + k) * xn)]) - here
                        below = np.float64(x[np.uintp(xt + (j - k) * xn)]) - here
                        total += w[np.uintp(half + k), 0] * (above + below)
                    out[np.uintp(ot + j * on)] = total
            else:
                for j in range(n):
                    xj, oj = xt + j * xn, ot + j * on
                    for i in range(m):
                        here = np.float64(x[np.uintp(xj + i * xm)])
                        total = 0.0
                        for k in range(1, half + 1):
                            above = np.float64(x[np.uintp(xj + k * xn + i * xm)]) - here
                            below = np.float64(x[np.uintp(xj - k * xn + i * xm)]) - here
                            total += w[np.uintp(half + k), 0] * (above + below)
                        out[np.uintp(oj + i * om)] = total

    return _compiled(symmetric, half, dtype)


@cache
def _centred(half: int, dtype: Any) -> Callable[..., Any]:
    """Make the kernel of ``sum_k (w_k (f_{i+k} - f_i) + w_-k (f_{i-k} - f_i))``, weights by row."""

    def centred(x, x0, out, o0, outer, n, xn, on, m, xm, om, w):  # type: ignore[no-untyped-def]
        for t in range(_count(outer)):
            xt, ot = _place(outer, t, x0, o0)
            if m == 1:
                for j in range(n):
                    here = np.float64(x[np.uintp(xt + j * xn)])
                    total = 0.0
                    for k in range(1, half + 1):
                        above = np.float64(x[np.uintp(xt + (j + k) * xn)]) - here
                        below = np.float64(x[np.uintp(xt + (j - k) * xn)]) - here
                        total += (
                            w[np.uintp(half + k), np.uintp(j)] * above
                            + w[np.uintp(half - k), np.uintp(j)] * below
                        )
                    out[np.uintp(ot + j * on)] = total
            else:
                for j in range(n):
                    xj, oj = xt + j * xn, ot + j * on
                    for i in range(m):
                        here = np.float64(x[np.uintp(xj + i * xm)])
                        total = 0.0
                        for k in range(1, half + 1):
                            above = np.float64(x[np.uintp(xj + k * xn + i * xm)]) - here
                            below = np.float64(x[np.uintp(xj - k * xn + i * xm)]) - here
                            total += (
                                w[np.uintp(half + k), np.uintp(j)] * above
                                + w[np.uintp(half - k), np.uintp(j)] * below
                            )
                        out[np.uintp(oj + i * om)] = total

    return _compiled(centred, half, dtype)


@njit(**_OPTIONS)
def _count(outer):  # type: ignore[no-untyped-def]
    """Number of places in the outer dimensions."""
    count = 1
    for d in range(outer.shape[0]):
        count *= outer[d, 0]
    return count


@njit(**_OPTIONS)
def _place(outer, t, x0, o0):  # type: ignore[no-untyped-def]
    """First elements of input and output at the t-th place of the outer dimensions."""
    for d in range(outer.shape[0] - 1, -1, -1):
        index = t % outer[d, 0]
        t //= outer[d, 0]
        x0 += index * outer[d, 1]
        o0 += index * outer[d, 2]
    return x0, o0


@njit(**_OPTIONS)
def _taps(x, xi, xn, w, column, start, taps):  # type: ignore[no-untyped-def]
    """One result of a one-sided stencil: pairs outward from the point; taps of weight 0 are not read."""
    here = np.float64(x[np.uintp(xi)])
    total = 0.0
    for k in range(1, max(-start, start + taps - 1) + 1):
        pair = 0.0
        if k < start + taps and w[k - start, column] != 0.0:
            pair = w[k - start, column] * (np.float64(x[np.uintp(xi + k * xn)]) - here)
        if -k >= start and w[-k - start, column] != 0.0:
            pair += w[-k - start, column] * (np.float64(x[np.uintp(xi - k * xn)]) - here)
        total += pair
    return total


def _one_sided(x, x0, out, o0, outer, n, xn, on, m, xm, om, w, start):  # type: ignore[no-untyped-def]
    """Evaluate rows with one-sided stencils."""
    for t in range(_count(outer)):
        xt, ot = _place(outer, t, x0, o0)
        for j in range(n):
            column = j if w.shape[1] > 1 else 0
            for i in range(m):
                out[np.uintp(ot + j * on + i * om)] = _taps(
                    x, xt + j * xn + i * xm, xn, w, column, start, w.shape[0]
                )


def _mend(  # type: ignore[no-untyped-def]
    x, x0, out, o0, outer, n, xn, on, m, xm, om, before, after, scheme, w, points, period, factor
):
    """Give each point next to missing values the widest stencil inside its run of valid points.

    The plain stencils have run: what they made finite at a valid point stands. `before` and `after` rows of
    halo lie around the n rows. `scheme` is (derivative order, half, edge width, taps below in an edge
    stencil).
    """
    order, half, edge, left = scheme
    reach = max(half, edge - 1)
    shared = points.shape[1] == 0
    # weights of the (row, variant) pairs that occur on a stretched line, made when first met
    made = np.empty((0 if shared else n * w.shape[0], edge, 1))
    known = np.zeros(made.shape[0], dtype=np.bool_)
    first = (order * (order + 1)) // 2
    variants = (edge * (edge + 1)) // 2 - first
    for t in range(_count(outer)):
        xt, ot = _place(outer, t, x0, o0)
        if m == 1 and not _rough(x, xt, xn, out, ot, on, n):
            continue
        for j in range(n):
            if m > 1 and not _rough(x, xt + j * xn, xm, out, ot + j * on, om, m):
                continue
            for i in range(m):
                xi, oi = xt + j * xn + i * xm, ot + j * on + i * om
                if np.isnan(x[np.uintp(xi)]):
                    out[np.uintp(oi)] = np.nan
                    continue
                if not np.isnan(out[np.uintp(oi)]):
                    continue
                below, above = 0, 0
                while below < min(reach, before + j) and not np.isnan(x[np.uintp(xi - (below + 1) * xn)]):
                    below += 1
                while above < min(reach, after + n - 1 - j) and not np.isnan(
                    x[np.uintp(xi + (above + 1) * xn)]
                ):
                    above += 1
                if below >= half and above >= half:
                    continue
                width = min(edge, below + above + 1)
                if width <= order:
                    continue
                below = min(below, max(left, width - 1 - above)) if width == edge else below
                variant = (width * (width - 1)) // 2 - first + below
                if not shared:
                    variant += j * variants
                    if not known[variant]:
                        known[variant] = True
                        made[variant, :width] = _run_weights(
                            points, before + j, below, width, order, period, factor
                        )
                    out[np.uintp(oi)] = _taps(x, xi, xn, made[variant], 0, -below, width)
                else:
                    out[np.uintp(oi)] = _taps(x, xi, xn, w[variant], 0, -below, width)


@njit(**_OPTIONS)
def _rough(x, xt, xs, out, ot, os, count):  # type: ignore[no-untyped-def]
    """Whether anything is missing in a row or its results; most rows are whole, and this loop is fast."""
    found = False
    for i in range(count):
        found |= np.isnan(x[np.uintp(xt + i * xs)]) | np.isnan(out[np.uintp(ot + i * os)])
    return found


@njit(**_OPTIONS)
def _run_weights(points, row, below, width, order, period, factor):  # type: ignore[no-untyped-def]
    """Weights of a run's stencil from the positions of its taps."""
    offsets = np.empty((width, 1))
    for k in range(width):
        tap = row - below + k
        offset = (points[0, tap] - points[0, row]) + (points[1, tap] - points[1, row])
        offsets[k, 0] = offset + (points[2, tap] - points[2, row]) * period
    return _fornberg(offsets, below, order) * factor


def _holes(x, x0, outer, m, xm):  # type: ignore[no-untyped-def]
    """Whether any value is missing."""
    for t in range(_count(outer)):
        xt, _ = _place(outer, t, x0, 0)
        found = False
        for i in range(m):
            found |= np.isnan(x[np.uintp(xt + i * xm)])
        if found:
            return True
    return False


@cache
def _whole(function: Callable[..., Any], dtype: Any) -> Callable[..., Any]:
    """Return a kernel that needs no width, compiled for one data type."""
    return _compiled(function, dtype)


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Return a contiguous read-only array, whatever came through a cluster: one signature for all."""
    view = np.ascontiguousarray(array).view()
    view.setflags(write=False)
    return view


def differentiate(window: NDArray[Any], out: NDArray[Any], axis: int, rows: Rows, gaps: bool) -> None:
    """Write the derivative along `axis` into `out`.

    Parameters
    ----------
    window : ndarray of float32 or float64
        Input, ascending along `axis`, with the halo that `rows` tells.
    out : ndarray of the same dtype
        Output, of any layout; overwritten.
    axis : int
        The axis.
    rows : Rows
        The stencils of the rows of `out`.
    gaps : bool
        Whether to give points next to missing values (NaN) the stencils of their run.
    """
    if not out.size:
        return
    place, dtype = _layout(window, out, axis, rows.before), out.dtype
    for first, stop, stencil in rows.segments:
        weights, reach = _frozen(stencil.weights), stencil.stop - 1
        if stencil.start != -reach:
            _whole(_one_sided, dtype)(*place(first, stop), weights, stencil.start)
        else:
            make = {-1: _antisymmetric, 0: _centred, 1: _symmetric}[stencil.parity]
            make(reach, dtype)(*place(first, stop), weights)
    if gaps:
        rule = rows.gaps
        points = _frozen(np.empty((3, 0)) if rule.points is None else rule.points)
        table = _frozen(np.zeros((len(rule.variants), 0, 1)) if rule.weights is None else rule.weights)
        mend = _whole(_mend, dtype)
        scheme = (rule.n, rule.half, rule.edge, rule.left)
        variants = len(rule.variants)
        step = max(_MEND_BYTES // (8 * variants * rule.edge), 1) if rule.weights is None else rows.size
        for first in range(0, rows.size, step):
            stop = min(first + step, rows.size)
            before, after = rows.before + first, rows.after + rows.size - stop
            mend(*place(first, stop), before, after, scheme, table, points, rule.period, rule.factor)


def holes(x: NDArray[Any]) -> bool:
    """Whether a float32 or float64 array holds a missing value."""
    if not x.size:
        return False
    merged = _merge(x.shape, _strides(x), _strides(x))
    flat, start = _flat(x)
    size, stride, _ = merged[-1]
    return bool(_whole(_holes, x.dtype)(flat, start, _table(merged[:-1]), size, stride))


def _layout(
    window: NDArray[Any], out: NDArray[Any], axis: int, before: int
) -> Callable[[int, int], tuple[Any, ...]]:
    """Describe a window and its output; the function returned says where rows `first` to `stop - 1` lie."""
    x, x0 = _flat(window)
    o, o0 = _flat(out, writeable=True)
    xs, os = list(_strides(window)), list(_strides(out))
    xn, on = xs.pop(axis), os.pop(axis)
    others = _merge((*out.shape[:axis], *out.shape[axis + 1 :]), xs, os)
    across = (_table(others[:-1]), others[-1])  # the innermost loop runs along another axis
    along = (_table(others), (1, 1, 1))  # the innermost loop runs along the rows
    rows_outside = abs(others[-1][1]) < abs(xn)

    def place(first: int, stop: int) -> tuple[Any, ...]:
        """The arguments that all kernels begin with."""
        outer, inner = across if rows_outside or stop - first == 1 else along
        return x, x0 + (before + first) * xn, o, o0 + first * on, outer, stop - first, xn, on, *inner

    return place


def _table(dims: Sequence[tuple[int, int, int]]) -> NDArray[np.int64]:
    """Sizes and strides of the outer dimensions, one a row."""
    return np.array(dims, dtype=np.int64).reshape(-1, 3)


def _merge(shape: Iterable[int], xs: Iterable[int], os: Iterable[int]) -> list[tuple[int, int, int]]:
    """Sort dimensions by stride, slowest first, and join those that follow each other in both arrays."""
    merged: list[tuple[int, int, int]] = []
    for size, x, o in sorted(zip(shape, xs, os, strict=True), key=lambda d: -abs(d[1])):
        if size == 1:
            continue
        if merged and merged[-1][1] == size * x and merged[-1][2] == size * o:
            merged[-1] = (merged[-1][0] * size, x, o)
        else:
            merged.append((size, x, o))
    return merged or [(1, 1, 1)]


def _strides(array: NDArray[Any]) -> tuple[int, ...]:
    """Strides in elements."""
    return tuple(stride // array.itemsize for stride in array.strides)


def _flat(array: NDArray[Any], writeable: bool = False) -> tuple[NDArray[Any], int]:
    """View the memory under an array as one line, and the place of its first element in it."""
    strides = _strides(array)
    start = sum(-s * (size - 1) for s, size in zip(strides, array.shape, strict=True) if s < 0)
    span = 1 + sum(abs(s) * (size - 1) for s, size in zip(strides, array.shape, strict=True))
    lowest = array[tuple(slice(-1, None) if s < 0 else slice(0, 1) for s in strides)]
    return as_strided(lowest, (span,), (array.itemsize,), writeable=writeable), start
