"""Random lines and fields for the tests of the numerical core; an exact oracle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import factorial
from typing import Any
from unittest import mock

import numpy as np
from hypothesis import strategies as st

from xgrad import blocks, kernels
from xgrad.chunks import partials
from xgrad.halos import Partial
from xgrad.schemes import DERIVATIVES, ORDERS, Open, Scheme, Wrap, scheme

UNIT = 1 / 64  # positions are multiples of it: offsets are exact in float64, so the oracle knows them too

Array = Any


def make_scheme(x: Any, *, uniform: bool = False, period: float = 0.0, **options: Any) -> Scheme:
    """Stencils on the positions `x`."""
    x = np.asarray(x, dtype=np.float64)
    step = None
    if uniform:
        step = period / x.size if period else float((x[-1] - x[0]) / (x.size - 1))
    ends = (Wrap(period), Wrap(period)) if period else (Open(), Open())
    return scheme(np.vstack([x, np.zeros_like(x)]), step=step, boundary=ends, **options)


def differentiate(f: Array, stencils: Scheme, axis: int = 0, *, gaps: bool = True, **how: bool) -> Array:
    """One derivative along one axis."""
    return partials(f, [Partial(axis, stencils, **how)], gaps=gaps)[0]


@contextmanager
def portable_only() -> Iterator[None]:
    """Nothing is served by the compiled kernels."""
    with mock.patch.object(kernels, "compiled_for", return_value=None):
        yield


@contextmanager
def slabs_of(size: int) -> Iterator[None]:
    """Blocks are walked in slabs of at most so many bytes, not a megabyte."""
    with mock.patch.object(blocks, "_SLAB_BYTES", size):
        yield


def same_bits(a: Array, b: Array) -> bool:
    """Whether two arrays agree in dtype, shape and every bit, signs of zeros included; all NaN are alike."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype.kind == "c":
        return same_bits(a.real, b.real) and same_bits(a.imag, b.imag)
    missing = np.isnan(a)
    return bool(
        np.array_equal(missing, np.isnan(b))
        and np.array_equal(a[~missing], b[~missing])
        and np.array_equal(np.signbit(a[~missing]), np.signbit(b[~missing]))
    )


@dataclass(frozen=True, slots=True)
class Line:
    """Positions in multiples of `UNIT`, ascending; `period` is 0 for an open line."""

    positions: tuple[int, ...]
    uniform: bool
    period: int = 0

    @property
    def size(self) -> int:
        return len(self.positions)

    def scheme(self, **options: Any) -> Scheme:
        x = np.array(self.positions) * UNIT
        return make_scheme(x, uniform=self.uniform, period=self.period * UNIT, **options)


def interior_width(n: int, order: int, uniform: bool) -> int:
    """Points of the centred stencil, as the specification words it."""
    if n == 1:
        return order + 1
    if uniform:
        return order + 2 * ((n + 1) // 2) - 1
    return order + n if (order + n) % 2 else order + n + 1


@cache
def exact_weights(offsets: tuple[int, ...], n: int) -> tuple[Fraction, ...]:
    """Weights of the n-th derivative at 0: n! times the coefficient of x**n of each Lagrange polynomial."""
    weights = []
    for k, own in enumerate(offsets):
        polynomial, divisor = [1] + [0] * n, 1  # coefficients of 1, x, ..., x**n
        for j, other in enumerate(offsets):
            if j != k:
                polynomial = [(polynomial[m - 1] if m else 0) - other * polynomial[m] for m in range(n + 1)]
                divisor *= own - other
        weights.append(Fraction(factorial(n) * polynomial[n], divisor))
    return tuple(weights)


def chosen_taps(valid: Sequence[bool], i: int, ring: bool, half: int, edge: int, n: int) -> range | None:
    """Taps relative to point `i` by the rule for missing values, None where the result is missing."""
    size = len(valid)
    if not valid[i]:
        return None
    if ring and all(valid):
        return range(-half, half + 1)

    def run(direction: int) -> int:
        count = 0
        while True:
            k = i + direction * (count + 1)
            if not (valid[k % size] if ring else 0 <= k < size and valid[k]):
                return count
            count += 1

    below, above = run(-1), run(1)
    if below >= half and above >= half:
        return range(-half, half + 1)
    if below + above + 1 >= edge:
        start = min(max(-((edge - 1) // 2), -below), above + 1 - edge)
        return range(start, start + edge)
    if below + above >= n:
        return range(-below, above + 1)
    return None


def oracle(
    f: Sequence[float], line: Line, *, n: int, order: int, edge_order: int | None = None
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The derivative of one line with gaps, in exact arithmetic, and the rounding allowed to float64.

    The bound is (number of taps + 20) eps of ``sum max|w| |f_k - f_i|``: weights are good to about 10 eps of
    the largest, each difference and product to eps, and the sum to one eps for each tap.
    """
    half = interior_width(n, order, line.uniform) // 2
    edge = n + (order if edge_order is None else edge_order)
    valid = [value == value for value in f]  # NaN is not itself
    result, bound = np.full(len(f), np.nan), np.zeros(len(f))
    for i in range(len(f)):
        taps = chosen_taps(valid, i, line.period > 0, half, edge, n)
        if taps is None:
            continue
        places = [divmod(i + k, line.size) for k in taps]
        offsets = tuple(line.positions[p] + q * line.period - line.positions[i] for q, p in places)
        weights = exact_weights(offsets, n)
        differences = [Fraction(f[p]) - Fraction(f[i]) for _, p in places]
        unit = Fraction(UNIT) ** n
        result[i] = sum(w * d for w, d in zip(weights, differences, strict=True)) / unit
        spread = max(abs(w) for w in weights) * sum(abs(d) for d in differences) / unit
        bound[i] = (len(taps) + 20) * np.finfo(float).eps * float(spread)
    return result, bound


@st.composite
def options(draw: st.DrawFn, *, edges: bool = True) -> dict[str, int]:
    """Derivative order, order of accuracy, and perhaps an order at the edges."""
    chosen = {"n": draw(st.sampled_from(DERIVATIVES)), "order": draw(st.sampled_from(ORDERS))}
    if edges and draw(st.booleans()):
        chosen["edge_order"] = draw(st.integers(1, 8))
    return chosen


@st.composite
def lines(draw: st.DrawFn, how: dict[str, int], *, ring: bool | None = None, longest: int = 24) -> Line:
    """Lines long enough for the options, from the shortest possible on."""
    uniform = draw(st.booleans())
    ring = draw(st.booleans()) if ring is None else ring
    width = interior_width(how["n"], how["order"], uniform)
    needed = width if ring else how["n"] + how.get("edge_order", how["order"])
    size = draw(st.integers(needed, max(longest, needed)))
    first = draw(st.integers(-300, 300))
    if uniform:
        step = draw(st.integers(1, 100))
        return Line(tuple(first + step * i for i in range(size)), True, step * size if ring else 0)
    gaps = draw(st.lists(st.integers(40, 100), min_size=size, max_size=size))
    ends = np.cumsum(gaps).tolist()
    positions = (first, *(first + end for end in ends[:-1]))
    return Line(positions, False, ends[-1] if ring else 0)


def noise(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any = np.float64) -> np.ndarray[Any, Any]:
    """Values of mixed magnitude: sums in another order, or fused, would come out differently."""

    def real() -> np.ndarray[Any, Any]:
        return rng.choice([-1.0, 1.0], shape) * 10.0 ** rng.uniform(-6, 6, shape)

    dtype = np.dtype(dtype)
    if dtype.kind == "c":
        return (real() + 1j * real()).astype(dtype)
    if dtype.kind in "biu":
        low, high = (0, 2) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        return rng.integers(max(low, -(2**62)), min(high, 2**62), shape, endpoint=dtype.kind != "b").astype(
            dtype
        )
    if dtype.kind in "mM":
        return rng.integers(-(2**61), 2**61, shape).astype(dtype)
    if dtype == np.float16:
        return rng.uniform(-100, 100, shape).astype(dtype)
    return real().astype(dtype)


def with_gaps(rng: np.random.Generator, f: np.ndarray[Any, Any], share: float) -> np.ndarray[Any, Any]:
    """Make a share of the values missing; dtypes that know no missing values stay whole."""
    f = f.copy()
    if f.dtype.kind in "fcmM":
        f[rng.uniform(size=f.shape) < share] = np.array("NaT" if f.dtype.kind in "mM" else np.nan, f.dtype)
    return f
