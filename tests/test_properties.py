"""Properties of the numerical core on random fields, and the rule for missing values against an oracle.

Examples are the same in every run (`derandomize`): a failure in CI can be repeated by anybody.
"""

from __future__ import annotations

import itertools
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import (
    UNIT,
    Line,
    chosen_taps,
    differentiate,
    interior_width,
    lines,
    make_scheme,
    noise,
    options,
    oracle,
    portable_only,
    same_bits,
    slabs_of,
    with_gaps,
)

from xgrad.chunks import partials
from xgrad.halos import Partial

FLOATS = ("float32", "float64", "complex64", "complex128")
EPS = np.finfo(float).eps


def examples(count: int) -> Any:
    """So many examples, the same in every run."""
    return settings(max_examples=count, derandomize=True, database=None)


@st.composite
def cases(draw: st.DrawFn, **how: Any) -> tuple[Line, dict[str, int], np.random.Generator]:
    """A line, options that it can serve, and a source of values."""
    chosen = draw(options())
    return draw(lines(chosen, **how)), chosen, np.random.default_rng(draw(st.integers(0, 2**32)))


def gappy_line(rng: np.random.Generator, size: int) -> np.ndarray:
    """A line with few gaps, with many, or with one stretch of valid points anywhere, through the seam too."""
    f = noise(rng, (size,))
    kind = rng.integers(4)
    if kind < 2:
        return with_gaps(rng, f, (0.08, 0.4)[kind])
    if kind == 2:
        run = np.roll(np.arange(size) < rng.integers(1, size + 1), rng.integers(size))
        f[~run] = np.nan
    return f


@examples(400)
@given(cases())
def test_the_rule_for_missing_values(case: tuple[Line, dict[str, int], np.random.Generator]) -> None:
    """Values to rounding of exact arithmetic, coverage exactly; with NaN for inf nothing else is lost."""
    line, how, rng = case
    f = gappy_line(rng, line.size)
    expected, bound = oracle(f.tolist(), line, **how)
    made = line.scheme(**how)
    found = differentiate(f, made)
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    covered = ~np.isnan(found)
    assert (abs(found - expected)[covered] <= bound[covered]).all()
    with portable_only():
        assert same_bits(differentiate(f, made), found)


def every_pattern(size: int) -> np.ndarray:
    """All patterns of missing values on a short line, one a column."""
    return np.array(list(itertools.product([True, False], repeat=size))).T


@pytest.mark.parametrize("uniform", [True, False], ids=["uniform", "stretched"])
@pytest.mark.parametrize("ring", [False, True], ids=["open", "ring"])
@pytest.mark.parametrize(
    ("n", "order", "edge_order"),
    [(1, 2, 2), (1, 2, 1), (1, 4, 2), (1, 2, 5), (2, 2, 2), (2, 2, 4), (2, 4, 1), (3, 2, 1), (4, 2, 2)],
)
def test_every_pattern_of_gaps(n: int, order: int, edge_order: int, ring: bool, uniform: bool) -> None:
    """All 1024 patterns on 10 points (their ends and their seam included): coverage and taps."""
    size = 10
    x = np.arange(10.0) if uniform else np.array([0, 3, 5, 9, 12, 14, 19, 21, 26, 28]) / 2
    period = (10.0 if uniform else 16.0) if ring else 0.0
    line = Line(tuple((x / UNIT).astype(int).tolist()), uniform, int(period / UNIT))
    valid = every_pattern(size)
    # Powers of 2 far enough apart that every choice of taps gives another result.
    f = np.where(valid, 2.0 ** (3 * np.arange(size))[:, None], np.nan)
    found = differentiate(
        f, make_scheme(x, uniform=uniform, period=period, n=n, order=order, edge_order=edge_order)
    )
    half, edge = interior_width(n, order, uniform) // 2, edge_order + n
    for j in range(valid.shape[1]):
        column = valid[:, j].tolist()
        covered = [chosen_taps(column, i, ring, half, edge, n) is not None for i in range(size)]
        assert np.array_equal(~np.isnan(found[:, j]), covered), column
        if j % 16 == 5:
            expected, bound = oracle(f[:, j].tolist(), line, n=n, order=order, edge_order=edge_order)
            assert (abs(found[:, j] - expected)[covered] <= bound[covered]).all(), column


@examples(200)
@given(cases(longest=40))
def test_far_from_gaps_results_are_the_plain_ones(
    case: tuple[Line, dict[str, int], np.random.Generator],
) -> None:
    line, how, rng = case
    made = line.scheme(**how)
    f = gappy_line(rng, line.size)
    valid = (~np.isnan(f)).tolist()
    filled = np.where(np.isnan(f), noise(rng, f.shape), f)
    plain, found = differentiate(filled, made, gaps=False), differentiate(f, made)
    half, edge = made.half, how["n"] + how.get("edge_order", how["order"])
    for i in range(line.size):
        taps = chosen_taps(valid, i, line.period > 0, half, edge, how["n"])
        whole = chosen_taps([True] * line.size, i, line.period > 0, half, edge, how["n"])
        if taps == whole:
            assert same_bits(found[i : i + 1], plain[i : i + 1])
    assert same_bits(differentiate(filled, made), plain)


@examples(200)
@given(cases(), st.sampled_from(FLOATS))
def test_missing_input_is_missing_and_a_run_is_a_line_of_its_own(
    case: tuple[Line, dict[str, int], np.random.Generator], dtype: str
) -> None:
    """Bitwise: the points between two gaps do not know what is beyond (positions are exact)."""
    line, how, rng = case
    made = line.scheme(**how)
    f = with_gaps(rng, noise(rng, (line.size, 5), dtype), 0.15)
    found = differentiate(f, made)
    assert np.isnan(found[np.isnan(f)]).all()
    if line.period:
        return
    for column, result in zip(f.T, found.T, strict=True):
        for missing, points in itertools.groupby(enumerate(column), lambda point: bool(np.isnan(point[1]))):
            run = [i for i, _ in points]
            if missing or len(run) < how["n"] + how.get("edge_order", how["order"]):
                continue
            alone = Line(tuple(line.positions[i] for i in run), line.uniform)
            with np.errstate(over="ignore"):
                expected = differentiate(column[run], alone.scheme(**how), gaps=False)
            assert same_bits(result[run], expected)


@examples(200)
@given(cases(), st.sampled_from((*FLOATS, "int16", "float16", "longdouble")))
def test_descending_data_give_the_mirrored_result(
    case: tuple[Line, dict[str, int], np.random.Generator], dtype: str
) -> None:
    line, how, rng = case
    made = line.scheme(**how)
    f = with_gaps(rng, noise(rng, (line.size, 3), dtype), rng.choice([0.0, 0.15]))
    for gaps in (True, False):
        expected = differentiate(f, made, gaps=gaps)[::-1]
        assert same_bits(differentiate(f[::-1], made, gaps=gaps, descending=True), expected)
        assert same_bits(differentiate(f[::-1].copy(), made, gaps=gaps, descending=True), expected)


@examples(200)
@given(cases())
def test_reflection(case: tuple[Line, dict[str, int], np.random.Generator]) -> None:
    """f(-x) has (-1)**n times the derivative of f at -x: exactly inside uniform lines, else to rounding."""
    line, how, rng = case
    f = gappy_line(rng, line.size)
    mirrored = Line(tuple(-p for p in reversed(line.positions)), line.uniform, line.period)
    found = differentiate(f[::-1].copy(), mirrored.scheme(**how))[::-1] * (-1) ** how["n"]
    plain, bound = differentiate(f, line.scheme(**how)), oracle(f.tolist(), line, **how)[1]
    valid = (~np.isnan(f)).tolist()
    half, edge = (
        interior_width(how["n"], how["order"], line.uniform) // 2,
        how["n"] + how.get("edge_order", how["order"]),
    )
    for i in range(line.size):
        taps = chosen_taps(valid, i, line.period > 0, half, edge, how["n"])
        # An even number of points shifted inwards cannot be mirrored; everything else can.
        if taps is None or taps.stop - 1 == -taps.start or len(taps) < edge or edge % 2:
            assert np.isnan(found[i]) == np.isnan(plain[i])
            if taps is not None:
                limit = 0.0 if line.uniform and taps == range(-half, half + 1) else 2 * bound[i]
                assert abs(found[i] - plain[i]) <= limit


@examples(150)
@given(cases(), st.integers(-30, 30), st.sampled_from(["float32", "float64", "complex128"]))
def test_powers_of_two_scale_exactly(
    case: tuple[Line, dict[str, int], np.random.Generator], power: int, dtype: str
) -> None:
    line, how, rng = case
    made = line.scheme(**how)
    f = with_gaps(rng, rng.standard_normal((line.size, 3)).astype(dtype), 0.1)
    factor = np.dtype(dtype).type(2.0**power)
    assert same_bits(differentiate(f * factor, made), differentiate(f, made) * factor)
    assert same_bits(differentiate(-f, made) + 0.0, -differentiate(f, made) + 0.0)  # but for the sign of 0


@examples(150)
@given(cases())
def test_linearity(case: tuple[Line, dict[str, int], np.random.Generator]) -> None:
    """D(f + a g) = D f + a D g to the rounding of sums and data, eps ||w|| (|f| + |a g|)."""
    line, how, rng = case
    made = line.scheme(**how)
    f, g = gappy_line(rng, line.size), rng.standard_normal(line.size)
    a = 3.0
    together = differentiate(f + a * g, made)
    apart = differentiate(f, made) + a * differentiate(np.where(np.isnan(f), np.nan, g), made)
    assert np.array_equal(np.isnan(together), np.isnan(apart))
    widest = interior_width(how["n"], how["order"], line.uniform) + how.get("edge_order", 8) + how["n"]
    step = min(np.diff(line.positions)) * UNIT
    norm = 2.0 ** (2 * widest) / step ** how["n"]  # a generous bound of ||w||
    assert (abs(together - apart)[~np.isnan(apart)] <= EPS * norm * np.nanmax(abs(f) + abs(a * g))).all()


@examples(150)
@given(st.data())
def test_rolling_a_uniform_ring_rolls_the_result(data: st.DataObject) -> None:
    how = data.draw(options())
    line = data.draw(lines(how, ring=True).filter(lambda line: line.uniform))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    f = with_gaps(rng, noise(rng, (line.size, 3), data.draw(st.sampled_from(FLOATS))), 0.1)
    made = line.scheme(**how)
    shift = data.draw(st.integers(1, line.size))
    assert same_bits(differentiate(np.roll(f, shift, 0), made), np.roll(differentiate(f, made), shift, 0))


@examples(150)
@given(st.data())
def test_a_ring_that_repeats_its_first_point(data: st.DataObject) -> None:
    """The copy has the first point's result, and its own value (another here) is never read."""
    how = data.draw(options())
    line = data.draw(lines(how, ring=True))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    f = with_gaps(rng, noise(rng, (line.size, 3)), 0.1)
    made = line.scheme(**how)
    expected = differentiate(f, made)
    repeated = np.concatenate([f, np.full((1, 3), data.draw(st.sampled_from([7.0, np.nan, np.inf])))])
    found = differentiate(repeated, made, overlap=1)
    assert same_bits(found, np.concatenate([expected, expected[:1]]))
    mirrored = differentiate(repeated[::-1].copy(), made, overlap=1, descending=True)
    assert same_bits(mirrored, found[::-1])


def test_a_ring_with_a_gap_at_the_seam() -> None:
    """By hand: order 4 on a ring of 12, point 0 missing: runs are points 1 to 11."""
    f = np.sin(np.arange(12.0))
    f[0] = np.nan
    ring = make_scheme(np.arange(12.0), uniform=True, period=12.0, order=4)
    alone = make_scheme(np.arange(11.0), uniform=True, order=4)
    assert same_bits(differentiate(f, ring)[1:], differentiate(f[1:].copy(), alone))
    f = np.roll(f, 5)
    assert same_bits(np.roll(differentiate(f, ring), -5)[1:], differentiate(np.roll(f, -5)[1:].copy(), alone))


DTYPES = (*FLOATS, "int16", "uint8", "bool", ">f4", ">c16", "float16", "longdouble", "M8[ns]", "m8[s]")


@st.composite
def chunkings(draw: st.DrawFn, size: int) -> tuple[int, ...]:
    """Any chunks of an axis: single points, uneven, one, and sometimes empty ones."""
    kind = draw(st.sampled_from(["one", "ones", "any", "any", "any", "empty"]))
    if kind == "one" or not size:
        return (size,)
    if kind == "ones":
        return (1,) * size
    cuts = sorted(draw(st.sets(st.integers(1, size), max_size=6)) | {0, size})
    chunks = [b - a for a, b in itertools.pairwise(cuts)]
    if kind == "empty":
        chunks.insert(draw(st.integers(0, len(chunks))), 0)
    return tuple(chunks)


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, tuple[tuple[int, ...], ...], list[Partial]]:
    """A field of 1 to 3 dimensions, chunks, and the partials along some of its axes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    wanted, shape = [], []
    for axis in range(draw(st.integers(1, 3))):
        if axis and draw(st.booleans()):
            shape.append(draw(st.integers(0, 4)))
            continue
        how = draw(options())
        line = draw(lines(how, longest=18))
        overlap = draw(st.integers(0, 2)) if line.period > 0 else 0
        wanted.append(Partial(axis, line.scheme(**how), draw(st.booleans()), overlap))
        shape.append(line.size + overlap)
    wanted = draw(st.permutations(wanted))
    f = with_gaps(
        rng, noise(rng, tuple(shape), draw(st.sampled_from(DTYPES))), draw(st.sampled_from([0.0, 0.02, 0.2]))
    )
    f = (
        f.transpose(np.argsort(order)).copy().transpose(order)
        if (order := draw(st.permutations(range(f.ndim))))
        else f
    )
    return f, tuple(draw(chunkings(size)) for size in shape), wanted


@pytest.mark.filterwarnings("ignore:Generating overly large repr")  # of a failing example
@examples(600)
@given(problems(), st.booleans(), st.sampled_from([1, 200, 1 << 20]), st.booleans())
def test_dask_is_eager_to_the_last_bit(
    problem: tuple[np.ndarray, tuple[tuple[int, ...], ...], list[Partial]],
    gaps: bool,
    slab: int,
    masked: bool,
) -> None:
    """Random shapes, dtypes, layouts, gaps, axes, orders, rings, duplicates and chunkings."""
    f, chunks, wanted = problem
    if masked:
        f = np.ma.array(f, mask=np.random.default_rng(f.size).uniform(size=f.shape) < 0.1)
    with np.errstate(over="ignore"):
        expected = partials(f, wanted, gaps=gaps)
        with slabs_of(slab):
            lazy = partials(da.from_array(f, chunks=chunks), wanted, gaps=gaps)
            found = dask.compute(*lazy, scheduler="synchronous")
    for array, ours, eager in zip(lazy, found, expected, strict=True):
        assert array.chunks == chunks
        assert array.dtype == eager.dtype
        assert type(ours) is np.ndarray
        assert same_bits(ours, eager)
