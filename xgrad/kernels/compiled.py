"""The compiled kernels (Numba): float32 and float64 in any memory layout, without copies.

A kernel walks through lines of points (see `memory`); one loop over the points of a line serves lines along
the differentiated axis and lines across it. Indices are unsigned: signed ones bring a wrap-around test that
keeps loops from being vectorised; for the same reason weights come as tuples, whose lengths unroll the loops
over taps, and lines without gaps in memory have a loop of their own. Nothing is fused or reordered (no
fastmath), so a point's result depends on its taps alone, not on where its block begins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, cached_property
from types import FunctionType
from typing import Any

import numpy as np
from numba import config, njit, void
from numba.core.caching import FunctionCache
from numba.extending import intrinsic
from numpy.typing import NDArray

from .memory import Flat, everywhere, loops
from .stencils import Rows, Stencil
from .weights import fornberg

# All cores that the process may use, or what the environment variable of that name says.
THREADS: int = config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
_TABLE_BYTES = 1 << 25  # bounds the table of run weights that a stretched axis may need


def _cacheable() -> bool:
    """Whether Numba finds a folder for its on-disk cache; where none can be written, asking for one fails."""
    try:
        FunctionCache(fornberg)
    except RuntimeError:
        return False
    return True


_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}
_CACHE = _cacheable()
_inlined = njit(forceinline=True, **_OPTIONS)
_fornberg = njit(**_OPTIONS)(fornberg)


@cache
def _compiled(function: Callable[..., Any], *labels: object) -> Callable[..., Any]:
    """Compile a kernel for one width and data type, cached on disk under a name of its own.

    Numba keeps all signatures of one name in one index, which processes that compile at the same time can
    corrupt: code of another width was then loaded without an error. Under its own name each kernel has one
    entry, and whoever writes it writes the same. What kernels call is compiled into them.
    """
    own = FunctionType(function.__code__, function.__globals__, function.__name__)
    own.__module__, own.__qualname__ = function.__module__, "_".join(map(str, (function.__name__, *labels)))
    return njit(cache=_CACHE, **_OPTIONS)(own)  # type: ignore[no-any-return]


@_inlined
def _antisymmetric_line(x, x0, tap, xs, out, o0, os, count, w, column, along):  # type: ignore[no-untyped-def]
    """Evaluate ``sum_k w_k (f_{i+k} - f_{i-k})`` on a line; w holds w_1, w_2, ..."""
    for i in range(count):
        total = 0.0
        for k in range(1, len(w) + 1):
            above = np.float64(x[np.uintp(x0 + k * tap + i * xs)])
            below = np.float64(x[np.uintp(x0 - k * tap + i * xs)])
            total += w[k - 1] * (above - below)
        out[np.uintp(o0 + i * os)] = total


@_inlined
def _symmetric_line(x, x0, tap, xs, out, o0, os, count, w, column, along):  # type: ignore[no-untyped-def]
    """Evaluate ``sum_k w_k ((f_{i+k} - f_i) + (f_{i-k} - f_i))`` on a line; w holds w_1, w_2, ..."""
    for i in range(count):
        here = np.float64(x[np.uintp(x0 + i * xs)])
        total = 0.0
        for k in range(1, len(w) + 1):
            above = np.float64(x[np.uintp(x0 + k * tap + i * xs)]) - here
            below = np.float64(x[np.uintp(x0 - k * tap + i * xs)]) - here
            total += w[k - 1] * (above + below)
        out[np.uintp(o0 + i * os)] = total


@_inlined
def _centred_line(x, x0, tap, xs, out, o0, os, count, w, column, along):  # type: ignore[no-untyped-def]
    """Evaluate ``sum_k (w_k (f_{i+k} - f_i) + w_-k (f_{i-k} - f_i))``; w holds an array for each tap."""
    half = len(w) // 2
    for i in range(count):
        here = np.float64(x[np.uintp(x0 + i * xs)])
        total = 0.0
        for k in range(1, half + 1):
            above = np.float64(x[np.uintp(x0 + k * tap + i * xs)]) - here
            below = np.float64(x[np.uintp(x0 - k * tap + i * xs)]) - here
            j = np.uintp(column + i * along)
            total += w[half + k][j] * above + w[half - k][j] * below
        out[np.uintp(o0 + i * os)] = total


@intrinsic
def _distinct(context):  # type: ignore[no-untyped-def]
    """Tell the compiler that no array of the kernel around overlaps another, so that it need not test."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        for argument in builder.function.args:
            if argument.type.is_pointer:
                argument.add_attribute("noalias")
        return context.get_dummy_value()

    return void(), build


@_inlined
def _walk(line, x, x0, out, o0, outer, lines, points, tap, along, w, column):  # type: ignore[no-untyped-def]
    """Evaluate all lines; strides that the compiler knows to be 1 give faster loops."""
    rows, xr, orow = lines
    count, xs, os = points
    for t in range(_count(outer)):
        xt, ot = _place(outer, t, x0, o0)
        for j in range(rows):
            xi, oi = xt + j * xr, ot + j * orow
            if xs == 1 and os == 1 and along == 0:
                line(x, xi, tap, 1, out, oi, 1, count, w, column + j, 0)
            elif xs == 1 and os == 1 and tap == 1:
                line(x, xi, 1, 1, out, oi, 1, count, w, column, 1)
            else:
                line(x, xi, tap, xs, out, oi, os, count, w, column + j, along)


def _antisymmetric(x, x0, out, o0, outer, lines, points, tap, along, w):  # type: ignore[no-untyped-def]
    _distinct()  # type: ignore[call-arg]
    _walk(_antisymmetric_line, x, x0, out, o0, outer, lines, points, tap, along, w, 0)


def _symmetric(x, x0, out, o0, outer, lines, points, tap, along, w):  # type: ignore[no-untyped-def]
    _distinct()  # type: ignore[call-arg]
    _walk(_symmetric_line, x, x0, out, o0, outer, lines, points, tap, along, w, 0)


def _centred(x, x0, out, o0, outer, lines, points, tap, along, w, column):  # type: ignore[no-untyped-def]
    _distinct()  # type: ignore[call-arg]
    _walk(_centred_line, x, x0, out, o0, outer, lines, points, tap, along, w, column)


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
def _taps(x, xi, tap, w, column, start, taps):  # type: ignore[no-untyped-def]
    """One result of a one-sided stencil: pairs outward from the point; taps of weight 0 are not read."""
    here = np.float64(x[np.uintp(xi)])
    total = 0.0
    for k in range(1, max(-start, start + taps - 1) + 1):
        pair = 0.0
        if k < start + taps and w[k - start, column] != 0.0:
            pair = w[k - start, column] * (np.float64(x[np.uintp(xi + k * tap)]) - here)
        if -k >= start and w[-k - start, column] != 0.0:
            pair += w[-k - start, column] * (np.float64(x[np.uintp(xi - k * tap)]) - here)
        total += pair
    return total


def _one_sided(x, x0, out, o0, outer, lines, points, tap, along, w, start):  # type: ignore[no-untyped-def]
    """Evaluate one row with a one-sided stencil."""
    for t in range(_count(outer)):
        xt, ot = _place(outer, t, x0, o0)
        for i in range(points[0]):
            out[np.uintp(ot + i * points[2])] = _taps(x, xt + i * points[1], tap, w, 0, start, w.shape[0])


def _mend(  # type: ignore[no-untyped-def]
    x,
    x0,
    out,
    o0,
    outer,
    lines,
    points,
    tap,
    along,
    row,
    ends,
    rule,
    w,
    positions,
    period,
    factor,
    made,
    known,
):
    """Give each point next to missing values the widest stencil inside its run of valid points.

    The plain stencils have run: what they made finite at a valid point stands. The first line begins at row
    `row`; `ends` are the first row of input, the last plus one, and the first row of the table.
    `rule` is (derivative order, half, edge width, taps below in an edge stencil). On a stretched axis weights
    of the (row, variant) pairs that occur are kept in `made` when first met.
    """
    order, half, edge, left = rule
    rows, xr, orow = lines
    count, xs, os = points
    reach = max(half, edge - 1)
    first_variant = (order * (order + 1)) // 2
    variants = (edge * (edge + 1)) // 2 - first_variant
    for t in range(_count(outer)):
        xt, ot = _place(outer, t, x0, o0)
        for j in range(rows):
            for first in range(0, count, 128):
                xj, oj = xt + j * xr + first * xs, ot + j * orow + first * os
                size = min(128, count - first)
                if not _rough(x, xj, xs, out, oj, os, size):
                    continue
                for i in range(size):
                    xi, oi, here = xj + i * xs, oj + i * os, row + j + (first + i) * along
                    if np.isnan(x[np.uintp(xi)]):
                        out[np.uintp(oi)] = np.nan
                        continue
                    if not np.isnan(out[np.uintp(oi)]):
                        continue
                    below, above = 0, 0
                    while below < min(reach, here - ends[0]) and not np.isnan(
                        x[np.uintp(xi - (below + 1) * tap)]
                    ):
                        below += 1
                    while above < min(reach, ends[1] - 1 - here) and not np.isnan(
                        x[np.uintp(xi + (above + 1) * tap)]
                    ):
                        above += 1
                    if below >= half and above >= half:
                        continue
                    width = min(edge, below + above + 1)
                    if width <= order:
                        continue
                    below = min(below, max(left, width - 1 - above)) if width == edge else below
                    variant = (width * (width - 1)) // 2 - first_variant + below
                    if positions.shape[1] == 0:
                        out[np.uintp(oi)] = _taps(x, xi, tap, w[variant], 0, -below, width)
                        continue
                    variant += (here - ends[2]) * variants
                    if not known[variant]:
                        known[variant] = True
                        made[variant, :width] = _run_weights(
                            positions, here - ends[0], below, width, order, period, factor
                        )
                    out[np.uintp(oi)] = _taps(x, xi, tap, made[variant], 0, -below, width)


@njit(**_OPTIONS)
def _rough(x, x0, xs, out, o0, os, count):  # type: ignore[no-untyped-def]
    """Whether a value is missing where its result is not, or the reverse; mostly not, and then it is fast."""
    found = False
    if xs == 1 and os == 1:
        for i in range(count):
            found |= np.isnan(x[np.uintp(x0 + i)]) != np.isnan(out[np.uintp(o0 + i)])
    else:
        for i in range(count):
            found |= np.isnan(x[np.uintp(x0 + i * xs)]) != np.isnan(out[np.uintp(o0 + i * os)])
    return found


@njit(**_OPTIONS)
def _run_weights(positions, row, below, width, order, period, factor):  # type: ignore[no-untyped-def]
    """Weights of a run's stencil from the positions of its taps."""
    offsets = np.empty((width, 1))
    for k in range(width):
        tap = row - below + k
        offset = (positions[0, tap] - positions[0, row]) + (positions[1, tap] - positions[1, row])
        offsets[k, 0] = offset + (positions[2, tap] - positions[2, row]) * period
    return _fornberg(offsets, below, order) * factor


def _holes(x, x0, outer, count, xs):  # type: ignore[no-untyped-def]
    """Whether any value is missing."""
    for t in range(_count(outer)):
        xt, _ = _place(outer, t, x0, 0)
        found = False
        if xs == 1:
            for i in range(count):
                found |= np.isnan(x[np.uintp(xt + i)])
        else:
            for i in range(count):
                found |= np.isnan(x[np.uintp(xt + i * xs)])
        if found:
            return True
    return False


def holes(x: NDArray[Any]) -> bool:
    """Whether a float32 or float64 array holds a missing value."""
    if not x.size:
        return False
    flat = Flat.of(x)
    return bool(_compiled(_holes, x.dtype)(flat.memory, flat.start, *everywhere(flat, x.shape)))


class Pass:
    """One derivative of a block, evaluated box by box; each thread needs its own.

    Parameters
    ----------
    window : ndarray of float32 or float64
        Input, ascending along `axis`, with the halo that `rows` tells.
    out : ndarray of the same dtype or of float64
        Output, of any layout. Only the boxes that are asked for are written, `shift` elements before their
        place: an output may thus be a window that moves.
    axis : int
        The axis.
    rows : Rows
        The stencils of the rows of `out`.
    """

    def __init__(self, window: NDArray[Any], out: NDArray[Any], axis: int, rows: Rows) -> None:
        self._axis, self._rows, self._shape, self.shift = axis, rows, out.shape, 0
        self._types = (out.dtype,) if window.dtype == out.dtype else (window.dtype, out.dtype)
        self._x, self._o = Flat.of(window), Flat.of(out, writeable=True)

    def plain(self, along: int, first: int, stop: int) -> None:
        """Write what lies from `first` to `stop - 1` along an axis, this one or another."""
        for a, b, run in self._segments:
            low, high = (max(a, first), min(b, stop)) if along == self._axis else (a, b)
            if low < high:
                run(self._box(low, high, along, first, stop), low - a)

    def mend(self, along: int, first: int, stop: int) -> None:
        """Give points next to missing values (NaN) the stencils of their run, after `plain`."""
        low, high = (first, stop) if along == self._axis else (0, self._rows.size)
        step, made, known = self._table
        for a in range(low, high, step):
            box, base = self._box(a, min(a + step, high), along, first, stop), 0
            if step < self._rows.size:
                base = a
                known[:] = False
            self._mended(box, a, base, made, known)

    @cached_property
    def _segments(self) -> list[tuple[int, int, Callable[[tuple[Any, ...], int], None]]]:
        """Ranges of rows, and what writes a box of them given the box and its first row in the range."""
        return [(first, stop, self._kernel(stencil)) for first, stop, stencil in self._rows.segments]

    def _kernel(self, stencil: Stencil) -> Callable[[tuple[Any, ...], int], None]:
        """Return what evaluates a stencil."""
        reach = stencil.stop - 1
        if stencil.start != -reach:
            one_sided, table = _compiled(_one_sided, *self._types), _frozen(stencil.weights)
            return lambda box, column: one_sided(*box, table, stencil.start)
        if stencil.parity == 0:
            centred, rows = _compiled(_centred, reach, *self._types), tuple(map(_frozen, stencil.weights))
            return lambda box, column: centred(*box, rows, column)
        kernel = _compiled(_antisymmetric if stencil.parity < 0 else _symmetric, reach, *self._types)
        weights = tuple(stencil.weights[reach + 1 :, 0].tolist())
        return lambda box, column: kernel(*box, weights)

    @cached_property
    def _table(self) -> tuple[int, NDArray[Any], NDArray[Any]]:
        """Rows whose run weights are kept on a stretched axis, room for these, and which are known."""
        gaps, size = self._rows.gaps, self._rows.size
        variants = len(gaps.variants)
        step = (
            size
            if gaps.weights is not None
            else min(size, max(_TABLE_BYTES // (8 * variants * gaps.edge), 1))
        )
        count = 0 if gaps.weights is not None else step * variants
        return step, np.empty((count, gaps.edge, 1)), np.zeros(count, dtype=np.bool_)

    def _mended(self, box: tuple[Any, ...], row: int, base: int, made: Any, known: Any) -> None:
        """Mend a box whose first row is `row`; the table of run weights begins at row `base`."""
        rows, gaps = self._rows, self._rows.gaps
        positions = _frozen(np.empty((3, 0)) if gaps.points is None else gaps.points)
        weights = _frozen(np.zeros((len(gaps.variants), 0, 1)) if gaps.weights is None else gaps.weights)
        ends = -rows.before, rows.size + rows.after, base
        rule = gaps.n, gaps.half, gaps.edge, gaps.left
        mend = _compiled(_mend, *self._types)
        mend(*box, row, ends, rule, weights, positions, gaps.period, gaps.factor, made, known)

    def _box(self, low: int, high: int, along: int, first: int, stop: int) -> tuple[Any, ...]:
        """Return the arguments that all kernels begin with, for some rows and a part of another axis."""
        x, o, axis, shape = self._x, self._o, self._axis, list(self._shape)
        x0 = x.start + (self._rows.before + low) * x.strides[axis]
        o0 = o.start + low * o.strides[axis] - self.shift
        shape[axis] = high - low
        if along != axis:
            x0, o0 = x0 + first * x.strides[along], o0 + first * o.strides[along]
            shape[along] = stop - first
        outer, lines, points, inside = loops(tuple(shape), x.strides, o.strides, axis)
        return x.memory, x0, o.memory, o0, outer, lines, points, x.strides[axis], inside


@_inlined
def _weighted_line(out, o0, os, x, x0, xs, f, f0, fs, count):  # type: ignore[no-untyped-def]
    """Evaluate a product of values and factors on a line."""
    for i in range(count):
        out[np.uintp(o0 + i * os)] = x[np.uintp(x0 + i * xs)] * f[np.uintp(f0 + i * fs)]


@_inlined
def _weighted_line_2(out, o0, os, x, x0, xs, f, f0, fs, y, y0, ys, g, g0, gs, count):  # type: ignore[no-untyped-def]
    """Evaluate a sum of two products on a line."""
    for i in range(count):
        first = x[np.uintp(x0 + i * xs)] * f[np.uintp(f0 + i * fs)]
        out[np.uintp(o0 + i * os)] = first + y[np.uintp(y0 + i * ys)] * g[np.uintp(g0 + i * gs)]


def _weighted(out, o0, x, x0, f, f0, outer, count, steps):  # type: ignore[no-untyped-def]
    _distinct()  # type: ignore[call-arg]
    for t in range(_count(outer)):
        ot, xt, ft = o0, x0, f0
        for d in range(outer.shape[0] - 1, -1, -1):
            index = t % outer[d, 0]
            t //= outer[d, 0]
            ot += index * outer[d, 1]
            xt += index * outer[d, 2]
            ft += index * outer[d, 3]
        os, xs, fs = steps
        if os == 1 and xs == 1 and fs == 0:
            _weighted_line(out, ot, 1, x, xt, 1, f, ft, 0, count)
        elif os == 1 and xs == 1 and fs == 1:
            _weighted_line(out, ot, 1, x, xt, 1, f, ft, 1, count)
        else:
            _weighted_line(out, ot, os, x, xt, xs, f, ft, fs, count)


def _weighted_2(out, o0, x, x0, f, f0, y, y0, g, g0, outer, count, steps):  # type: ignore[no-untyped-def]
    _distinct()  # type: ignore[call-arg]
    for t in range(_count(outer)):
        ot, xt, ft, yt, gt = o0, x0, f0, y0, g0
        for d in range(outer.shape[0] - 1, -1, -1):
            index = t % outer[d, 0]
            t //= outer[d, 0]
            ot += index * outer[d, 1]
            xt += index * outer[d, 2]
            ft += index * outer[d, 3]
            yt += index * outer[d, 4]
            gt += index * outer[d, 5]
        os, xs, fs, ys, gs = steps
        if os == 1 and xs == 1 and fs == 1 and ys == 1 and gs == 1:
            _weighted_line_2(out, ot, 1, x, xt, 1, f, ft, 1, y, yt, 1, g, gt, 1, count)
        else:
            _weighted_line_2(out, ot, os, x, xt, xs, f, ft, fs, y, yt, ys, g, gt, gs, count)


class Weighted:
    """A sum of one or two products of values and factors, written box by box.

    Parameters
    ----------
    out : ndarray of float32 or float64
        Output.
    terms : sequence of (ndarray, ndarray) of float64
        Values and factors, shaped like the output; factors may have strides of 0.
    """

    def __init__(self, out: NDArray[Any], terms: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> None:
        arrays = [array for term in terms for array in term]
        self._flats = [Flat.of(out, writeable=True), *(Flat.of(array) for array in arrays)]
        self._kernel = _compiled(_weighted if len(terms) == 1 else _weighted_2, out.dtype)
        self._shape = out.shape
        self._order = sorted(range(out.ndim), key=lambda d: -abs(out.strides[d]))
        self._known: dict[tuple[int, int], tuple[NDArray[np.int64], int, tuple[int, ...]]] = {}

    def write(self, axis: int, first: int, stop: int, shift: int) -> None:
        """Write what lies from `first` to `stop - 1` along an axis; values lie `shift` elements before it."""
        places: list[Any] = []
        for number, flat in enumerate(self._flats):
            start = flat.start + first * flat.strides[axis]
            places += [flat.memory, start - shift if number % 2 else start]
        box = axis, stop - first
        if box not in self._known:
            self._known[box] = self._loops(*box)
        outer, count, steps = self._known[box]
        self._kernel(*places, outer, count, steps)

    def _loops(self, axis: int, rows: int) -> tuple[NDArray[np.int64], int, tuple[int, ...]]:
        """Return the outer dimensions of a box, and the points and strides of its lines."""
        *outer, inner = self._order
        sizes = {d: rows if d == axis else self._shape[d] for d in self._order}
        table = [[sizes[d], *(flat.strides[d] for flat in self._flats)] for d in outer if sizes[d] > 1]
        array = np.array(table, dtype=np.int64).reshape(-1, 1 + len(self._flats))
        return array, sizes[inner], tuple(flat.strides[inner] for flat in self._flats)


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Return a contiguous read-only array, whatever came through a cluster: one signature for all."""
    view = np.ascontiguousarray(array).view()
    view.setflags(write=False)
    return view
