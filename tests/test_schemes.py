"""Weights and widths: against exact rational tables, and as the specification words them."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from strategies import Line, exact_weights, interior_width, make_scheme

from xgrad.errors import CoordinateError, XgradError
from xgrad.kernels.weights import fornberg
from xgrad.schemes import DERIVATIVES, ORDERS, Open, Wrap, points_needed, scheme

TABLES = json.loads((Path(__file__).parent / "fd_tables.json").read_text())
ENTRIES = sorted(TABLES)
# No order has stencils of 3 points for n = 2, or of 5 for n = 4, on stretched lines.
NARROW = ("m2p2central", "m4p2central")
CASES = [(entry, uniform) for entry in ENTRIES for uniform in (True, False) if uniform or entry not in NARROW]
ALL = [(n, p) for n in DERIVATIVES for p in ORDERS]
SPACINGS = pytest.mark.parametrize("uniform", [True, False], ids=["uniform", "stretched"])


def parts(entry: str) -> tuple[int, int, str]:
    """Derivative order, order of accuracy, and "central" or the row."""
    return int(entry[1]), int(entry[3]), entry[4:].removeprefix("edge")


def relative(found: np.ndarray, exact: tuple[Fraction, ...] | list[Fraction]) -> float:
    """Largest error over the largest weight, the error itself in exact arithmetic."""
    worst = max(abs(Fraction(float(w)) - e) for w, e in zip(found, exact, strict=True))
    return float(worst / max(abs(e) for e in exact))


def test_there_are_64_tables_and_the_oracle_of_the_tests_agrees_with_them_exactly() -> None:
    assert len(ENTRIES) == 64
    for entry in ENTRIES:
        table = TABLES[entry]
        exact = [Fraction(w) for w in table["weights"]]
        assert list(exact_weights(tuple(table["offsets"]), parts(entry)[0])) == exact


@pytest.mark.parametrize(("entry", "uniform"), CASES)
def test_weights_equal_the_tables(entry: str, uniform: bool) -> None:
    n, p, place = parts(entry)
    offsets, exact = TABLES[entry]["offsets"], [Fraction(w) for w in TABLES[entry]["weights"]]
    if place == "central":
        # On stretched lines even derivatives have two points more for the same order.
        order = p - 2 if not uniform and n % 2 == 0 else p
        line = make_scheme(np.arange(30.0), uniform=uniform, n=n, order=order)
        assert line.interior is not None
        assert (line.interior.start, line.interior.stop) == (offsets[0], offsets[-1] + 1)
        for column in line.interior.weights.T:
            assert relative(column, exact) <= 2e-15
        return
    line = make_scheme(np.arange(30.0), uniform=uniform, n=n, order=p)
    low, high = line.edges[int(place)], line.edges[29 - int(place)]
    assert (low.start, low.stop) == (offsets[0], offsets[-1] + 1)
    assert relative(low.weights[:, 0], exact) <= 2e-15
    assert high.stop - 1 - high.start == offsets[-1] - offsets[0]
    mirrored = exact_weights(tuple(range(high.start, high.stop)), n)
    assert relative(high.weights[:, 0], mirrored) <= 2e-15
    if -high.start == offsets[-1]:  # an odd stencil is shifted alike at both ends
        assert list(mirrored) == [(-1) ** n * w for w in reversed(exact)]


@pytest.mark.parametrize(("n", "p"), ALL)
@SPACINGS
def test_widths(n: int, p: int, uniform: bool) -> None:
    even = {2: (3, 5), 4: (5, 7), 6: (7, 9), 8: (9, 11)}
    odd3 = {2: 5, 4: 7, 6: 9, 8: 11}
    four = {2: (5, 7), 4: (7, 9), 6: (9, 11), 8: (11, 13)}
    expected = {1: p + 1, 2: even[p][not uniform], 3: odd3[p], 4: four[p][not uniform]}[n]
    assert interior_width(n, p, uniform) == expected
    line = make_scheme(np.arange(30.0), uniform=uniform, n=n, order=p)
    assert line.interior is not None
    assert line.interior.weights.shape[0] == expected == 2 * line.half + 1
    assert line.interior.weights.shape[1] == (1 if uniform else 30 - 2 * line.half)
    assert set(line.edges) == {*range(line.half), *range(30 - line.half, 30)}
    for row, stencil in line.edges.items():
        width = p + n
        start = min(max(row - (width - 1) // 2, 0), 30 - width)
        assert (stencil.start, stencil.stop) == (start - row, start - row + width)


@pytest.mark.parametrize(("n", "p"), ALL)
@pytest.mark.parametrize("step", [1.0, 0.1, 1 / 3, 86400.0])
def test_uniform_weights_are_exactly_symmetric(n: int, p: int, step: float) -> None:
    stencil = scheme(np.zeros((2, 30)), step=step, n=n, order=p).interior
    assert stencil is not None
    assert stencil.parity == (-1) ** n
    assert np.array_equal(stencil.weights[::-1], stencil.parity * stencil.weights)


@pytest.mark.parametrize(("n", "p"), ALL)
@pytest.mark.parametrize("ring", [False, True], ids=["open", "ring"])
def test_weights_on_jittered_points_are_exact_to_rounding(n: int, p: int, ring: bool) -> None:
    """The worst that a 60-digit reference showed for these widths is 2e-15 (n = 4, order 12)."""
    rng = np.random.default_rng(n * p)
    positions = tuple((64 * np.arange(25) + rng.integers(-25, 26, 25)).tolist())  # 40 % of the step
    line = Line(positions, False, 64 * 25 if ring else 0)
    made = line.scheme(n=n, order=p)
    half, unit = made.half, Fraction(1, 64) ** n
    rows = range(25) if ring else range(half, 25 - half)
    assert made.interior is not None
    for column, i in zip(made.interior.weights.T, rows, strict=True):
        places = [divmod(i + k, 25) for k in range(-half, half + 1)]
        offsets = tuple(positions[row] + turn * 64 * 25 - positions[i] for turn, row in places)
        assert relative(column, [w / unit for w in exact_weights(offsets, n)]) <= 4e-15
    for i, stencil in made.edges.items():
        offsets = tuple(positions[i + k] - positions[i] for k in range(stencil.start, stencil.stop))
        assert relative(stencil.weights[:, 0], [w / unit for w in exact_weights(offsets, n)]) <= 4e-15
    assert bool(made.edges) is not ring


def test_only_differences_of_positions_matter() -> None:
    """A line far from 0, and one whose positions are split into whole part and remainder, weigh alike."""
    x = np.cumsum(np.random.default_rng(0).integers(40, 100, 40)) / 64
    near = scheme(np.vstack([x, 0 * x]), step=None, order=6)
    far = scheme(np.vstack([x + 5e6, 0 * x]), step=None, order=6)
    split = scheme(np.vstack([np.floor(x) + 1.7e9, x - np.floor(x)]), step=None, order=6)
    for other in (far, split):
        assert near.interior is not None
        assert other.interior is not None
        assert np.array_equal(near.interior.weights, other.interior.weights)
        for row, stencil in near.edges.items():
            assert np.array_equal(stencil.weights, other.edges[row].weights)


@SPACINGS
@pytest.mark.parametrize("n", DERIVATIVES)
def test_scale_is_the_unit_of_the_result(n: int, uniform: bool) -> None:
    seconds = make_scheme(np.arange(20) * 86400.0, uniform=uniform, n=n, order=4, scale=86400.0)
    days = make_scheme(np.arange(20.0), uniform=uniform, n=n, order=4)
    assert seconds.interior is not None
    assert days.interior is not None
    largest = abs(days.interior.weights).max()
    assert abs(seconds.interior.weights - days.interior.weights).max() <= 4e-15 * largest
    for row, stencil in days.edges.items():
        assert abs(seconds.edges[row].weights - stencil.weights).max() <= 4e-15 * abs(stencil.weights).max()


@pytest.mark.parametrize(("n", "p"), ALL)
@pytest.mark.parametrize("edge_order", [1, 2, 5, 8])
@SPACINGS
@pytest.mark.parametrize("ring", [False, True], ids=["open", "ring"])
def test_the_shortest_line(n: int, p: int, edge_order: int, uniform: bool, ring: bool) -> None:
    needed = interior_width(n, p, uniform) if ring else edge_order + n
    ends = (Wrap(float(needed)),) * 2 if ring else (Open(),) * 2
    assert points_needed(n, p, edge_order, uniform, ends) == needed
    options = {
        "step": 1.0 if uniform else None,
        "boundary": ends,
        "n": n,
        "order": p,
        "edge_order": edge_order,
    }
    points = np.vstack([np.arange(needed), np.zeros(needed)])
    made = scheme(points, **options)
    assert made.size == needed
    assert (made.interior is not None) is (ring or needed >= interior_width(n, p, uniform))
    with pytest.raises(XgradError, match=rf"{needed} points .* line of {needed - 1}"):
        scheme(points[:, :-1], **options)


def test_the_order_of_the_edges_is_that_of_the_interior_unless_said() -> None:
    said, unsaid = (make_scheme(np.arange(9.0), order=4, **extra) for extra in ({"edge_order": 4}, {}))
    assert unsaid.line.edge_order == 4
    for row, stencil in said.edges.items():
        assert np.array_equal(stencil.weights, unsaid.edges[row].weights)


def test_fornberg_interpolates_too() -> None:
    weights = fornberg(np.array([[-1.0], [1.0], [2.0]]), 1, 0)
    assert np.allclose(weights[:, 0], [1 / 3, 1.0, -1 / 3], rtol=1e-15)


@pytest.mark.parametrize("exponent", [-250, -133, 133, 250])
@pytest.mark.parametrize(("n", "p"), [(1, 2), (1, 8), (2, 4)])
def test_the_scale_of_a_stretched_line_does_not_matter(n: int, p: int, exponent: int) -> None:
    """Scaling by a power of two is exact, so weights scale exactly as long as nothing leaves float64."""
    points = np.cumsum(np.random.default_rng(0).uniform(0.6, 1.4, 20))
    made, scaled = (
        scheme(np.vstack([x, 0 * x]), step=None, n=n, order=p) for x in (points, np.ldexp(points, exponent))
    )
    assert made.interior is not None
    assert scaled.interior is not None
    assert np.array_equal(np.ldexp(scaled.interior.weights, n * exponent), made.interior.weights)
    for row, stencil in made.edges.items():
        assert np.array_equal(np.ldexp(scaled.edges[row].weights, n * exponent), stencil.weights)


@pytest.mark.parametrize("step", [None, 1.0])
@pytest.mark.parametrize("exponent", [-300, 300])
def test_spacings_whose_power_float64_cannot_hold_are_refused(step: float | None, exponent: int) -> None:
    points = np.ldexp(np.array([0.0, 1, 3, 4, 6, 7, 9]), exponent)
    with pytest.raises(CoordinateError, match="power 4"):
        scheme(np.vstack([points, 0 * points]), step=step and step * 2.0**exponent, n=4)


def test_points_that_float64_cannot_tell_apart_are_refused() -> None:
    points = np.array([[0.0, 1e-20, 1.0], [0.0, 0.0, 0.0]])
    with pytest.raises(CoordinateError, match="cannot be told apart"):
        scheme(points, step=None)
