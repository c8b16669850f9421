"""Finite difference schemes as data: positions along a line -> the stencil of every row.

A *line* is one axis in ascending order; its rows are its points. A `Stencil` holds the taps and weights of
one row or of many rows of the same shape; a `Scheme` holds all stencils of a line, and `Scheme.rows` cuts
out what a block of rows needs. Weights are Fornberg's on local offsets, so a row's weights depend on
nothing but its own taps.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .errors import CoordinateError, XgradError
from .kernels.stencils import Gaps, Rows, Stencil
from .kernels.weights import Floats, fornberg

ORDERS = (2, 4, 6, 8)
DERIVATIVES = (1, 2, 3, 4)
_ROWS_AT_ONCE = 1 << 12  # bounds the temporaries of the weight recursion


@dataclass(frozen=True, slots=True)
class Open:
    """The axis ends here: stencils become one-sided."""


@dataclass(frozen=True, slots=True)
class Wrap:
    """The axis is a ring: beyond its end it goes on from the other end, one `period` further."""

    period: float


Boundary = Open | Wrap


@dataclass(frozen=True, slots=True, eq=False)
class Scheme:
    """All stencils of one line.

    Attributes
    ----------
    n, order, edge_order : int
        Derivative order; orders of accuracy inside and at open ends.
    size : int
        Rows of the line; on a ring, its points without a duplicate.
    boundary : tuple of Boundary
        What lies beyond the low and the high end.
    interior : Stencil or None
        Centred stencil, one column for all rows where the line is uniform, else one for each row from
        `half` on (ring: from 0).
    edges : dict of int to Stencil
        Stencils of the rows near open ends.
    """

    n: int
    order: int
    edge_order: int
    size: int
    boundary: tuple[Boundary, Boundary]
    interior: Stencil | None
    edges: dict[int, Stencil]
    _gaps: Gaps = field(repr=False)

    @property
    def half(self) -> int:
        """Half width of the centred stencil."""
        return self._gaps.half

    @property
    def ring(self) -> bool:
        """Whether the line closes on itself."""
        return isinstance(self.boundary[0], Wrap)

    def reads(self, first: int, stop: int, gaps: bool) -> tuple[int, int]:
        """Rows that the results of rows `first` to `stop - 1` read, as (first, stop); a ring counts on."""
        if gaps:
            low, high = first - self._gaps.reach, stop + self._gaps.reach
            return (low, high) if self.ring else (max(low, 0), min(high, self.size))
        low, high = first, stop
        for a, b, stencil in self._segments(first, stop):
            low, high = min(low, first + a + stencil.start), max(high, first + b - 1 + stencil.stop)
        return low, high

    def rows(self, first: int, stop: int, low: int, high: int) -> Rows:
        """Stencils of rows `first` to `stop - 1`, for input that holds rows `low` to `high - 1`."""
        gaps = self._gaps
        if gaps.points is not None:
            if low >= 0 and high <= self.size:
                points = gaps.points[:, low:high]
            else:
                turns, index = np.divmod(np.arange(low, high), self.size)
                points = np.vstack([gaps.points[:2, index], turns])
            gaps = replace(gaps, points=points)
        return Rows(first - low, stop - first, high - stop, self._segments(first, stop), gaps)

    def _segments(self, first: int, stop: int) -> tuple[tuple[int, int, Stencil], ...]:
        """Return the stencils of rows `first` to `stop - 1` in their order, rows counted from `first`."""
        segments = [(row - first, row - first + 1, s) for row, s in self.edges.items() if first <= row < stop]
        if self.interior is not None:
            a, b = (first, stop) if self.ring else (max(first, self.half), min(stop, self.size - self.half))
            if a < b:
                segments.append((a - first, b - first, self._interior(a, b)))
        return tuple(sorted(segments, key=lambda segment: segment[0]))

    def _interior(self, first: int, stop: int) -> Stencil:
        """Return the centred stencil of rows `first` to `stop - 1`."""
        whole = self.interior
        assert whole is not None
        if whole.weights.shape[1] == 1:
            return whole
        if self.ring:
            columns = np.arange(first, stop) % self.size
            return Stencil(whole.start, np.ascontiguousarray(whole.weights[:, columns]), whole.parity)
        return Stencil(whole.start, whole.weights[:, first - self.half : stop - self.half], whole.parity)


def interior_width(n: int, order: int, uniform: bool) -> int:
    """Points of the centred stencil: symmetric stencils gain an order for free on uniform lines."""
    if uniform or n == 1:
        return order + 2 * ((n + 1) // 2) - 1
    return (order + n) | 1


def edge_width(n: int, edge_order: int) -> int:
    """Points of a one-sided stencil, and of the shortest open line that has one."""
    return edge_order + n


def points_needed(n: int, order: int, edge_order: int, uniform: bool, ring: bool) -> int:
    """Fewest points of a line with which the scheme works."""
    return interior_width(n, order, uniform) if ring else edge_width(n, edge_order)


def scheme(
    points: Floats,
    *,
    step: float | None,
    boundary: tuple[Boundary, Boundary] = (Open(), Open()),
    scale: float = 1.0,
    n: int = 1,
    order: int = 2,
    edge_order: int | None = None,
) -> Scheme:
    """Make the stencils of a line.

    Parameters
    ----------
    points : ndarray, shape (2, size), float64
        Ascending positions as whole part and remainder.
    step : float or None
        The spacing of a uniform line, None for any other.
    boundary : pair of Boundary
        What lies beyond the low and the high end.
    scale : float
        Base units of `points` in one unit of the result; weights are multiplied by ``scale**n``.
    n, order, edge_order : int
        Derivative order 1 to 4; order of accuracy 2, 4, 6 or 8; order at open ends (default: `order`).

    Returns
    -------
    Scheme
        Error C h^order f^(order + n) inside, C h^edge_order f^(edge_order + n) at open ends.

    Raises
    ------
    XgradError
        If the line has fewer points than `points_needed`.
    CoordinateError
        If a weight is not finite.
    """
    edge_order = order if edge_order is None else edge_order
    size, ring = points.shape[1], isinstance(boundary[0], Wrap)
    needed = points_needed(n, order, edge_order, step is not None, ring)
    if size < needed:
        raise XgradError(f"a stencil of {needed} points was asked for on a line of {size}")
    half, edge = interior_width(n, order, step is not None) // 2, edge_width(n, edge_order)
    period = boundary[0].period if isinstance(boundary[0], Wrap) else 0.0
    if step is None:
        # In units of about one step, an exact power of two: products of offsets stay within float64.
        _, exponent = np.frexp(((points[0, -1] - points[0, 0]) + (points[1, -1] - points[1, 0])) / (size - 1))
        whole, rest = np.ldexp(points, -exponent)
        factor = _power(float(np.ldexp(scale, -exponent)), n)
        period = float(np.ldexp(period, -exponent))
        gaps = Gaps(n, half, edge, None, np.stack([whole, rest, np.zeros(size)]), period, factor)
    else:
        gaps = Gaps(n, half, edge, _run_table(n, edge, step, scale), None, period, 1.0)

    def weights(rows: NDArray[np.int64], start: int, width: int) -> Floats:
        """Weights of the given rows: one column each, or one for all where the line is uniform."""
        if step is None:
            return _local(gaps, size, rows, start, width)
        return _even(n, width, -start, step, scale).copy()

    inside = np.arange(size) if ring else np.arange(half, size - half)
    interior = None
    if inside.size:
        interior = Stencil(-half, weights(inside, -half, 2 * half + 1), 0)
        if step is not None:
            parity = -1 if n % 2 else 1
            interior = Stencil(-half, (interior.weights + parity * interior.weights[::-1]) / 2, parity)
    edges = {}
    near_ends = () if ring else (*range(min(half, size)), *range(max(half, size - half), size))
    for row in near_ends:
        start = min(max(row - gaps.left, 0), size - edge) - row
        edges[row] = Stencil(start, weights(np.array([row]), start, edge))
    made = [*edges.values()] if interior is None else [interior, *edges.values()]
    if not all(np.isfinite(stencil.weights).all() for stencil in made):
        raise CoordinateError("spacings differ too much: in float64 some points cannot be told apart")
    return Scheme(n, order, edge_order, size, boundary, interior, edges, gaps)


def _power(step: float, n: int, scale: float = 1.0) -> float:
    """Return step**n / scale**n, which float64 must be able to hold."""
    with np.errstate(all="ignore"):
        power = float(np.float64(step) ** n / np.float64(scale) ** n)
    if not np.finfo(np.float64).tiny <= power < np.inf:
        raise CoordinateError(f"float64 cannot hold the spacings to the power {n}")
    return power


@lru_cache(maxsize=4096)
def _even(n: int, width: int, below: int, step: float, scale: float) -> Floats:
    """Weights on even spacing with `below` taps under the point."""
    unit = fornberg(np.arange(-below, width - below, dtype=np.float64)[:, None], below, n)
    weights: Floats = unit / _power(step, n, scale)
    weights.setflags(write=False)
    return weights


def _run_table(n: int, edge: int, step: float, scale: float) -> Floats:
    """Weights on even spacing of every stencil that a run can ask for, in the order of `Gaps.variants`."""
    columns = []
    for width in range(n + 1, edge + 1):
        for below in range(width):
            column = np.zeros((edge, 1))
            column[:width] = _even(n, width, below, step, scale)
            columns.append(column)
    return np.stack(columns)


def _local(gaps: Gaps, size: int, rows: NDArray[np.int64], start: int, width: int) -> Floats:
    """Weights of the given rows from the positions of their own taps."""
    assert gaps.points is not None
    whole, rest = gaps.points[0], gaps.points[1]
    weights = np.empty((width, rows.size))
    with np.errstate(all="ignore"):
        for first in range(0, rows.size, _ROWS_AT_ONCE):
            part = rows[first : first + _ROWS_AT_ONCE]
            turns, taps = np.divmod(part + np.arange(start, start + width)[:, None], size)
            offsets = ((whole[taps] - whole[part]) + (rest[taps] - rest[part])) + turns * gaps.period
            weights[:, first : first + _ROWS_AT_ONCE] = fornberg(offsets, -start, gaps.n) * gaps.factor
    return weights
