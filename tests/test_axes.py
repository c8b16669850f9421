"""Axes: every decision about a 1-D coordinate, against positions known in integers and fractions."""

import datetime
import itertools
import math
from fractions import Fraction

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import assume, given
from hypothesis import strategies as st

from xgrad.axes import axis_from_coordinate, axis_from_spacing
from xgrad.errors import CoordinateError, XgradError
from xgrad.schemes import Open, Wrap

EAST = {"units": "degrees_east"}


def field(values, attrs=None, name="x"):
    values = np.asarray(values) if not isinstance(values, pd.Index) else values
    return xr.DataArray(np.zeros(len(values)), dims=name, coords={name: (name, values, attrs or {})})


def axis(values, attrs=None, **options):
    return axis_from_coordinate(field(values, attrs), "x", **options)


def refusal(values, attrs=None, **options):
    with pytest.raises(CoordinateError) as caught:
        axis(values, attrs, **options)
    return str(caught.value)


def offsets(found, reach=4):
    """The local offsets that a scheme forms, for every reach at once."""
    hi, lo = found.points
    return [(hi[k:] - hi[:-k]) + (lo[k:] - lo[:-k]) for k in range(1, reach + 1)]


def bits(arrays):
    return [np.asarray(array, dtype=np.float64).tobytes() for array in arrays]


def same(one, other):
    """Bitwise the same decisions, but for an origin of the points."""
    assert bits(offsets(one, 3)) == bits(offsets(other, 3))
    assert one.step == other.step
    assert one.boundary == other.boundary
    assert one.overlap == other.overlap
    assert one.notes == other.notes
    assert (one.units, one.scale, one.time) == (other.units, other.scale, other.time)


# --- plain numbers ----------------------------------------------------------------------------------------


def test_ascending_floats():
    found = axis([0.0, 1.0, 4.0], {"units": "m"})
    assert found.points.tolist() == [[0.0, 1.0, 4.0], [0.0, 0.0, 0.0]]
    assert (found.step, found.descending, found.units, found.time, found.scale) == (
        None,
        False,
        "m",
        False,
        1.0,
    )
    assert found.boundary == (Open(), Open())
    assert (found.kind, found.size, found.ring, found.spacing) == ("stretched", 3, False, (1.0, 3.0))
    assert (found.name, found.dim, found.notes, found.overlap) == ("x", "x", (), 0)


def test_descending_is_the_ascending_copy():
    found = axis([4.0, 1.0, 0.0])
    assert found.descending
    assert found.points[0].tolist() == [0.0, 1.0, 4.0]


def test_points_are_read_only_and_the_coordinate_is_not_touched():
    values = np.array([0.0, 1.0, 3.0])
    found = axis(values)
    with pytest.raises(ValueError, match="read-only"):
        found.points[0, 0] = 1.0
    assert values.flags.writeable


@pytest.mark.parametrize(
    "values",
    [
        np.linspace(0, 1, 11),
        np.linspace(-5e6, 5e6, 1001),
        np.arange(0.05, 30, 0.1),
        np.linspace(0, 1, 641)[::-1],
        np.arange(1000) / 7 + 1e6,
        [0.0, 1e-300, 2e-300],
        [3.0, 5.0],
        np.arange(12, dtype=np.float16) / 4,
        np.linspace(0, 1, 11, dtype=np.longdouble),
        np.linspace(0, 1, 11).astype(">f8"),
        np.linspace(0, 1, 22)[::2],
    ],
)
def test_uniform_floats(values):
    values = np.asarray(values)
    # Not as an index: pandas has none for float16.
    found = axis_from_spacing("x", values.size, values)
    exact = abs(Fraction(float(values[-1])) - Fraction(float(values[0]))) / (values.size - 1)
    assert found.step == pytest.approx(float(exact), rel=1e-15)
    assert found.notes == ()


@pytest.mark.parametrize("relative", [1e-9, 1e-12])
def test_a_disturbance_above_rounding_is_kept(relative):
    values = np.linspace(0, 1, 11)
    values[4] += relative
    assert axis(values).step is None


@pytest.mark.parametrize(("ulps", "uniform"), [(3, True), (6, False)])
def test_four_ulp_of_the_largest_are_rounding(ulps, uniform):
    values = 1000.0 + np.arange(9) / 8
    values[4] += ulps * np.spacing(1001.0)
    assert (axis(values).step is not None) is uniform
    assert (axis(-values).step is not None) is uniform


def test_stretched_floats_in_every_precision():
    for dtype in (np.float16, np.float32, np.float64, np.longdouble, ">f4"):
        found = axis_from_spacing("x", 4, np.array([0, 1, 2.5, 7], dtype=dtype))
        assert found.step is None
        assert found.points[0].tolist() == [0.0, 1.0, 2.5, 7.0]


@pytest.mark.skipif(np.finfo(np.longdouble).eps >= np.finfo(float).eps, reason="longdouble is float64 here")
def test_longdouble_is_taken_from_an_origin():
    # Steps of 1e-9 and 3e-9 on 1.7e9: float64 has a resolution of 2.4e-7 there.
    values = np.longdouble(1.7e9) + np.array([0, 1, 4, 5, 8], dtype=np.longdouble) * np.longdouble(1e-9)
    for found in (axis(values), axis(values[::-1])):
        first = np.diff(values).astype(np.float64)
        assert offsets(found, 1)[0] == pytest.approx(first, rel=1e-12)
        assert found.step is None


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i4", ">u8"])
@pytest.mark.parametrize("descending", [False, True])
def test_integers_are_widened_before_they_are_subtracted(dtype, descending):
    info = np.iinfo(dtype)
    values = np.array([info.min, info.min + 1, 0 if info.min else 7, info.max - 1, info.max], dtype=dtype)
    found = axis(values[::-1] if descending else values)
    assert found.descending is descending
    exact = [int(b) - int(a) for a, b in itertools.pairwise(values)]
    assert offsets(found, 1)[0].tolist() == [float(gap) for gap in exact]
    assert found.step is None
    assert axis(np.arange(5).astype(dtype) * 3).step == 3.0


def test_integers_beyond_2_to_53_keep_their_differences():
    values = np.array([2**62, 2**62 + 1, 2**62 + 3, 2**62 + 4])
    assert offsets(axis(values), 1)[0].tolist() == [1.0, 2.0, 1.0]
    assert axis(np.arange(5) + 2**62).step == 1.0
    whole = np.array([-(2**63), 0, 2**63 - 1])
    assert offsets(axis(whole), 1)[0].tolist() == [2.0**63, 2.0**63]
    assert axis(whole).step is None  # the two differences differ by one


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=30, unique=True))
def test_any_int64(values):
    values = sorted(values)
    found = axis(np.array(values, dtype=np.int64))
    assert offsets(found, 1)[0].tolist() == [float(b - a) for a, b in itertools.pairwise(values)]


@pytest.mark.parametrize(
    ("units", "kept"),
    [("degrees_north", "degrees_north"), ("hPa", "hPa"), ("", None), ("  ", None), (1, None), ("1", "1")],
)
def test_units_as_written(units, kept):
    assert axis([0.0, 1.0], {"units": units}).units == kept


# --- float32 ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "step"),
    [
        ((np.arange(60) / 12).astype(np.float32), 1 / 12),
        ((100 + np.arange(500) / 50).astype(np.float32), 1 / 50),
        ((np.arange(500) / 12).astype(np.float32).astype(np.float64), 1 / 12),
        (np.arange(500, dtype=np.float32) * np.float32(0.1), 0.1),
        (-(np.arange(500) / 12).astype(np.float32), 1 / 12),
    ],
)
def test_float32_rounding_is_repaired(values, step):
    found = axis(values)
    assert found.notes == ("snapped to uniform (float32 coordinate)",)
    # What remains is the rounding of the two ends, half an ulp each, shared by all steps.
    ulp = float(np.spacing(np.float32(np.abs(values).max())))
    assert abs(found.step - step) <= ulp / (values.size - 1)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float32, np.float64])
def test_integer_northings_with_jitter_are_kept(dtype):
    # A UTM grid of 1 km whose rows were rounded to whole metres, some a metre off; float32 cannot see 4 ulp.
    values = np.array([0, 1000, 2001, 3000, 3999, 5000, 6000], dtype=dtype) + 4_000_000
    found = axis(values)
    assert found.step is None
    assert offsets(found, 1)[0].tolist() == [1000, 1001, 999, 999, 1001, 1000]


def test_float64_that_never_was_float32_is_kept():
    values = np.arange(500) / 12 + np.where(np.arange(500) % 7 == 3, 1e-6, 0.0)
    assert axis(values).step is None
    # The same as float32 is within 4 ulp: there nobody can tell the jitter from rounding.
    assert axis(values.astype(np.float32)).step is not None


def test_float32_too_coarse_for_its_steps_is_kept():
    # 0.0009 degrees at 359: an ulp is 3 % of a step.
    assert axis((359.5796 + 0.0009 * np.arange(100)).astype(np.float32)).step is None


def test_float32_since_axes_are_never_repaired():
    hours = (np.arange(500) / 24).astype(np.float32)
    assert axis(hours).step is not None
    found = axis(hours, {"units": "days since 2000-01-01"})
    assert found.step is None
    assert (found.units, found.time, found.scale) == ("day", True, 1.0)


# --- time -------------------------------------------------------------------------------------------------


def stamps(resolution="ms"):
    """52 years of irregular milliseconds."""
    rng = np.random.default_rng(52)
    milliseconds = (
        np.sort(rng.choice(52 * 365 * 86400 * 1000, size=300, replace=False)) - 10 * 365 * 86400 * 1000
    )
    return milliseconds.astype("datetime64[ms]").astype(f"datetime64[{resolution}]")


def as_cftime(values, calendar="standard"):
    origin = cftime.datetime(1970, 1, 1, calendar=calendar)
    microseconds = values.astype("datetime64[us]").astype(np.int64)
    return np.array([origin + datetime.timedelta(microseconds=int(count)) for count in microseconds])


def time_axis(values, **options):
    return axis_from_coordinate(field(values, name="time"), "time", **options)


def test_stamps_are_bitwise_the_same_in_every_storage():
    milliseconds = stamps()
    reference = time_axis(milliseconds)
    exact = np.diff(milliseconds.astype(np.int64))
    # Each remainder is stored to 2**-54, their difference once more: 1.2e-16 each.
    assert np.abs(offsets(reference, 1)[0] - exact / 1000).max() <= 4e-16 * exact.max() / 1000
    others = {
        "us": stamps("us"),
        "ns": stamps("ns"),
        "standard": as_cftime(milliseconds),
        "360_day": as_cftime(milliseconds, "360_day"),
        "noleap": as_cftime(milliseconds, "noleap"),
        "julian": as_cftime(milliseconds, "julian"),
        "reversed": milliseconds[::-1],
        "reversed ns": stamps("ns")[::-1],
        "reversed cftime": as_cftime(milliseconds)[::-1],
        "duration": milliseconds - milliseconds[7],
        "big-endian": stamps("ns").astype(">M8[ns]"),
    }
    for name, values in others.items():
        found = time_axis(values)
        same(reference, found)
        assert found.descending is ("reversed" in name)
        assert bits(offsets(reference, 8)) == bits(offsets(found, 8))
    assert (reference.units, reference.time, reference.scale, reference.step) == ("s", True, 1.0, None)


@given(
    st.lists(st.integers(-(2**40), 2**40), min_size=2, max_size=20, unique=True),
    st.sampled_from(["us", "ns", "cftime"]),
    st.booleans(),
)
def test_any_milliseconds_in_any_storage(counts, storage, descending):
    values = np.array(sorted(counts)).astype("datetime64[ms]")
    other = as_cftime(values) if storage == "cftime" else values.astype(f"datetime64[{storage}]")
    same(time_axis(values), time_axis(other[::-1] if descending else other))


def test_uniform_time_has_the_same_step_in_every_storage():
    values = np.datetime64("2024-02-28T00:00:00", "ms") + np.arange(400) * np.timedelta64(100, "ms")
    for found in map(
        time_axis, (values, values.astype("M8[us]"), values.astype("M8[ns]"), as_cftime(values))
    ):
        assert found.step == 0.1
        same(found, time_axis(values))


def test_100_ns_sampling_in_2024():
    start = np.datetime64("2024-05-01T12:00:00", "ns")
    assert time_axis(start + np.arange(1000) * np.timedelta64(100, "ns")).step == 1e-7
    counts = np.cumsum(np.random.default_rng(1).integers(1, 9, 1000)) * 100
    counts += 10**12  # 1000 s on: the place at which float seconds lost it
    found = time_axis(start + counts.astype("timedelta64[ns]"))
    exact = np.diff(counts) / 1e9
    assert np.abs(offsets(found, 1)[0] / exact - 1).max() <= 2 * 2**-53 / 1e-7


def test_one_second_of_jitter_in_time_is_kept():
    seconds = np.arange(100) * 3600
    seconds[50] += 1
    for values in (
        seconds.astype("M8[s]"),
        seconds.astype("M8[s]").astype("M8[ns]"),
        seconds.astype("m8[s]"),
    ):
        found = time_axis(values)
        assert found.step is None
        assert found.spacing == (3599.0, 3601.0)
    numeric = axis(seconds / 86400 + 54321, {"units": "days since 1850-01-01"})
    assert numeric.step is None
    assert axis(np.arange(100) / 24 + 54321, {"units": "days since 1850-01-01"}).step == pytest.approx(
        1 / 24, rel=1e-11
    )


@pytest.mark.parametrize(
    ("unit", "word", "scale"),
    [
        ("s", "s", 1.0),
        ("ms", "ms", 1e-3),
        ("us", "us", 1e-6),
        ("ns", "ns", 1e-9),
        ("m", "min", 60.0),
        ("h", "h", 3600.0),
        ("D", "day", 86400.0),
        ("W", "week", 604800.0),
    ],
)
def test_datetime_unit(unit, word, scale):
    days = np.arange(5).astype("M8[D]").astype("M8[s]")
    found = time_axis(days, datetime_unit=unit)
    assert (found.units, found.scale, found.step) == (word, scale, 86400.0)
    assert found.spacing == (86400.0 / scale, 86400.0 / scale)
    numeric = axis([1, 2], {"units": "days since 2000-01-01"}, datetime_unit=unit)
    assert (numeric.units, numeric.scale, numeric.step) == ("day", 1.0, 1.0)


@pytest.mark.parametrize("unit", ["M", "Y", "min", "day", "", None, 1, ["s"], "S"])
def test_other_datetime_units_are_refused(unit):
    with pytest.raises(XgradError, match=r"datetime_unit=.*'ns', 'm', 'h', 'D', 'W'"):
        time_axis(np.arange(5).astype("M8[s]"), datetime_unit=unit)


@pytest.mark.parametrize(
    "calendar", ["standard", "proleptic_gregorian", "noleap", "all_leap", "360_day", "julian"]
)
def test_months_of_every_calendar(calendar):
    values = np.array([cftime.datetime(2000, month, 1, calendar=calendar) for month in range(1, 13)])
    days = {"360_day": [30] * 11, "noleap": [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30]}.get(
        calendar, [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30]
    )
    found = time_axis(values)
    assert offsets(found, 1)[0].tolist() == [86400.0 * length for length in days]
    assert (found.step is None) == (calendar != "360_day")


@pytest.mark.parametrize(
    ("units", "word"),
    [
        ("days since 1850-01-01", "day"),
        ("Hours Since 1900-01-01 00:00:00", "h"),
        ("seconds since 1970-01-01", "s"),
        ("minutes since 2000-01-01", "min"),
        ("msec since 2000-01-01", "ms"),
        ("weeks since 2000-01-01", "week"),
        ("common_years since 2000-01-01", "common_years"),
        ("days", "days"),
        ("months", "months"),
        ("since", "since"),
    ],
)
def test_the_leading_unit_of_numeric_time(units, word):
    found = axis([0.5, 1.0, 3.0], {"units": units})
    assert (found.units, found.scale) == (word, 1.0)
    assert found.time is ("ince " in units)


@pytest.mark.parametrize(
    "units", ["months since 2000-01-01", "Years since 1-1-1", "month since 1900", "yr since 0"]
)
def test_calendar_units_are_refused(units):
    message = refusal([0, 1, 2], {"units": units})
    assert repr(units) in message
    assert "decode" in message
    assert "spacing" in message


def test_packed_dates_are_refused():
    assert "packed" in refusal([20010130.5, 20010131.5, 20010201.5], {"units": "day as %Y%m%d.%f"})


def test_mixed_calendars_and_missing_dates_are_refused():
    values = np.array(
        [cftime.DatetimeNoLeap(2000, 1, 1), cftime.DatetimeNoLeap(2000, 1, 2), None], dtype=object
    )
    with pytest.raises(CoordinateError, match="None at index 2"):
        axis_from_spacing("t", 3, values)
    values[2] = cftime.Datetime360Day(2000, 1, 3)
    with pytest.raises(CoordinateError, match=r"index 2.*calendar 'noleap'"):
        axis_from_spacing("t", 3, values)


# --- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], ["size 0"]),
        ([1.0], ["size 1", "2 points"]),
        ([0.0, 1.0, 1.0, 2.0], ["duplicate", "1.0 at index 2", "drop_duplicates('x')"]),
        ([0.0, 1.0, 3.0, 2.0, 4.0], ["2.0 at index 3", "follows 3.0", "sortby('x')"]),
        ([0.0, -1.0, 1.0, 2.0], ["-1.0 at index 1"]),
        ([5.0, 4.0, 4.5, 3.0], ["4.5 at index 2"]),
        ([0.0, 1.0, np.nan, 3.0], ["nan at index 2"]),
        ([0.0, 1.0, np.inf], ["inf at index 2"]),
        ([-np.inf, 1.0, 2.0], ["-inf at index 0"]),
        (np.array(["2000-01-01", "NaT", "2000-01-03"], dtype="M8[ns]"), ["'NaT' at index 1"]),
        (np.array([1, "NaT", 3], dtype="m8[s]"), ["'NaT' at index 1"]),
        (
            np.array(["2000-01-02", "2000-01-01", "2000-01-03"], dtype="M8[s]"),
            ["'2000-01-01T00:00:00' at index 1"],
        ),
        (np.array([3, 2, 2, 1], dtype="u1"), ["2 at index 2"]),
        ([False, True], ["boolean", "False"]),
        ([1j, 2j], ["complex"]),
        (["a\x1b[31m", "b"], ["strings", r"'a\x1b[31m'"]),
        (np.array([b"a", b"b"]), ["bytes"]),
        (np.array([1, "b", None], dtype=object), ["objects", "first value 1"]),
        ([-1.7e308, 0.0, 1.7e308], ["float64", "rescale"]),
        (pd.interval_range(0, 3), ["objects"]),
    ],
)
def test_refused_coordinates(values, words):
    message = refusal(values)
    assert message.startswith("coordinate 'x'")
    for word in words:
        assert word in message
    assert "\x1b" not in message


def test_names_are_escaped():
    evil = "x\x1b[2J\u202e"
    with pytest.raises(CoordinateError) as caught:
        axis_from_coordinate(field([1.0, 1.0], name=evil), evil)
    assert str(caught.value).isprintable()


def test_refused_shapes_and_names():
    data = xr.Dataset(
        {"f": (("y", "x"), np.zeros((2, 3))), "g": ("x", np.zeros(3))},
        coords={"lat": (("y", "x"), np.zeros((2, 3))), "height": 2.0, "longitude": ("x", [0.0, 1.0, 2.0])},
    )
    for obj in (data, data["f"]):
        with pytest.raises(CoordinateError, match=r"'lat' lies on the dimensions \('y', 'x'\)"):
            axis_from_coordinate(obj, "lat")
        with pytest.raises(CoordinateError, match="'height' is a scalar"):
            axis_from_coordinate(obj, "height")
        with pytest.raises(CoordinateError, match=r"dimension 'x' has no coordinate.*spacing="):
            axis_from_coordinate(obj, "x")
        with pytest.raises(CoordinateError, match="did you mean 'longitude'"):
            axis_from_coordinate(obj, "longitud")
        with pytest.raises(CoordinateError, match="there are "):
            axis_from_coordinate(obj, 17)
    with pytest.raises(CoordinateError, match="set_coords"):
        axis_from_coordinate(data, "g")


@pytest.mark.parametrize("name", ["p", "a", "b"])
def test_multiindex_is_refused(name):
    index = pd.MultiIndex.from_product([[0, 1], [0.0, 1.0]], names=["a", "b"])
    obj = xr.DataArray(np.zeros(4), coords=xr.Coordinates.from_pandas_multiindex(index, "p"), dims="p")
    with pytest.raises(CoordinateError, match=r"MultiIndex.*unstack\('p'\)"):
        axis_from_coordinate(obj, name)


def test_another_coordinate_along_a_dimension():
    data = xr.DataArray(np.zeros(3), dims="z", coords={"z": [1, 2, 3], "depth": ("z", [0.0, 5.0, 20.0])})
    data["depth"].attrs["units"] = "m"
    for obj in (data, data.to_dataset(name="f"), data.chunk(z=1).assign_coords(depth=data.depth.chunk(z=1))):
        found = axis_from_coordinate(obj, "depth")
        assert (found.name, found.dim, found.units) == ("depth", "z", "m")
        assert found.points[0].tolist() == [0.0, 5.0, 20.0]
    bad = data.assign_coords(depth=("z", [0.0, 5.0, 5.0]))
    with pytest.raises(CoordinateError, match="coordinate 'depth' of dimension 'z' has a duplicate"):
        axis_from_coordinate(bad, "depth")


def test_the_data_are_not_read():
    class Explosive(xr.backends.BackendArray):
        shape, dtype = (3,), np.dtype(float)

        def __getitem__(self, key):
            raise AssertionError("data were read")

    lazy = xr.core.indexing.LazilyIndexedArray(Explosive())
    data = xr.DataArray(xr.Variable("x", lazy), coords={"x": [0.0, 1.0, 2.0]})
    assert axis_from_coordinate(data, "x").step == 1.0


# --- longitudes -------------------------------------------------------------------------------------------

rng = np.random.default_rng(4)
h = 2.5
full = np.arange(144) * h
LONGITUDES = {
    "0 to 360": (full, "ring"),
    "-180 to 177.5": (full - 180, "ring"),
    "float32, 1/12": ((np.arange(4320) / 12).astype("f4"), "ring"),
    "float32, 1/100": ((np.arange(36000) / 100).astype("f4"), "ring"),
    "descending": (full[::-1], "ring"),
    "jitter of 10 %": (full + rng.uniform(-0.05, 0.05, 144) * h, "ring"),
    "three decimals": (np.round(np.arange(512) * 360 / 512, 3), "ring"),
    "two decimals": (np.round(np.arange(1024) * 360 / 1024, 2), "ring"),
    "one column missing": (full[:-1], "regional"),
    "two columns missing": (full[:-2], "regional"),
    "regional": (full[20:60], "regional"),
    "duplicate": (np.append(full, 360.0), "duplicate"),
    "float32 duplicate": ((np.arange(-1800, 1801) / 10).astype("f4"), "duplicate"),
    "integers": (np.arange(0, 360, 5), "ring"),
    "descending with duplicate": (np.arange(180, -181, -5), "duplicate"),
    "jump": (np.roll(full, 70), "ring"),
    "overlap": (np.arange(0, 370, 5), "regional"),
    "four columns missing": (full[:-4], "regional"),
    "half a degree, cell centres": (np.arange(0.25, 360, 0.5), "ring"),
    "arange in float64": (np.arange(-179.95, 180, 0.1), "ring"),
    "pairs": (np.array([0.0, 180.0]), "regional"),
    "jitter, one column missing": ((full + rng.uniform(-0.05, 0.05, 144) * h)[:-1], "regional"),
    "gap of 1.02 steps": (np.arange(144) * 2.4996, "regional"),
    "gap of 0.98 steps": (np.arange(144) * 2.5003, "regional"),
    "gap of 1.005 steps": (np.arange(144) * 2.49991, "ring"),
    "a section through Greenwich": (
        np.array([0.5, 325.5, 330.5, 335.5, 340.5, 345.5, 350.5, 355.5]),
        "regional",
    ),
}


@pytest.mark.parametrize("name", LONGITUDES)
def test_the_seam_gap_rule(name):
    values, kind = LONGITUDES[name]
    for stored, descending in ((values, False), (values[::-1], True)):
        found = axis(stored, EAST)
        assert found.ring is (kind != "regional")
        assert found.overlap == (kind == "duplicate")
        assert found.size == values.size
        assert found.points.shape[1] == values.size - (kind == "duplicate")
        assert found.boundary == ((Wrap(360.0),) * 2 if found.ring else (Open(), Open()))
        assert ("not periodic" in " ".join(found.notes)) is (kind == "regional")
        same(found, axis(stored[::-1], EAST))
        assert found.descending is (descending ^ ("descending" in name))


@pytest.mark.parametrize(
    "name", ["0 to 360", "-180 to 177.5", "descending", "jump", "integers", "arange in float64"]
)
def test_uniform_rings(name):
    values, _ = LONGITUDES[name]
    assert axis(values, EAST).step == 360.0 / values.size


def rings32(cells):
    index = np.arange(cells, dtype=np.float32)
    step = np.float32(360) / np.float32(cells)
    exact = np.arange(cells) * 360 / cells
    yield "cast", exact.astype(np.float32)
    yield "cast, centres from -180", (exact + 180 / cells - 180).astype(np.float32)
    yield "cast, in float64", exact.astype(np.float32).astype(np.float64)
    yield "times", index * step
    yield "divided", index / np.float32(cells / 360)
    yield "from -180", np.float32(-180) + index * step
    yield "centres from -180", np.float32(-180) + (index + np.float32(0.5)) * step
    yield "linspace", np.linspace(-180, 180 - 360 / cells, cells, dtype=np.float32)
    yield "arange", np.arange(0, 360, 360 / cells, dtype=np.float32)[:cells]


@pytest.mark.parametrize("per_degree", [12, 50, 100])
def test_float32_rings(per_degree):
    cells = 360 * per_degree
    for name, values in rings32(cells):
        for stored in (values, values[::-1]):
            found = axis(stored, EAST)
            assert found.ring, name
            assert found.step == pytest.approx(1 / per_degree, rel=1e-7), name
            assert "snapped to uniform (float32 coordinate)" in found.notes


def test_a_ring_with_its_own_spacings():
    values, _ = LONGITUDES["two decimals"]
    found = axis(values, EAST)
    assert found.step is None
    assert found.spacing == pytest.approx((0.35, 0.36))
    assert "gap 0.35 at the seam" in found.notes[0]


def test_radians():
    values = np.arange(72) * (math.tau / 72)
    attrs = {"units": "radian", "standard_name": "longitude"}
    for stored in (values, values.astype("f4"), np.roll(values, 9), values[::-1]):
        found = axis(stored, attrs)
        assert found.boundary == (Wrap(math.tau),) * 2
        assert found.step == pytest.approx(math.tau / 72, rel=1e-15)
    assert "2 pi jump unwrapped" in axis(np.roll(values, 9), attrs).notes
    assert axis(np.append(values, math.tau), attrs).overlap


@pytest.mark.parametrize(
    ("values", "positions"),
    [
        ([300, 330, 0, 30], [300, 330, 360, 390]),
        ([30, 0, 330, 300], [300, 330, 360, 390]),
        (np.array([340, 350, 0, 10], dtype="u2"), [340, 350, 360, 370]),
        ([170.0, 175.0, -180.0, -175.0], [170, 175, 180, 185]),
        ([350.0, 0.0, 10.0], [350, 360, 370]),
        ([10.0, 0.0, 350.0], [350, 360, 370]),
        (np.array([300, 330, 0, 30], dtype="f4"), [300, 330, 360, 390]),
    ],
)
def test_one_jump_is_unwrapped(values, positions):
    for periodic in ("auto", False):
        found = axis(values, EAST, periodic=periodic)
        assert found.points[0].tolist() == positions
        assert found.notes[0] == "360-degree jump unwrapped"
        assert not found.ring
    assert "neither ascends nor descends" in refusal(values)


@pytest.mark.parametrize(
    "values",
    [
        [300, 330, 0, 30, 20],
        [300, 330, 0, 30, 0],
        [300, 0, 300, 0],
        [0.0, 180.0, 10.0],
        [0, 200, 0],
        [300, 330, 0, 30, 310],
        [10, 20, 15, 30],
        [0, 90, 180, -180, -90],
        [0, 500, 10, 20],
    ],
)
def test_any_other_disorder_is_refused(values):
    message = refusal(values, EAST)
    assert "at index" in message
    assert "sortby" in message or "duplicate" in message


@given(st.lists(st.integers(0, 360 * 64 - 1), min_size=4, max_size=40, unique=True), st.data(), st.booleans())
def test_a_jump_of_a_turn_changes_nothing(counts, data, descending):
    # Multiples of 1/64 degree: adding a turn to them is exact.
    values = np.array(sorted(counts)) / 64
    cut = data.draw(st.integers(1, values.size - 1))
    assume(values[cut] - values[cut - 1] < 180.0)
    jumped = np.concatenate([values[:cut], values[cut:] - 360.0])
    plain, found = axis(values, EAST), axis(jumped[::-1] if descending else jumped, EAST)
    assert bits(offsets(plain, 3)) == bits(offsets(found, 3))
    assert (plain.step, plain.boundary, found.descending) == (found.step, found.boundary, descending)
    assert found.notes == ("360-degree jump unwrapped", *plain.notes)


@given(
    st.lists(st.floats(-1e3, 1e3, width=32), min_size=2, max_size=30, unique=True),
    st.sampled_from(["f4", "f8"]),
    st.sampled_from([{}, EAST, {"units": "days since 2000-01-01"}]),
)
def test_reversal_mirrors(values, dtype, attrs):
    values = np.array(sorted(values), dtype=dtype)
    ascending, descending = axis(values, attrs), axis(values[::-1], attrs)
    same(ascending, descending)
    assert bits([ascending.points]) == bits([descending.points])
    assert (ascending.descending, descending.descending) == (False, True)


# --- rings that are asked for -----------------------------------------------------------------------------


def test_periodic_false():
    found = axis(full, EAST, periodic=False)
    assert (found.ring, found.step, found.notes) == (False, 2.5, ())


def test_never_automatic_without_metadata():
    for attrs in ({}, {"units": "degrees"}, {"units": "h"}):
        assert not axis(full, attrs).ring


def test_periodic_true_on_a_uniform_axis():
    found = axis(np.arange(10) * 0.1, periodic=True)
    assert found.boundary == (Wrap(10 * found.step),) * 2
    assert found.step == pytest.approx(0.1, rel=1e-15)
    assert found.notes == ("periodic: period 1, n times the step",)
    assert axis(np.arange(10), periodic=np.True_).boundary == (Wrap(10.0),) * 2
    hours = time_axis(np.arange(24).astype("M8[h]").astype("M8[ns]"), periodic=True)
    assert hours.boundary == (Wrap(86400.0),) * 2


def test_periodic_true_elsewhere_needs_the_period():
    assert "give the period" in refusal([0.0, 1.0, 3.0], periodic=True)
    found = axis([0.0, 1.0, 3.0], periodic=4.0)
    assert (found.boundary, found.step, found.spacing) == ((Wrap(4.0),) * 2, None, (1.0, 2.0))


def test_periodic_true_on_a_longitude_is_a_turn():
    found = axis([0.0, 10.0, 30.0, 90.0], EAST, periodic=True)
    assert (found.boundary, found.step, found.spacing) == ((Wrap(360.0),) * 2, None, (10.0, 270.0))
    assert axis(np.append(full, 360.0), EAST, periodic=True).overlap
    assert "must exceed the span" in refusal(np.arange(0, 370, 5), EAST, periodic=True)


def test_a_period():
    uniform = axis(np.arange(8) * 0.25, periodic=2.0)
    assert (uniform.step, uniform.boundary, uniform.overlap) == (0.25, (Wrap(2.0),) * 2, 0)
    repeated = axis(np.linspace(0, 2.0, 9), periodic=2)
    assert (repeated.step, repeated.overlap, repeated.size) == (0.25, 1, 9)
    assert axis(np.arange(8), periodic=10).step is None
    assert axis(np.arange(9), periodic=8).overlap
    assert not axis(np.arange(8000), periodic=8000).overlap
    for period in (1.0, 1.74):
        assert "must exceed the span" in refusal(np.arange(8) * 0.25, periodic=period)


@pytest.mark.parametrize("period", [np.timedelta64(1, "D"), datetime.timedelta(days=1), pd.Timedelta("1D")])
def test_a_period_in_time(period):
    hours = np.datetime64("2000-01-01", "s") + np.arange(24) * np.timedelta64(1, "h")
    for values in (hours, hours.astype("M8[ns]"), as_cftime(hours), hours - hours[0]):
        found = time_axis(values, periodic=period)
        assert (found.boundary, found.step, found.overlap) == ((Wrap(86400.0),) * 2, 3600.0, 0)
    assert time_axis(np.append(hours, hours[0] + np.timedelta64(1, "D")), periodic=period).overlap
    uneven = np.delete(hours, 7)
    assert time_axis(uneven, periodic=period).step is None
    # One second short of a day is no repetition: stamps are never smoothed.
    late = np.append(hours, hours[0] + np.timedelta64(86399, "s"))
    assert not time_axis(late, periodic=period).overlap


@pytest.mark.parametrize(
    ("values", "period", "words"),
    [
        ([0.0, 1.0], np.timedelta64(1, "D"), "a number in its own unit"),
        (np.arange(4).astype("M8[s]"), 10.0, "a duration"),
        (np.arange(4).astype("M8[s]"), np.timedelta64(1, "M"), "fixed length"),
        (np.arange(4).astype("M8[s]"), np.timedelta64("NaT", "s"), "NaT"),
        ([0.0, 1.0], 0.0, "not understood"),
        ([0.0, 1.0], -1, "not understood"),
        ([0.0, 1.0], math.inf, "not understood"),
        ([0.0, 1.0], math.nan, "not understood"),
        ([0.0, 1.0], "yes", "not understood"),
        ([0.0, 1.0], None, "not understood"),
        ([0.0, 1.0], [1.0], "not understood"),
    ],
)
def test_refused_periods(values, period, words):
    with pytest.raises(XgradError, match=words):
        axis(values, periodic=period)


def test_why_a_longitude_is_no_ring_is_said():
    assert axis(np.arange(0, 95, 5), EAST).notes == ("not periodic: regional longitudes, gap 270",)
    assert axis(np.arange(0, 370, 5), EAST).notes == ("not periodic: longitudes span 365, more than a turn",)
    section, _ = LONGITUDES["a section through Greenwich"]
    assert axis(section, EAST).notes == ("not periodic: a spacing of 325 within the longitudes",)


def test_small_rings_say_so():
    assert axis([0, 120, 240], EAST).notes == (
        "periodic: global longitudes, gap 120 at the seam, only 3 points",
    )


# --- spacing= ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [0.1, np.float32(0.1), 2, np.uint8(200), np.array(0.3), 1e-300, np.int64(7)])
def test_a_step(step):
    found = axis_from_spacing("x", 400, step)
    assert (found.step, found.descending, found.units) == (float(step), False, None)
    assert (found.name, found.dim, found.size) == ("x", "x", 400)
    mirrored = axis_from_spacing(
        "x", 400, -step if not np.issubdtype(np.asarray(step).dtype, np.unsignedinteger) else step
    )
    assert mirrored.step == float(step)


def test_a_negative_step_descends():
    found = axis_from_spacing("x", 5, -0.5)
    assert found.descending
    assert found.points[0].tolist() == [-2.0, -1.5, -1.0, -0.5, 0.0]


@pytest.mark.parametrize(
    "step", [0, 0.0, math.nan, math.inf, True, "1", 1j, None, np.timedelta64(0, "s"), np.datetime64(1, "s")]
)
def test_refused_steps(step):
    with pytest.raises(CoordinateError, match="spacing of dimension 'x'"):
        axis_from_spacing("x", 5, step)


@pytest.mark.parametrize("size", [0, 1])
def test_spacing_needs_two_points(size):
    for spacing in (0.5, np.arange(size) * 1.0):
        with pytest.raises(CoordinateError, match=f"size {size}"):
            axis_from_spacing("x", size, spacing)


@pytest.mark.parametrize(
    "step",
    [
        np.timedelta64(500, "ms"),
        datetime.timedelta(milliseconds=500),
        pd.Timedelta("500ms"),
        np.timedelta64(5, "25ms") * 4,
    ],
)
def test_a_duration_is_a_step(step):
    found = axis_from_spacing("t", 5, step, datetime_unit="ms")
    assert (found.step, found.units, found.scale, found.time) == (0.5, "ms", 1e-3, True)
    assert axis_from_spacing("t", 5, -step).descending


def test_pandas_durations_keep_nanoseconds():
    assert axis_from_spacing("t", 5, pd.Timedelta(7, "ns")).step == 7e-9


def test_positions():
    positions = [0.0, 1.0, 3.0]
    data = xr.DataArray(positions, dims="anything", attrs={"units": "km"})
    for spacing, units in (
        (positions, None),
        (tuple(positions), None),
        (data, "km"),
        (data.variable, "km"),
        (data.chunk(), "km"),
    ):
        found = axis_from_spacing("x", 3, spacing)
        assert found.points[0].tolist() == positions
        assert (found.units, found.dim) == (units, "x")
    dates = axis_from_spacing("t", 3, np.array(["2000-01-01", "2000-01-02", "2000-01-04"], dtype="M8[D]"))
    assert (dates.spacing, dates.units) == ((86400.0, 172800.0), "s")
    months = axis_from_spacing(
        "t", 3, np.array(["2000-01", "2000-02", "2000-03"], dtype="M8[M]"), datetime_unit="D"
    )
    assert months.spacing == (29.0, 31.0)
    assert axis_from_spacing("t", 3, pd.date_range("2000-01-01", periods=3, freq="h")).step == 3600.0
    assert axis_from_spacing("x", 144, xr.DataArray(full, dims="x", attrs=EAST)).ring
    assert axis_from_spacing("x", 4, xr.DataArray(90.0, attrs=EAST)).ring


@pytest.mark.parametrize(
    "positions",
    [
        [0.0, 1.0],
        np.zeros((3, 1)),
        [0.0, 0.0, 1.0],
        [0.0, math.nan, 1.0],
        ["a", "b", "c"],
        np.array([1, 2, 3], dtype="m8[M]"),
    ],
)
def test_refused_positions(positions):
    with pytest.raises(CoordinateError, match="spacing of dimension 'x'") as caught:
        axis_from_spacing("x", 3, positions)
    assert "sortby" not in str(caught.value)


def test_masked_positions_are_refused():
    positions = np.ma.masked_array([0.0, 1.0, 3.0], [False, True, False])
    with pytest.raises(CoordinateError, match="masked values"):
        axis_from_spacing("x", 3, positions)
    assert axis_from_spacing("x", 3, np.ma.masked_array([0.0, 1.0, 3.0])).size == 3


def test_times_beyond_64_bits_are_refused():
    with pytest.raises(CoordinateError, match="64-bit"):
        axis_from_spacing("t", 2, np.array([0, 2**60], dtype="M8[D]"))
    with pytest.raises(CoordinateError, match="64 bits"):
        axis_from_spacing("t", 10, np.timedelta64(2**62, "ns"))


class Quantity:
    """What a quantity looks like from outside."""

    def __init__(self, magnitude, units):
        self.magnitude, self.units = magnitude, units


@pytest.mark.parametrize(
    ("units", "kept"),
    [
        ("kilometer", "kilometer"),
        ("dimensionless", "1"),
        ("delta_degree_Celsius", "degree_Celsius"),
        ("meter / second", "meter/second"),
        ("kilometer ** 2", "kilometer**2"),
    ],
)
def test_quantities(units, kept):
    assert axis_from_spacing("x", 3, Quantity(0.5, units)).units == kept
    found = axis_from_spacing("x", 3, Quantity(np.array([0.0, 1.0, 3.0]), units))
    assert (found.units, found.step) == (kept, None)


def test_pint_quantities():
    pint = pytest.importorskip("pint")
    registry = pint.UnitRegistry()
    found = axis_from_spacing("x", 3, np.array([0.0, 1.0, 3.0]) * registry.kilometer)
    assert (found.units, found.spacing) == ("kilometer", (1.0, 2.0))
    data = xr.DataArray(
        np.zeros(3), dims="z", coords={"depth": ("z", np.array([0.0, 1.0, 3.0]) * registry.meter)}
    )
    assert axis_from_coordinate(data, "depth").units == "meter"


# --- real coordinates -------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")  # of the decoders, about the files' own oddities
@pytest.mark.parametrize(
    ("file", "name", "kind", "ring", "descending", "units"),
    [
        ("A1B_north_america.nc", "longitude", "uniform", False, False, "degrees_east"),
        ("A1B_north_america.nc", "latitude", "uniform", False, False, "degrees_north"),
        ("A1B_north_america.nc", "time", "uniform", False, False, "s"),
        ("A1B_north_america.nc", "forecast_period", "uniform", False, False, "hours"),
        ("SOI_Darwin.nc", "time", "stretched", False, False, "s"),
        ("atlantic_profiles.nc", "depth", "stretched", False, False, "m"),
        ("atlantic_profiles.nc", "lon", "stretched", False, False, "degrees"),
        ("eraint_uvz.nc", "longitude", "uniform", True, False, "degrees_east"),
        ("eraint_uvz.nc", "latitude", "uniform", False, True, "degrees_north"),
        ("eraint_uvz.nc", "level", "stretched", False, False, "millibars"),
        ("lcc_tas.nc", "x", "uniform", False, False, "meters"),
        ("rotated_pole.nc", "grid_longitude", "uniform", False, False, "degrees"),
        ("hybrid_height.nc", "level_height", "stretched", False, False, "m"),
        ("tas_CanESM5_gaussian_noleap.nc", "lon", "uniform", True, False, "degrees_east"),
        ("tas_CanESM5_gaussian_noleap.nc", "lat", "stretched", False, False, "degrees_north"),
        ("tas_CanESM5_gaussian_noleap.nc", "time", "stretched", False, False, "s"),
        ("tmerc_tmean.nc", "y", "uniform", False, True, "m"),
        ("uvt_T42.nc", "lon", "uniform", True, False, "degrees_east"),
        ("uvt_T42.nc", "lev", "stretched", False, True, "hPa"),
        ("wrf_input.nc", "XTIME", "uniform", False, False, "s"),
    ],
)
def test_real_coordinates(data_path, file, name, kind, ring, descending, units):
    engine = "scipy" if file == "uvt_T42.nc" else "netcdf4"
    with xr.open_dataset(data_path(file), engine=engine, decode_timedelta=False) as data:
        found = axis_from_coordinate(data, name)
        assert (found.kind, found.ring, found.descending, found.units) == (kind, ring, descending, units)
        if ring:
            assert found.step == 360.0 / data.sizes[found.dim]
        backwards = axis_from_coordinate(data.isel({found.dim: slice(None, None, -1)}), name)
        same(found, backwards)


def test_two_dimensional_longitudes_are_refused(data_path):
    with (
        xr.open_dataset(data_path("orca2_votemper.nc")) as data,
        pytest.raises(CoordinateError, match="'nav_lon' lies on"),
    ):
        axis_from_coordinate(data, "nav_lon")


@pytest.mark.parametrize("origin", [2.0**52, 2.0**52 + 2.0**51])
def test_steps_of_a_few_ulp_are_not_taken_as_uniform(origin):
    """Every position is exact here; only a deviation that is small against the step may be rounding."""
    x = origin + np.array([0.0, 1, 3, 4, 7, 8, 9, 11, 12])
    axis = axis_from_spacing("x", 9, x)
    assert axis.step is None
    assert np.array_equal(axis.points[0] - axis.points[0, 0], x - origin)
    assert axis_from_spacing("x", 9, origin + np.arange(9.0)).step == 1.0
