"""Accuracy: polynomials, observed orders, and numpy.gradient as a special case."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import mpmath
import numpy as np
import pytest
from strategies import differentiate, make_scheme

from xgrad.chunks import partials
from xgrad.halos import Partial
from xgrad.schemes import DERIVATIVES, ORDERS, Scheme

Floats = np.ndarray[Any, np.dtype[np.float64]]
EPS = np.finfo(float).eps


def jittered(size: int, seed: int) -> Floats:
    """Points of [-1, 1], each moved by up to 40 % of the step."""
    step = 2 / (size - 1)
    return np.linspace(-1, 1, size) + np.random.default_rng(seed).uniform(-0.4, 0.4, size) * step


@pytest.mark.parametrize("uniform", [True, False], ids=["uniform", "jittered"])
@pytest.mark.parametrize("n", DERIVATIVES)
@pytest.mark.parametrize("p", ORDERS)
def test_polynomials_of_degree_p_plus_n_minus_1_are_exact(n: int, p: int, uniform: bool) -> None:
    """Relative to the largest derivative of the Chebyshev polynomial on 15 to 40 points of [-1, 1].

    Rounding of the data alone allows about ``eps |f| / h**n ||w||``; higher derivatives lose n digits to h.
    """
    limit = {1: 1e-11, 2: 1e-10, 3: 1e-9, 4: 1e-7}[n]
    for size in (15, 25, 40):
        for seed in range(5):
            x = np.linspace(-1, 1, size) if uniform else jittered(size, seed)
            polynomial = np.polynomial.Chebyshev.basis(p + n - 1)
            exact = polynomial.deriv(n)(x)
            found = differentiate(polynomial(x), make_scheme(x, uniform=uniform, n=n, order=p))
            assert abs(found - exact).max() <= limit * abs(exact).max()


@pytest.mark.parametrize("p", ORDERS)
def test_polynomials_next_to_gaps_are_exact(p: int) -> None:
    x = jittered(60, 1)
    f, exact = (np.polynomial.Chebyshev.basis(p).deriv(m)(x) for m in (0, 1))
    f[[20, 40]] = np.nan  # runs of 20, 19 and 19 points
    found = differentiate(f, make_scheme(x, order=p))
    missing = np.isnan(f)
    assert np.array_equal(np.isnan(found), missing)
    assert abs(found - exact)[~missing].max() <= 1e-11 * abs(exact).max()


@pytest.mark.parametrize("n", DERIVATIVES)
def test_lower_derivatives_of_polynomials_vanish_at_rings_too(n: int) -> None:
    """sin and cos are eigenfunctions of any centred stencil on a uniform ring: the seam is like any point."""
    size = 48
    x = np.arange(size) * (2 * np.pi / size)
    for p in ORDERS:
        made = make_scheme(x, uniform=True, period=2 * np.pi, n=n, order=p)
        f = np.exp(1j * x)
        ratio = differentiate(f, made) / f
        assert abs(ratio - ratio[0]).max() <= 1e-12 / (x[1] ** (n - 1))
        assert abs(ratio[0] - 1j**n) < {2: 1e-2, 4: 1e-4, 6: 1e-5, 8: 1e-7}[p]


GRIDS = {
    "uniform": lambda size: np.arange(size) * (2 / (size - 1)) - 1,
    "tanh": lambda size: np.tanh(1.5 * np.linspace(-1, 1, size)) / np.tanh(1.5),
    "sinh": lambda size: np.sinh(np.linspace(-1, 1, size)) / np.sinh(1),
    "chebyshev": lambda size: -np.cos(np.pi * np.arange(size) / (size - 1)),
}
SIZES = (11, 21, 41, 81, 161, 321, 641)


@cache
def field(grid: str, size: int) -> tuple[Floats, Floats, Floats]:
    """Points, and sin(2x + 0.3) there as a sum of two floats: rounding of data would hide high orders."""
    x = GRIDS[grid](size)
    with mpmath.workdps(40):
        if grid == "uniform":
            places = [mpmath.mpf(2 * i) / (size - 1) - 1 for i in range(size)]
        else:
            places = [mpmath.mpf(float(value)) for value in x]
        exact = [mpmath.sin(2 * place + mpmath.mpf(3) / 10) for place in places]
        high = np.array([float(value) for value in exact])
        low = np.array([float(value - float(value)) for value in exact])
    return x, high, low


def errors(grid: str, size: int, made: Scheme, missing: Any = False) -> Floats:
    """Errors of D(high) + D(low), which is D(high + low) but for rounding."""
    x, high, low = field(grid, size)
    exact = 2 * np.cos(2 * x + 0.3) if made.line.n == 1 else -4 * np.sin(2 * x + 0.3)
    return abs(sum(differentiate(np.where(missing, np.nan, part), made) for part in (high, low)) - exact)


def rounding(made: Scheme, f: Floats) -> Floats:
    """What the arithmetic of differences allows: ``eps sum |w| |f_k - f_i|``."""
    bound = np.zeros(made.size)
    for row, stencil in made.edges.items():
        taps = slice(row + stencil.start, row + stencil.stop)
        bound[row] = (abs(stencil.weights[:, 0]) * abs(f[taps] - f[row])).sum()
    if made.interior is not None:
        inside = np.arange(made.half, made.size - made.half)
        for weights, k in zip(made.interior.weights, range(-made.half, made.half + 1), strict=True):
            bound[inside] += abs(weights) * abs(f[inside + k] - f[inside])
    return EPS * bound


def orders(found: list[tuple[float, float]]) -> list[float]:
    """Observed orders on the doublings whose finer error is above 10 times what rounding allows."""
    return [
        float(np.log2(coarse / fine))
        for (coarse, _), (fine, rounding) in pairwise(found)
        if fine > 10 * rounding
    ]


def assert_order(found: list[tuple[float, float]], p: int) -> None:
    """The last doubling shows the order; order 8 meets rounding early and must show on one doubling."""
    observed = orders(found)
    assert observed
    assert (max(observed) >= 7.4) if p == 8 else (observed[-1] >= p - 0.1), observed


def inside_and_edges(grid: str, p: int, **options: Any) -> tuple[list[tuple[float, float]], ...]:
    """Largest error and rounding in the interior and at the edges, for each size."""
    inside, edges = [], []
    for size in SIZES:
        x, f, _ = field(grid, size)
        made = make_scheme(x, uniform=grid == "uniform", order=p, **options)
        error, limit = errors(grid, size, made), rounding(made, f)
        edge = np.zeros(size, bool)
        edge[list(made.edges)] = True
        inside.append((error[~edge].max(), limit[~edge].max()))
        edges.append((error[edge].max(), limit[edge].max()))
    return inside, edges


@pytest.mark.parametrize("grid", ["uniform", "tanh", "chebyshev"])
@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("p", ORDERS)
def test_observed_order(grid: str, n: int, p: int) -> None:
    inside, edges = inside_and_edges(grid, p, n=n)
    assert_order(inside, p)
    assert_order(edges, p)


@pytest.mark.parametrize("grid", ["uniform", "tanh"])
@pytest.mark.parametrize(("p", "e"), [(4, 1), (4, 2), (6, 2), (6, 4), (8, 4), (2, 6)])
def test_observed_order_of_edges_of_another_order(grid: str, p: int, e: int) -> None:
    inside, edges = inside_and_edges(grid, p, edge_order=e)
    assert_order(inside, p)
    assert_order(edges, e)
    if grid == "uniform":  # and no more: the edges are what was asked for
        assert orders(edges)[-1] <= e + 0.3


@pytest.mark.parametrize("grid", ["uniform", "sinh"])
@pytest.mark.parametrize(("n", "p"), [(1, 2), (1, 4), (1, 6), (1, 8), (2, 2), (2, 4), (2, 6)])
def test_observed_order_at_coasts(grid: str, n: int, p: int) -> None:
    """The points next to a gap in the middle fifth that have no room for the centred stencil.

    (n = 2 at order 8 meets rounding before its first doubling.)
    """
    found = []
    for size in SIZES[2 if p == 8 else 1 :]:
        x, f, _ = field(grid, size)
        made = make_scheme(x, uniform=grid == "uniform", n=n, order=p)
        half, first, stop = made.half, 2 * size // 5, 3 * size // 5
        missing = (np.arange(size) >= first) & (np.arange(size) < stop)
        coasts = [*range(first - half, first), *range(stop, stop + half)]
        below, above = (  # each run is an axis of its own
            rounding(make_scheme(x[run], n=n, order=p), f[run])
            for run in (slice(0, first), slice(stop, size))
        )
        limit = max(below[-half:].max(), above[:half].max())
        found.append((errors(grid, size, made, missing)[coasts].max(), limit))
    assert_order(found, p)


def test_the_seam_is_as_good_as_the_interior() -> None:
    for p in ORDERS:
        x = np.cumsum(np.random.default_rng(p).uniform(0.6, 1.4, 64))
        period = float(x[-1])
        f, exact = (
            np.exp(np.sin(2 * np.pi * x / period)),
            2 * np.pi / period * np.cos(2 * np.pi * x / period),
        )
        error = abs(differentiate(f, make_scheme(x, period=period, order=p)) - f * exact)
        rolled = np.roll(x, 32) + np.where(np.arange(64) < 32, -period, 0.0)
        inside = abs(
            differentiate(np.roll(f, 32), make_scheme(rolled, period=period, order=p))
            - np.roll(f * exact, 32)
        )
        assert np.allclose(np.roll(inside, 32), error, rtol=1e-6, atol=1e-13)


@pytest.mark.parametrize("edge_order", [1, 2])
@pytest.mark.parametrize("kind", ["uniform", "jittered", "descending"])
def test_order_2_is_numpy_gradient(kind: str, edge_order: int) -> None:
    """Both round differently; 1e-13 of the largest gradient is the acceptance number."""
    rng = np.random.default_rng(edge_order)
    f = rng.standard_normal((40, 50, 60))
    steps = [1.0, 0.1, 3.0]
    x = [np.arange(size) * step for size, step in zip(f.shape, steps, strict=True)]
    if kind != "uniform":
        x = [v + rng.uniform(-0.4, 0.4, v.size) * step for v, step in zip(x, steps, strict=True)]
    descending = kind == "descending"
    wanted = [
        Partial(axis, make_scheme(v, uniform=kind == "uniform", edge_order=edge_order), descending=descending)
        for axis, v in enumerate(x)
    ]
    spacings = steps if kind == "uniform" else [v[::-1] if descending else v for v in x]
    expected = np.gradient(f, *spacings, edge_order=edge_order)
    for ours, theirs in zip(partials(f, wanted, gaps=False), expected, strict=True):
        assert abs(ours - theirs).max() <= 1e-13 * abs(theirs).max()
