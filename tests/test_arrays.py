"""xgrad.gradient against numpy.gradient: its own tests, results, types and errors; and what it adds."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction

import array_api_strict
import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from dask.array.tests import test_routines as dask_routines
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.tests import test_function_base as numpy_functions

from xgrad.arrays import gradient
from xgrad.errors import CoordinateError, XgradError

ORDERS = (2, 4, 6, 8)
UNEVEN = np.array([0.0, 0.5, 0.8, 2.0, 2.1, 3.0, 4.5, 5.0, 5.9, 7.0])


def refuse_to_compute(*args, **kwargs):
    raise AssertionError("something was computed")


def as_tuple(results):
    return results if isinstance(results, tuple) else (results,)


def counted_cases(function):
    """How many tests pytest makes of a test function."""
    count = 1
    for mark in getattr(function, "pytestmark", []):
        if mark.name == "parametrize":
            count *= len(mark.args[1])
    return count


# --- The tests of NumPy and of Dask themselves ---


class TestGradientOfNumPy(numpy_functions.TestGradient):
    """NumPy's own tests of numpy.gradient, each of which has to reach ours."""

    @pytest.fixture(autouse=True)
    def replaced(self, monkeypatch):
        calls = []

        def ours(*args, **kwargs):
            calls.append(args)
            return gradient(*args, **kwargs)

        monkeypatch.setattr(np, "gradient", ours)
        monkeypatch.setattr(numpy_functions, "gradient", ours)
        yield
        assert calls, "the test never called xgrad's gradient"


class TestGradientOfDask:
    """Dask's own tests of dask.array.gradient, each of which has to reach ours, lazily."""

    @pytest.fixture(autouse=True)
    def replaced(self, monkeypatch):
        calls = []

        def ours(f, *args, **kwargs):
            calls.append(args)
            with dask.config.set(scheduler=refuse_to_compute):
                results = gradient(f, *args, **kwargs)
            assert all(type(result) is da.Array and result.chunks == f.chunks for result in as_tuple(results))
            return results

        monkeypatch.setattr(da, "gradient", ours)
        yield
        assert calls, "the test never called xgrad's gradient"

    test_gradient = staticmethod(dask_routines.test_gradient)


def test_all_tests_of_numpy_and_dask_are_run(request):
    names = [name for name in dir(numpy_functions.TestGradient) if name.startswith("test_")]
    numpys = sum(counted_cases(getattr(numpy_functions.TestGradient, name)) for name in names)
    dasks = counted_cases(dask_routines.test_gradient)
    assert (numpys, dasks) >= (28, 22)
    for case, expected in ((TestGradientOfNumPy, numpys), (TestGradientOfDask, dasks)):
        collected = [item for item in request.session.items if item.cls is case]
        if collected:  # none are, where this test runs alone
            assert len(collected) == expected


# --- numpy.gradient as the oracle ---


def line(kind, size, rng):
    """Positions with a step near 0.1: uniform, jittered by 40 % of the step, or descending; or a step."""
    ladder = 0.1 * np.arange(size)
    jittered = ladder + rng.uniform(-0.04, 0.04, size)
    return {
        "step": 0.1,
        "negative step": -0.1,
        "uniform": ladder,
        "jittered": jittered,
        "uniform descending": ladder[::-1].copy(),
        "jittered descending": jittered[::-1],
    }[kind]


KINDS = ("step", "negative step", "uniform", "jittered", "uniform descending", "jittered descending")


@settings(max_examples=150, deadline=None)
@given(
    shape=st.lists(st.integers(3, 9), min_size=1, max_size=4),
    kinds=st.lists(st.sampled_from(KINDS), min_size=4, max_size=4),
    edge_order=st.sampled_from((1, 2)),
    seed=st.integers(0, 2**32 - 1),
)
def test_equals_numpy_within_1e13_of_the_largest_gradient(shape, kinds, edge_order, seed):
    rng = np.random.default_rng(seed)
    f = rng.standard_normal(shape)
    spacings = [line(kind, size, rng) for kind, size in zip(kinds, shape, strict=False)]
    ours = as_tuple(gradient(f, *spacings, edge_order=edge_order))
    theirs = as_tuple(np.gradient(f, *spacings, edge_order=edge_order))
    assert len(ours) == len(theirs) == f.ndim
    for own, other in zip(ours, theirs, strict=True):
        assert own.dtype == other.dtype
        assert np.abs(own - other).max() <= 1e-13 * np.abs(other).max()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("edge_order", [1, 2])
def test_equals_numpy_on_long_axes(kind, edge_order):
    rng = np.random.default_rng(1)
    f, x = rng.standard_normal(5000), line(kind, 5000, rng)
    other = np.gradient(f, x, edge_order=edge_order)
    # Positions near 500 are rounded; numpy differentiates with the differences of the rounded ones.
    tolerance = 1e-13 if "jitter" in kind or "step" in kind else 4 * 2.2e-16 * 500 / 0.1
    assert np.abs(gradient(f, x, edge_order=edge_order) - other).max() <= tolerance * np.abs(other).max()


def test_classic_cubes():
    np.testing.assert_array_equal(gradient([1, 8, 27], [1, 2, 3]), [7.0, 13.0, 19.0])
    np.testing.assert_array_equal(gradient([1.0, 8.0, 27.0], [1.0, 2.0, 3.0]), [7.0, 13.0, 19.0])


def test_classic_image():
    row = [21, 20, 22, 24, 18, 11, 23]
    image = np.tile(np.array(row, dtype=np.uint8), (7, 1))
    image[3, 3] = 99
    down, across = gradient(image)
    assert down[3, 3] == 0.0
    assert across[3, 3] == -2.0
    assert (down[2, 3], down[4, 3]) == (37.5, -37.5)
    assert (across[3, 2], across[3, 4]) == (39.5, -44.0)
    np.testing.assert_array_equal(across[0], [-1.0, 0.5, 2.0, -2.0, -6.5, 2.5, 12.0])
    for own, other in zip((down, across), np.gradient(image), strict=True):
        np.testing.assert_array_equal(own, other)


@pytest.mark.parametrize("axis", [0, -1, 2, (0, 2), (2, 0), (-1,), [1, 0], (), None, np.int64(1)])
def test_axes_and_return_types_are_those_of_numpy(axis):
    f = np.random.default_rng(2).standard_normal((3, 4, 5))
    own, other = gradient(f, axis=axis), np.gradient(f, axis=axis)
    assert type(own) is type(other)
    assert len(as_tuple(own)) == len(as_tuple(other))
    for one, two in zip(as_tuple(own), as_tuple(other), strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-13)


def test_a_scalar_has_no_axes():
    assert gradient(3.0) == np.gradient(3.0) == ()


def test_the_order_of_distances_follows_axis():
    f = np.random.default_rng(3).standard_normal((4, 10))
    columns, rows = gradient(f, UNEVEN, 2.0, axis=(1, 0))
    np.testing.assert_allclose(columns, np.gradient(f, UNEVEN, axis=1), rtol=0, atol=1e-13)
    np.testing.assert_allclose(rows, np.gradient(f, 2.0, axis=0), rtol=0, atol=1e-14)


@pytest.mark.parametrize("data", [np.matrix([[1.0, 2.0], [4.0, 3.0]]), np.ma.MaskedArray([[1.0, 2], [4, 3]])])
def test_subclasses_are_kept(data):
    for own, other in zip(gradient(data), np.gradient(data), strict=True):
        assert type(own) is type(other)
        np.testing.assert_array_equal(own, other)


class Named(np.ndarray):
    """An array with an attribute that goes on to results."""

    def __array_finalize__(self, obj):
        self.name = getattr(obj, "name", "none")


def test_attributes_of_subclasses_are_taken_over():
    data = np.arange(4.0).view(Named)
    data.name = "height"
    assert gradient(data).name == np.gradient(data).name == "height"
    assert type(gradient(data)) is Named


class Demanding(np.ndarray):
    """An array with rules of its own for NumPy's functions."""

    def __array_function__(self, func, types, args, kwargs):
        raise TypeError


def test_other_arrays_with_rules_of_their_own_are_refused():
    with pytest.raises(TypeError, match=r"Demanding.*numpy.asarray"):
        gradient(np.arange(4.0).view(Demanding))


def test_xarray_objects_give_their_data():
    lazy = xr.DataArray(da.arange(6.0, chunks=2), dims="x", coords={"x": UNEVEN[:6]})
    with dask.config.set(scheduler=refuse_to_compute):
        result = gradient(lazy, lazy["x"])
    assert isinstance(result, da.Array)
    np.testing.assert_allclose(result.compute(), np.gradient(np.arange(6.0), UNEVEN[:6]), rtol=1e-14)


def test_the_input_is_not_altered():
    f, x = np.random.default_rng(4).standard_normal((10, 10)), UNEVEN.copy()
    kept = f.copy()
    f.setflags(write=False)
    gradient(f, x, x[::-1], order=4)
    np.testing.assert_array_equal(f, kept)
    np.testing.assert_array_equal(x, UNEVEN)
    assert x.flags.writeable


# --- dtypes ---


@pytest.mark.parametrize(
    "name", ["f2", "f4", "f8", "g", "c8", "c16", "G", "i1", "u1", "i2", "u2", "i8", "u8", "O"]
)
@pytest.mark.parametrize("order", ["=", ">"])
def test_dtypes_are_those_of_numpy(name, order):
    f = np.array([[3, 1, 4, 1], [5, 9, 2, 6], [5, 3, 5, 8]]).astype(np.dtype(name).newbyteorder(order))
    for own, other in zip(gradient(f, 2.0), np.gradient(f, 2.0), strict=True):
        assert own.dtype == other.dtype.newbyteorder("=")
        np.testing.assert_array_equal(own, other)


def test_bool_becomes_float64():
    result = gradient(np.array([True, False, True]))
    assert result.dtype == np.float64
    np.testing.assert_array_equal(result, [-1.0, 0.0, 1.0])


def test_float32_is_rounded_once():
    f = np.random.default_rng(5).standard_normal((10, 12)).astype(np.float32)
    for own, exact in zip(gradient(f, UNEVEN, 0.1), gradient(f.astype(np.float64), UNEVEN, 0.1), strict=True):
        np.testing.assert_array_equal(own, exact.astype(np.float32))


def test_longdouble_keeps_its_digits():
    third = np.longdouble(1) / 3
    f = np.array([0, third, 2 * third, 3 * third])
    assert gradient(f).dtype == np.longdouble
    assert np.abs(gradient(f) - third).max() <= 2 * np.finfo(np.longdouble).eps


def test_integers_do_not_wrap_round():
    np.testing.assert_array_equal(gradient(np.array([0, 255, 0], np.uint8)), [255.0, 0.0, -255.0])
    np.testing.assert_array_equal(gradient(np.array([127, -128], np.int8)), [-255.0, -255.0])
    np.testing.assert_array_equal(gradient([0.0, 1.0, 2.0], np.array([200, 100, 0], np.uint8)), [-0.01] * 3)
    wide = np.array([-(2**31), 2**31 - 1], np.int32)
    np.testing.assert_array_equal(gradient([0.0, 1.0], wide), [1 / (2**32 - 1)] * 2)


@pytest.mark.parametrize("unit", ["D", "h", "s", "ms", "ns", "10D", "M"])
@pytest.mark.parametrize("kind", ["M8", "m8"])
@pytest.mark.parametrize("order", ["=", ">"])
def test_dates_and_durations_give_durations_of_their_unit(unit, kind, order):
    ticks = np.random.default_rng(6).integers(-(10**12), 10**12, 200)
    ticks[50] = np.iinfo(np.int64).min  # NaT
    native = ticks.view(f"{kind}[{unit}]")  # numpy.gradient takes big-endian dates for native ones
    f = native.astype(native.dtype.newbyteorder(order))
    for step in (1, 2.0, 7, 0.1, -3):
        own, other = gradient(f, step), np.gradient(native, step)
        assert own.dtype == other.dtype == np.dtype(f"m8[{unit}]")
        assert np.isnat(own).tolist() == np.isnat(other).tolist()
        assert np.isnat(own).sum() == 2
        np.testing.assert_array_equal(own, other)


def test_nanoseconds_of_our_century_are_exact():
    ticks = np.datetime64("2024-01-01T00:00:00.000000001").view(np.int64) + np.array([0, 1, 5, 4, 100])
    result = gradient(ticks.view("M8[ns]"))
    np.testing.assert_array_equal(result.view(np.int64), [1, 2, 1, 47, 96])
    assert gradient(ticks.view("M8[ns]"), edge_order=2)[0] == np.timedelta64(0, "ns")  # -0.5 truncated
    weeks = np.array([0, 2**51 + 3], "m8[ns]")  # the result ends in .5
    assert gradient(weeks, 2)[0] == np.gradient(weeks, 2)[0] == np.timedelta64(2**50 + 1, "ns")


def test_durations_are_truncated_once_and_exactly():
    x = np.array([0.0, 1.0, 3.0, 4.0, 9.0])
    for seed in range(20):
        f = np.random.default_rng(seed).integers(-1000, 1000, 5)
        exact = []
        for i, taps in enumerate([(0, 1), (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4)]):
            total = Fraction(0)
            for j in taps:  # derivative of the polynomial through the taps, at the point
                others = [Fraction(int(x[k])) for k in taps if k != j]
                xi, xj = Fraction(int(x[i])), Fraction(int(x[j]))
                slope = sum(
                    np.prod([xi - o for m, o in enumerate(others) if m != k]) for k in range(len(others))
                )
                total += int(f[j]) * Fraction(slope) / Fraction(np.prod([xj - o for o in others]))
            exact.append(int(total))  # int() truncates
        np.testing.assert_array_equal(gradient(f.view("m8[s]"), x).view(np.int64), exact)


def test_durations_beyond_64_bits_are_not_a_time():
    f = np.array([-(2**62), 2**62], "m8[s]")
    assert np.isnat(gradient(f, 0.25)).all()


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns", "h"])
def test_positions_in_time_count_in_seconds(unit):
    hours = np.array([0, 1, 3, 4])
    times = np.datetime64("2024-01-01T00", "h") + hours.astype("m8[h]")
    expected = np.gradient(np.array([1.0, 5.0, 2.0, 2.0]), hours * 3600.0)
    result = gradient([1.0, 5.0, 2.0, 2.0], times.astype(f"M8[{unit}]"))
    np.testing.assert_allclose(result, expected, rtol=1e-14)
    np.testing.assert_allclose(gradient([1.0, 3.0], np.timedelta64(1, "h").astype(f"m8[{unit}]")), 2 / 3600)


# --- masked arrays ---


@pytest.mark.parametrize("edge_order", [1, 2])
@pytest.mark.parametrize("dtype", ["f8", "f4", "c16", "i2"])
@pytest.mark.parametrize("spacing", [0.5, UNEVEN])
def test_masks_spread_as_in_numpy(edge_order, dtype, spacing):
    rng = np.random.default_rng(7)
    for _ in range(10):
        data = np.ma.array(rng.integers(-99, 99, (10, 10)).astype(dtype), mask=rng.random((10, 10)) < 0.1)
        mask = data.mask.copy()
        for own, other in zip(
            gradient(data, spacing, spacing, edge_order=edge_order),
            np.gradient(data, spacing, spacing, edge_order=edge_order),
            strict=True,
        ):
            assert type(own) is np.ma.MaskedArray
            assert own.dtype == other.dtype
            np.testing.assert_array_equal(np.ma.getmaskarray(own), np.ma.getmaskarray(other))
            np.testing.assert_allclose(own.compressed(), other.compressed(), rtol=1e-5, atol=1e-4)
        np.testing.assert_array_equal(data.mask, mask)


def test_masked_durations_too():  # which numpy.gradient cannot do
    numbers = np.ma.array([2, 4, 8, 16, 32, 64], mask=[0, 0, 1, 0, 0, 0])
    result, expected = gradient(numbers.astype("m8[s]")), gradient(numbers)
    assert (type(result), result.dtype) == (np.ma.MaskedArray, np.dtype("m8[s]"))
    np.testing.assert_array_equal(result.mask, expected.mask)
    np.testing.assert_array_equal(result.compressed().astype(np.int64), expected.compressed())


def test_nan_under_no_mask_is_not_masked_and_masked_values_do_not_leak():
    data = np.ma.array([1.0, 2.0, np.nan, 4.0, 1e300, 6.0, 7.0], mask=[0, 0, 0, 0, 1, 0, 0], fill_value=-9.0)
    result = gradient(data)
    assert np.ma.getmaskarray(result).tolist() == [False, False, False, True, False, True, False]
    assert np.isnan(result.data[[1, 3, 5]]).all()
    assert result.fill_value == np.gradient(data).fill_value == -9.0


def test_masked_dask_arrays_stay_masked():
    data = np.ma.array(np.arange(12.0).reshape(3, 4) ** 2, mask=np.eye(3, 4, dtype=bool))
    lazy = da.from_array(data, chunks=(2, 1))
    with dask.config.set(scheduler=refuse_to_compute):
        results = gradient(lazy)
    for own, other in zip(results, gradient(data), strict=True):
        computed = own.compute()
        assert type(computed) is np.ma.MaskedArray
        np.testing.assert_array_equal(np.ma.getmaskarray(computed), other.mask)
        np.testing.assert_array_equal(computed.filled(-1.0), other.filled(-1.0))


# --- orders and rings ---


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", KINDS)
def test_polynomials_of_the_degree_of_the_order_are_exact(order, kind):
    rng = np.random.default_rng(order)
    spacing = line(kind, 21, rng)
    x = spacing * np.arange(21) if np.ndim(spacing) == 0 else spacing
    polynomial = np.polynomial.Polynomial(rng.standard_normal(order + 1))
    exact = polynomial.deriv()(x)
    result = gradient(polynomial(x), spacing, order=order, edge_order=order)
    assert np.abs(result - exact).max() <= 1e-11 * np.abs(exact).max()


@pytest.mark.parametrize("order", [2, 4, 6])
def test_the_error_falls_with_the_order_and_edges_with_edge_order(order):
    errors = []
    for size in (41, 81):
        s = np.linspace(-1, 1, size)
        x = np.tanh(1.2 * s) / np.tanh(1.2)
        error = np.abs(gradient(np.sin(2 * x + 0.3), x, order=order, edge_order=1) - 2 * np.cos(2 * x + 0.3))
        errors.append((error[order:-order].max(), error[[0, -1]].max()))
    (inside, edge), (finer_inside, finer_edge) = errors
    assert np.log2(inside / finer_inside) >= order - 0.1
    assert 0.8 <= np.log2(edge / finer_edge) <= 1.3


@pytest.mark.parametrize("order", ORDERS)
def test_constants_give_exactly_zero(order):
    f = np.full((10, 12), 101325.1)
    for options in ({"edge_order": 1}, {"edge_order": order}, {"periodic": (8.0, True)}):
        results = gradient(f, UNEVEN, 0.1, order=order, **options)
        assert all((result == 0.0).all() for result in results)


def sine(size, phase=0.0):
    x = 2 * np.pi * np.arange(size) / size
    return x, np.sin(x + phase), np.cos(x + phase)


@pytest.mark.parametrize("order", ORDERS)
def test_a_ring_has_no_edges(order):
    x, f, exact = sine(40, 0.3)
    step = x[1]
    by_step = gradient(f, step, order=order, periodic=True)
    # The symbol of the stencil: on a uniform ring every point has the same relative error.
    relative = by_step / exact
    assert np.ptp(relative) <= 1e-12
    coefficient = {2: 1 / 6, 4: 1 / 30, 6: 1 / 140, 8: 1 / 630}[order]
    assert 1 - relative.mean() == pytest.approx(coefficient * step**order, rel=0.05)
    np.testing.assert_allclose(gradient(f, x, order=order, periodic=True), by_step, rtol=0, atol=1e-13)
    np.testing.assert_allclose(gradient(f, x, order=order, periodic=2 * np.pi), by_step, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(
        gradient(np.roll(f, 7), step, order=order, periodic=True), np.roll(by_step, 7)
    )
    mirrored = gradient(f[::-1], -step, order=order, periodic=True)
    np.testing.assert_array_equal(mirrored, by_step[::-1])


@pytest.mark.parametrize("order", ORDERS)
def test_an_uneven_ring_needs_its_period(order):
    errors = []
    for size in (40, 80):
        s = 2 * np.pi * np.arange(size) / size
        x = s + 0.3 * np.sin(s)
        result = gradient(np.sin(x), x, order=order, periodic=2 * np.pi)
        errors.append(np.abs(result - np.cos(x)).max())
        with pytest.raises(CoordinateError, match="give the period"):
            gradient(np.sin(x), x, order=order, periodic=True)
    assert np.log2(errors[0] / errors[1]) >= order - 0.1 - 0.5 * (order == 8)


def test_a_repeated_last_point_gets_the_result_of_the_first():
    x, f, _ = sine(16)
    once = gradient(f, x, periodic=2 * np.pi)
    twice = gradient(np.append(f, f[0]), np.append(x, 2 * np.pi), periodic=2 * np.pi)
    np.testing.assert_allclose(twice, np.append(once, once[0]), rtol=0, atol=1e-14)
    assert twice[-1] == twice[0]


def test_periods_are_given_for_one_or_for_all_axes():
    x, f, exact = sine(64)
    y = np.linspace(0.0, 3.0, 50)
    field = f[:, None] * y**2
    for periodic in ([True, False], (2 * np.pi, False), np.array([True, False])):
        along_x, along_y = gradient(field, x, y, edge_order=2, order=2, periodic=periodic)
        np.testing.assert_allclose(along_x, exact[:, None] * y**2, rtol=0, atol=9 * x[1] ** 2 / 6)
        np.testing.assert_allclose(along_y, f[:, None] * 2 * y, rtol=0, atol=1e-12)
    swapped = gradient(field, y, x, axis=(1, 0), edge_order=2, periodic=(False, True))
    np.testing.assert_array_equal(swapped[0], along_y)
    np.testing.assert_array_equal(swapped[1], along_x)
    both = gradient(np.outer(f, f), x, x, periodic=2 * np.pi)
    np.testing.assert_array_equal(both[0], both[1].T)
    day = np.arange(24).astype("m8[h]")
    spun = gradient(np.sin(2 * np.pi * np.arange(24) / 24), day, periodic=np.timedelta64(1, "D"))
    np.testing.assert_allclose(
        spun, np.cos(2 * np.pi * np.arange(24) / 24) * 2 * np.pi / 86400, rtol=0.02, atol=1e-19
    )


def test_float32_longitudes_are_repaired():
    x = np.arange(0, 3600, dtype=np.float32) * np.float32(0.1)
    exact = np.cos(np.deg2rad(0.1 * np.arange(3600))) * np.pi / 180
    result = gradient(np.sin(np.deg2rad(0.1 * np.arange(3600))), x, order=4, edge_order=4)
    assert np.abs(result - exact).max() <= 1e-6 * np.abs(exact).max()


# --- Dask and other arrays ---


def chunkings(size):
    return st.lists(st.integers(1, size), min_size=1, max_size=size).map(lambda cuts: fit(cuts, size))


def fit(cuts, size):
    """The chunk sizes that begin with `cuts` and add up to `size`."""
    chunks = []
    while sum(chunks) < size:
        chunks.append(min(cuts[len(chunks) % len(cuts)], size - sum(chunks)))
    return tuple(chunks)


@settings(max_examples=100, deadline=None)
@given(
    chunks=st.tuples(chunkings(9), chunkings(10)),
    dtype=st.sampled_from(["f2", "f4", "f8", "c8", "i2", "?", "M8[ns]", ">f4"]),
    order=st.sampled_from(ORDERS),
    edge_order=st.sampled_from((1, 2, 8)),
    ring=st.booleans(),
    descending=st.booleans(),
    axis=st.sampled_from([None, 0, 1, (1, 0)]),
    seed=st.integers(0, 2**32 - 1),
)
def test_dask_is_lazy_and_bitwise_equal(chunks, dtype, order, edge_order, ring, descending, axis, seed):
    rng = np.random.default_rng(seed)
    f = (rng.standard_normal((9, 10)) * 10.0 ** rng.integers(-3, 4, (9, 10))).astype(
        "f8" if dtype[0] == "M" else dtype
    )
    f = f.astype("i8").astype(dtype) if dtype[0] == "M" else f
    spacings = {0: 0.3, 1: UNEVEN[::-1] if descending else UNEVEN}
    chosen = [spacings[d] for d in ((0, 1) if axis is None else np.atleast_1d(axis))]
    options = {"axis": axis, "order": order, "edge_order": edge_order, "periodic": 12.5 if ring else False}
    eager = as_tuple(gradient(f, *chosen, **options))
    with dask.config.set(scheduler=refuse_to_compute):
        lazy = as_tuple(gradient(da.from_array(f, chunks=chunks), *chosen, **options))
    with dask.config.set(scheduler="synchronous"):
        for own, other in zip(lazy, eager, strict=True):
            assert (own.dtype, own.shape, own.chunks) == (other.dtype, f.shape, chunks)
            computed = own.compute()
            assert computed.dtype == other.dtype
            assert computed.tobytes() == other.tobytes()


def test_dask_positions_and_steps_are_read():
    f = da.arange(10.0, chunks=3) ** 2
    result = gradient(f, da.from_array(UNEVEN, chunks=4))
    np.testing.assert_array_equal(result.compute(), gradient(np.arange(10.0) ** 2, UNEVEN))
    np.testing.assert_array_equal(gradient(f, da.asarray(2.0)).compute(), gradient(np.arange(10.0) ** 2, 2.0))


def test_unknown_chunk_sizes_are_refused_with_advice():
    f = da.arange(10.0, chunks=5)
    with pytest.raises(XgradError, match=r"axis 0.*compute_chunk_sizes\(\)"):
        gradient(f[f > 3])


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint8", "int64", "float32", "float64", "complex64", "complex128"]
)
@pytest.mark.parametrize("options", [{}, {"order": 4, "edge_order": 3}, {"periodic": (True, 8.0)}])
def test_array_api_arrays_stay_what_they_are(dtype, options):
    values = np.random.default_rng(8).integers(0, 99, (5, 10)).astype(dtype)
    strict = array_api_strict.asarray(values)
    spacings = 0.5, array_api_strict.asarray(UNEVEN)
    for own, other in zip(
        gradient(strict, *spacings, **options), gradient(values, 0.5, UNEVEN, **options), strict=True
    ):
        assert type(own) is type(strict)
        assert own.dtype == getattr(array_api_strict, str(other.dtype))
        np.testing.assert_allclose(np.asarray(own), other, rtol=0, atol=1e-12 if dtype[-2:] != "32" else 1e-4)


def test_other_axes_may_be_empty():
    assert gradient(np.ones((3, 0)), axis=0).shape == (3, 0)


# --- errors ---

ERRORS = {
    "distances": (((range(5), 1, 2), {}), TypeError, "2 distances for 1 axes"),
    "positions for all axes": (((np.ones((3, 3)), [1, 2, 3]), {}), TypeError, "1 distances for 2 axes"),
    "2-D positions": (
        ((range(3), np.ones((3, 3))), {}),
        CoordinateError,
        r"scalars or 1d, found shape \(3, 3\)",
    ),
    "length": (((range(3), [1.0, 2.0]), {}), CoordinateError, r"3 positions are needed, found shape \(2,\)"),
    "axis": (((range(3),), {"axis": 1}), np.exceptions.AxisError, "out of bounds"),
    "repeated axis": (((np.ones((3, 3)),), {"axis": (0, -2)}), ValueError, "repeated"),
    "order": (((range(3),), {"order": 3}), XgradError, "order=3 .* 2, 4, 6 or 8"),
    "edge_order 0": (((range(3),), {"edge_order": 0}), XgradError, "edge_order=0 .* 1 to 8"),
    "edge_order 9": (((range(30),), {"edge_order": 9}), XgradError, "edge_order=9"),
    "edge_order 1.5": (((range(3),), {"edge_order": 1.5}), XgradError, "edge_order=1.5"),
    "no points": (((range(0),), {}), ValueError, "size 0"),
    "one point": (((range(1),), {}), ValueError, "size 1"),
    "few points": (
        ((range(4),), {"edge_order": 4}),
        XgradError,
        "4 points, edge_order=4 .* at least 5; use edge_order=3",
    ),
    "small ring": (
        ((range(4),), {"order": 4, "periodic": True}),
        XgradError,
        "4 points, order=4 on a periodic axis needs at least 5; use order=2",
    ),
    "tiny ring": (((range(2),), {"periodic": True}), XgradError, "use more points"),
    "step 0": (((range(3), 0), {}), CoordinateError, "not 0"),
    "step nan": (((range(3), np.nan), {}), CoordinateError, "finite"),
    "NaN": (((range(3), [0.0, np.nan, 1.0]), {}), CoordinateError, "nan at index 1"),
    "repeated": (
        ((range(3), [0.0, 1.0, 1.0]), {}),
        CoordinateError,
        r"duplicate: 1.0 at index 2 .*curve x\(t\), y\(t\)",
    ),
    "unordered": (((range(3), [0, 2, 1]), {}), CoordinateError, r"1 at index 2 follows 2.*with respect to t"),
    "masked": (((range(3), np.ma.array([0, 1, 2], mask=[0, 0, 1])), {}), CoordinateError, "masked values"),
    "strings": (((["a", "b"],), {}), TypeError, "dtype <U1"),
    "period": (((range(9), UNEVEN[:9]), {"periodic": 2.0}), CoordinateError, "period must exceed the span"),
    "auto": (((range(9),), {"periodic": "auto"}), XgradError, "periodic='auto' is not understood"),
    "names": (((range(9),), {"periodic": ["x"]}), XgradError, "not understood"),
    "too many rings": (((range(9),), {"periodic": (True, False)}), XgradError, "a sequence of 1"),
    "negative period": (((range(9),), {"periodic": -1.0}), XgradError, "periodic=-1.0"),
    "time by time": (((np.arange(3).view("M8[s]"), np.timedelta64(1, "s")), {}), XgradError, "both times"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case):
    (args, options), kind, message = ERRORS[case]
    with pytest.raises(kind, match=message):
        gradient(*args, **options)


@pytest.mark.parametrize("case", ["distances", "positions for all axes", "2-D positions", "length", "axis"])
def test_errors_are_of_the_types_of_numpy(case):
    (args, options), kind, _ = ERRORS[case]
    with pytest.raises((TypeError, ValueError)) as theirs:
        np.gradient(*args, **options)
    assert issubclass(kind, theirs.type)


def test_quantities_are_refused_not_stripped():
    import pint

    meters = pint.UnitRegistry().meter
    with pytest.raises(TypeError, match="f is a quantity in 'meter'"):
        gradient([1.0, 2.0] * meters)
    with pytest.raises(TypeError, match="distance 0 is a quantity"):
        gradient([1.0, 2.0], 2.0 * meters)


def test_misspelt_options_are_refused():
    with pytest.raises(TypeError):
        gradient([1.0, 2.0], edge=2)
    with pytest.raises(TypeError):
        gradient()


def test_fractions_big_integers_and_timedelta_are_steps():
    np.testing.assert_array_equal(gradient([1.0, 2.0, 4.0], Fraction(1, 2)), [2.0, 3.0, 4.0])
    np.testing.assert_array_equal(gradient([1.0, 2.0], 2**70), [2.0**-70] * 2)
    np.testing.assert_array_equal(gradient([1.0, 2.0], timedelta(minutes=1)), [1 / 60] * 2)
