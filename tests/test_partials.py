"""compute and derivative, from labels to labels: values, dtypes, coordinates, attributes, encodings."""

from __future__ import annotations

import copy
from fractions import Fraction
from typing import Any

import array_api_strict as xp
import cftime
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from strategies import noise, same_bits, with_gaps

import xgrad
from xgrad import CoordinateError, XgradError

X = np.array([0.0, 1, 3, 4, 7, 8, 9])
Y = np.arange(6.0)
RNG = np.random.default_rng(20240229)


def plane(dtype: Any = "f8", gaps: float = 0.0) -> xr.DataArray:
    values = with_gaps(RNG, noise(RNG, (6, 7), dtype), gaps)
    coords = {"y": ("y", Y, {"units": "m"}), "x": ("x", X, {"units": "s"})}
    return xr.DataArray(values, dims=("y", "x"), coords=coords, name="f", attrs={"units": "K"})


# -- names and dims -----------------------------------------------------------------------------------------


def test_one_variable_a_name_in_that_order() -> None:
    f = plane()
    assert list(f.grad.compute()) == ["df_dy", "df_dx"]
    for dims in (
        ["x", "y"],
        ("x", "y"),
        iter("xy"),
        (d for d in "xy"),
        np.array(["x", "y"]),
        pd.Index(["x", "y"]),
    ):
        assert list(f.grad.compute(dims)) == ["df_dx", "df_dy"]
    assert list(f.grad.compute({"x", "y"})) == ["df_dy", "df_dx"]  # a set has no order: that of the data
    assert list(f.grad.compute("x")) == ["df_dx"]
    assert list(f.grad.compute(["x"], n=2)) == ["d2f_dx2"]
    assert list(f.rename(None).grad.compute("x")) == ["df_dx"]
    assert list(f.grad.compute(["x", "y"], names={"y": "slope"})) == ["df_dx", "slope"]


@pytest.mark.parametrize("name", [("a", 1), 7, frozenset("ab"), 2.5])
def test_names_may_be_any_hashable(name: Any) -> None:
    coords = xr.Coordinates({name: xr.Variable((name,), X)}, indexes={})  # xarray makes indexes of str only
    f = xr.DataArray(xr.Variable((name,), X**2), coords=coords, name=("f", 2))
    for dims in (name, [name], None):
        result = xgrad.compute(f, dims)
        np.testing.assert_allclose(result[next(iter(result))], 2 * X, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(xgrad.derivative(f, {name: 2}), 2.0, rtol=1e-12)
    ring = xgrad.compute(f, name, spacing={name: 1.0}, periodic=[name])
    assert "periodic" in next(iter(ring.values())).comment


@pytest.mark.parametrize(
    ("dims", "words"),
    [
        ({"x": 2}, "mapping"),
        ([["x"]], "give names, not a list"),
        ([], "empty"),
        (["x", "y", "x"], "twice"),
        (plane().x, "give names, not a DataArray"),
        (np.array(1.5), "give names"),
    ],
)
def test_dims_that_are_no_names_are_refused(dims: Any, words: str) -> None:
    for obj in (plane(), plane().to_dataset(), xr.DataTree.from_dict({"/a": plane().to_dataset()})):
        with pytest.raises(XgradError, match=words):
            xgrad.compute(obj, dims)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n": 0}, "n=0 is not available.*1, 2, 3, 4"),
        ({"n": 5}, "n=5"),
        ({"n": 1.0}, "n=1.0"),
        ({"n": True}, "n=True"),
        ({"n": np.array([1, 2])}, "n=array"),
        ({"order": 3}, "order=3 is not available.*2, 4, 6, 8"),
        ({"order": 2.0}, "order=2.0"),
        ({"order": "2"}, "order='2'"),
        ({"edge_order": 0}, "edge_order=0"),
        ({"edge_order": 9}, "edge_order=9"),
        ({"skipna": None}, "skipna=None"),
        ({"skipna": "no"}, "skipna='no'"),
        ({"periodic": None}, "periodic=None"),
        ({"periodic": 360}, "periodic=360.*mapping"),
        ({"periodic": [["x"]]}, r"periodic=\[\['x'\]\]"),
        ({"periodic": "y"}, "'y'"),
        ({"periodic": np.array([1.0, 2.0])}, "periodic="),
        ({"periodic": {"q": 1.0}}, "'q'"),
        ({"periodic": {"x": "long"}}, "'long'"),
        ({"periodic": {"x": -1.0}}, "-1.0"),
        ({"periodic": {"x": np.nan}}, "nan"),
        ({"periodic": {"x": 5.0}}, "exceed the span"),
        ({"periodic": {"x": np.timedelta64(1, "D")}}, "no period"),
        ({"spacing": 0.5}, "spacing=0.5.*mapping"),
        ({"spacing": {"y": 0.5}}, "'y'"),
        ({"spacing": {"z": 0.5}}, "'z'"),
        ({"spacing": {"x": 0}}, "'x'.*not 0"),
        ({"spacing": {"x": np.inf}}, "'x'.*inf"),
        ({"spacing": {"x": "1"}}, "'x'"),
        ({"spacing": {"x": None}}, "'x'"),
        ({"spacing": {"x": X[:3]}}, r"'x'.*7 positions.*\(3,\)"),
        ({"spacing": {"x": np.ones((7, 1))}}, r"'x'.*\(7, 1\)"),
        ({"spacing": {"x": X[[0, 2, 1, 3, 4, 5, 6]]}}, "'x'.*index 2"),
        ({"datetime_unit": "month"}, "'month'"),
        ({"datetime_unit": "M"}, "'M'"),
        ({"datetime_unit": 1}, "datetime_unit=1"),
        ({"names": "g"}, "names='g'.*mapping"),
        ({"names": {"y": "g"}}, "'y'"),
        ({"names": {"x": ["g"]}}, "no name"),
        ({"names": {"x": None}}, "no name"),
    ],
)
def test_options_of_no_sense_are_refused(options: dict[str, Any], words: str) -> None:
    for obj in (plane(), plane().to_dataset()):
        with pytest.raises(XgradError, match=words):
            xgrad.compute(obj, "x", **options)
        with pytest.raises(XgradError, match=words):
            xgrad.plan(obj, "x", **options)


def test_coordinates_that_are_no_index_serve_by_name() -> None:
    depth = X**2 + 1
    f = plane().assign_coords(depth=("x", depth, {"units": "m"}), x=Y[0] + np.arange(7.0))
    f = f.copy(data=np.broadcast_to(3 * depth, f.shape))
    result = xgrad.compute(f, "depth").df_ddepth
    np.testing.assert_allclose(result, 3.0, rtol=1e-13)
    assert result.units == "K m-1"
    np.testing.assert_allclose(xgrad.derivative(f, depth=1), 3.0, rtol=1e-13)
    np.testing.assert_allclose(xgrad.compute(f.to_dataset(), "depth").df_ddepth, 3.0, rtol=1e-13)
    no_index = f.drop_indexes("x")
    xr.testing.assert_equal(xgrad.compute(no_index, "x"), xgrad.compute(f, "x").drop_indexes("x"))


@pytest.mark.parametrize("chunks", [None, 2])
def test_two_coordinates_of_one_dimension(chunks: int | None) -> None:
    f = plane().assign_coords(depth=("x", X**2 + 1, {"units": "m"}))
    f = f if chunks is None else f.chunk(x=chunks)
    both = xgrad.compute(f, ["x", "depth", "y"]).compute()  # in one graph
    assert list(both) == ["df_dx", "df_ddepth", "df_dy"]
    for name, key in (("df_dx", "x"), ("df_ddepth", "depth"), ("df_dy", "y")):
        assert same_bits(both[name].values, xgrad.compute(plane_like(f), key)[name].values)
    with pytest.raises(XgradError, match="same dimension"):
        xgrad.derivative(f, x=1, depth=1)


def plane_like(f: xr.DataArray) -> xr.DataArray:
    return f.copy(data=np.asarray(f))


def test_without_dims_every_usable_dimension() -> None:
    f = plane().expand_dims(one=[1.0], member=list("ab"))
    f = f.expand_dims(index=3)
    result = xgrad.compute(f)
    assert list(result) == ["df_dy", "df_dx"]
    left_out = dict(xgrad.plan(f).fields[0].left_out)
    assert "size 1" in left_out["one"]
    assert "dtype object" in left_out["member"]
    assert "no coordinate" in left_out["index"]
    # what cannot be left out in silence is refused, with the way out
    short = plane().isel(x=[0, 1])
    with pytest.raises(CoordinateError, match=r"'x' has 2 points.*name the dimensions"):
        xgrad.compute(short)
    assert list(xgrad.compute(short, "y")) == ["df_dy"]
    with pytest.raises(CoordinateError, match="name the dimensions"):
        xgrad.compute(plane().assign_coords(x=[0.0, 1, 1, 2, 3, 4, 5]))
    depth = plane().drop_vars("x").assign_coords(depth=("x", X))
    assert "'depth'" in dict(xgrad.plan(depth).fields[0].left_out)["x"]


def test_scalars_and_empty_arrays() -> None:
    with pytest.raises(CoordinateError, match="there are no dimensions"):
        xgrad.compute(xr.DataArray(3.0))
    empty = plane().isel(x=slice(0, 0))
    result = xgrad.compute(empty, "y").df_dy
    assert result.shape == (6, 0)
    assert result.dtype == np.float64
    lazy = xgrad.compute(empty.chunk(), "y").df_dy
    assert lazy.compute().shape == (6, 0)


# -- values --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("f4", "f4"),
        ("f8", "f8"),
        ("f2", "f2"),
        ("longdouble", "longdouble"),
        ("c8", "c8"),
        ("c16", "c16"),
        ("clongdouble", "clongdouble"),
        *((kind, "f8") for kind in ("?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")),
        *((kind, "f8") for kind in ("M8[s]", "M8[ns]", "m8[ms]", "m8[us]")),
        *((">" + kind, kind) for kind in ("f4", "f8", "c16")),
        *((">" + kind, "f8") for kind in ("i2", "i8", "u4")),
    ],
)
@pytest.mark.parametrize("chunks", [None, 3])
def test_dtypes(dtype: str, expected: str, chunks: int | None) -> None:
    values = np.array([[0, 1, 9, 16, 49, 64, 81]] * 6)
    values = (values % 2 if dtype == "?" else values).astype(dtype)
    f = plane().copy(data=values)
    f = f if chunks is None else f.chunk(chunks)
    results = [*xgrad.compute(f).values(), xgrad.derivative(f, x=1, y=1), xgrad.derivative(f, x=2)]
    for result in results:
        assert result.dtype == np.dtype(expected)
        assert result.dtype.isnative
        computed = result.compute()
        assert computed.dtype == np.dtype(expected)
        assert type(computed.data) is np.ndarray
    if dtype != "?":
        tick = {"m8[ms]": 1e-3, "m8[us]": 1e-6, "M8[ns]": 1e-9}.get(dtype, 1.0)
        expected_values = np.tile(2 * X * tick, (6, 1))  # of x^2; float16 has three digits
        np.testing.assert_allclose(results[1].values, expected_values, rtol=1e-2, atol=1e-12)


@pytest.mark.parametrize("orders", [{"x": 1}, {"y": 3}, {"x": 1, "y": 1}, {"x": 2, "y": 2}])
def test_float32_is_the_rounded_float64_result(orders: dict[str, int]) -> None:
    f = plane("f4", gaps=0.1)
    double = xgrad.derivative(f.astype("f8"), orders)
    assert same_bits(xgrad.derivative(f, orders).values, double.values.astype("f4"))


@given(
    st.dictionaries(st.sampled_from("xyz"), st.integers(1, 3), min_size=2),
    st.sampled_from(["f4", "f8", "c16", "i4"]),
    st.tuples(*(st.sampled_from([1, 2, 3, 5, -1]) for _ in "xyz")),
    st.integers(0, 2**32),
)
def test_mixed_partials_of_dask_arrays_are_the_eager_ones(
    orders: dict[str, int], dtype: str, chunks: tuple[int, ...], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values = with_gaps(rng, noise(rng, (5, 6, 7), dtype), 0.05)
    f = xr.DataArray(values, dims=list("zyx"), coords={"z": Y[:5], "y": Y, "x": X}, name="f")
    eager = xgrad.derivative(f, orders)
    lazy = xgrad.derivative(f.chunk(dict(zip("xyz", chunks, strict=True))), orders)
    assert isinstance(lazy.data, da.Array)
    assert lazy.name == eager.name
    assert same_bits(lazy.values, eager.values)


def test_mixed_partials_are_products_of_one_dimensional_ones() -> None:
    f = plane()
    mixed = xgrad.derivative(f, x=2, y=1)
    assert mixed.name == "d3f_dx2dy"
    assert mixed.units == "K s-2 m-1"
    assert "mixed" in mixed.long_name
    # applied in the order of the data's dims, whatever the order of the arguments
    by_hand = xgrad.derivative(xgrad.derivative(f, y=1, name="g"), x=2)
    assert same_bits(mixed.values, by_hand.values)
    other = xgrad.derivative(f, y=1, x=2)
    assert other.name == "d3f_dydx2"
    assert same_bits(mixed.values, other.values)


@pytest.mark.parametrize("order", [2, 4])
def test_the_curl_of_a_gradient_vanishes_but_for_rounding(order: int) -> None:
    f = plane()
    gradient = xgrad.compute(f, order=order)
    crossed = xgrad.compute(gradient, ["x", "y"], order=order)
    curl = crossed.ddf_dy_dx - crossed.ddf_dx_dy
    scale = float(abs(crossed.ddf_dy_dx).max())
    assert float(abs(curl).max()) <= 1e-13 * scale
    assert scale > 0


def test_dimensions_called_like_options_need_the_mapping() -> None:
    names = ["order", "name", "skipna", "orders", "array"]
    for name in names:
        f = xr.DataArray(X**2, dims=name, coords={name: X}, name="f")
        np.testing.assert_allclose(xgrad.derivative(f, {name: 1}), 2 * X, atol=1e-13)
        np.testing.assert_allclose(xgrad.compute(f, name)[f"df_d{name}"], 2 * X, atol=1e-13)
    geometry = xr.DataArray(X**2, dims="geometry", coords={"geometry": X}, name="f")
    np.testing.assert_allclose(xgrad.derivative(geometry, geometry=1), 2 * X, atol=1e-13)


@pytest.mark.parametrize(
    ("orders", "words"),
    [
        ({}, "no derivative was asked for"),
        ("x", "mapping"),
        (1, "mapping"),
        ({"x": 0}, "'x'.*n=0"),
        ({"x": 1.0}, "'x'.*n=1.0"),
        ({"x": True}, "'x'.*True"),
        ({"q": 1}, "'q'"),
        ({"x": 1, "y": 5}, "'y'.*n=5"),
    ],
)
def test_orders_of_no_sense_are_refused(orders: Any, words: str) -> None:
    with pytest.raises(XgradError, match=words):
        xgrad.derivative(plane(), orders)
    with pytest.raises(XgradError, match="no derivative was asked for"):
        xgrad.derivative(plane())
    with pytest.raises(XgradError, match="twice"):
        xgrad.derivative(plane(), {"x": 1}, y=1)
    with pytest.raises(XgradError, match="no name"):
        xgrad.derivative(plane(), x=1, name=[1])


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128", "int16", "bool"])
def test_arrays_of_the_array_api_stay_what_they_are(dtype: str) -> None:
    f = plane().copy(data=noise(RNG, (6, 7), dtype))
    other = f.copy(data=xp.asarray(f.data))
    for result, expected in (
        *zip(xgrad.compute(other).values(), xgrad.compute(f).values(), strict=True),
        (xgrad.derivative(other, x=1, y=2), xgrad.derivative(f, x=1, y=2)),
        (
            xgrad.compute(other.to_dataset(), "y").df_dy if dtype != "bool" else None,
            xgrad.compute(f, "y").df_dy,
        ),
    ):
        if result is not None:
            assert type(result.data) is type(other.data)
            values = np.asarray(result.data)
            assert values.dtype == expected.dtype
            # the same weights, summed in another order
            np.testing.assert_allclose(
                values, expected, rtol=1e-5 if values.itemsize in (4, 8) else 1e-12, atol=0
            )
            assert result.attrs == expected.attrs
    assert "df_dx" in repr(other.grad)


# -- time ----------------------------------------------------------------------------------------------------


def test_storage_of_time_does_not_matter() -> None:
    days = np.array([0, 1, 2, 4, 5, 9, 12])
    f = plane().rename(x="time")
    dates = np.datetime64("2001-02-25", "s") + days * np.timedelta64(86400, "s")
    axes = [dates.astype(f"M8[{unit}]") for unit in ("s", "ms", "us", "ns")]
    axes += [np.array(days * 86400, "m8[s]").astype(f"m8[{unit}]") for unit in ("s", "ms", "us", "ns")]
    axes += [
        xr.date_range("2001-02-25", periods=13, calendar=calendar, use_cftime=True)[days]
        for calendar in ("standard", "proleptic_gregorian", "julian")
    ]
    axes.append(np.array([cftime.Datetime360Day(2001, 2, 15 + int(day)) for day in days]))
    results = [xgrad.compute(f.assign_coords(time=axis), "time").df_dtime for axis in axes]
    expected = xgrad.compute(f.assign_coords(time=days * 86400.0), "time").df_dtime
    for result in results:
        assert same_bits(result.values, expected.values)
        assert result.units == "K s-1"


@pytest.mark.parametrize(
    ("unit", "word", "seconds"),
    [
        ("s", "s", 1),
        ("ms", "ms", Fraction(1, 1000)),
        ("us", "us", Fraction(1, 10**6)),
        ("ns", "ns", Fraction(1, 10**9)),
        ("m", "min", 60),
        ("h", "h", 3600),
        ("D", "day", 86400),
        ("W", "week", 604800),
    ],
)
@pytest.mark.parametrize("n", [1, 2])
def test_datetime_unit(unit: str, word: str, seconds: Any, n: int) -> None:
    time = pd.date_range("2000-01-01", periods=7, freq="D")
    f = plane().rename(x="time").assign_coords(time=time)
    result = xgrad.derivative(f, time=n, datetime_unit=unit)
    base = xgrad.derivative(f, time=n)
    assert result.units == f"K {word}-{n}"
    # weights and sums are rounded at other places: a few units in the last one of the terms
    np.testing.assert_allclose(result, base * float(seconds**n), rtol=1e-13)
    assert xgrad.derivative(f, y=n, datetime_unit=unit).units == f"K m-{n}"


def test_sampling_in_100_ns_steps() -> None:
    rng = np.random.default_rng(1)
    steps = np.cumsum(rng.integers(1, 5, 200)) * 100
    time = np.datetime64("2024-05-01T12:34:56.789012300", "ns") + steps.astype("m8[ns]")
    f = xr.DataArray(3.0 * steps * 1e-9, dims="time", coords={"time": time}, name="f")
    result = xgrad.compute(f, "time").df_dtime
    np.testing.assert_allclose(result, 3.0, rtol=1e-7)


def test_half_a_century_of_milliseconds_is_stored_in_any_unit_and_order() -> None:
    rng = np.random.default_rng(2)
    stamps = np.sort(rng.choice(52 * 365 * 86_400_000, 300, replace=False)).astype("m8[ms]")
    time = np.datetime64("1970-01-01", "ms") + stamps
    f = xr.DataArray(noise(rng, (300,)), dims="time", name="f")
    expected = xgrad.compute(f.assign_coords(time=time), "time").df_dtime.values
    for unit in ("ms", "us", "ns"):
        stored = f.assign_coords(time=time.astype(f"M8[{unit}]"))
        assert same_bits(xgrad.compute(stored, "time").df_dtime.values, expected)
        back = xgrad.compute(stored[::-1], "time").df_dtime.values
        assert same_bits(back[::-1], expected)


@pytest.mark.parametrize("made", ["cast", "multiplied"])
@pytest.mark.parametrize("parts", [12, 50, 100])
def test_float32_longitude_rings(parts: int, made: str) -> None:
    size = 360 * parts
    exact = np.arange(size) / parts
    product = np.arange(size, dtype="f4") * np.float32(1 / parts)  # in float32 arithmetic
    lon = exact.astype("f4") if made == "cast" else product
    radians = np.deg2rad(exact)
    f = xr.DataArray(
        np.sin(3 * radians), dims="lon", coords={"lon": ("lon", lon, {"units": "degrees_east"})}, name="f"
    )
    result = xgrad.compute(f, "lon", order=4).df_dlon
    expected = np.deg2rad(3) * np.cos(3 * radians)
    assert "periodic" in result.comment
    assert float(abs(result.values - expected).max()) <= 1e-6 * float(abs(expected).max())


@pytest.mark.parametrize("kind", ["northing", "time"])
def test_jitter_of_whole_units_is_kept(kind: str) -> None:
    rng = np.random.default_rng(3)
    jitter = rng.integers(-1, 2, 500)
    if kind == "northing":
        positions = 5_000_000 + 1000 * np.arange(500) + jitter
        axes = [positions, positions.astype("f8"), positions.astype("f4").astype("f8")]
    else:
        positions = 3600 * np.arange(500) + jitter
        axes = [np.datetime64("2024-01-01", "s") + positions.astype("m8[s]")]
    for axis in axes:
        own = axis if kind == "northing" else positions
        f = xr.DataArray(np.asarray(own, "f8"), dims="x", coords={"x": axis}, name="f")
        for order in (2, 4):
            np.testing.assert_allclose(xgrad.compute(f, "x", order=order).df_dx, 1.0, rtol=1e-9)


# -- labels ------------------------------------------------------------------------------------------------


def dataset() -> xr.Dataset:
    f = plane()
    f.attrs |= {
        "grid_mapping": "crs",
        "standard_name": "air_temperature",
        "valid_max": 3.0,
        "source": "model",
    }
    f.encoding = {"dtype": "int16", "scale_factor": 0.1, "_FillValue": -1, "chunksizes": (1, 7)}
    ds = xr.Dataset(
        {
            "f": f,
            "g": ("x", X.astype("f4"), {"units": "m"}),
            "h": ("y", Y, {"units": "Pa"}),
            "flags": (("y", "x"), np.zeros((6, 7), "i1"), {"flag_values": [0, 1], "flag_meanings": "a b"}),
            "mask": (("y", "x"), np.zeros((6, 7), bool)),
            "label": ("x", list("abcdefg")),
            "crs": ((), 0, {"grid_mapping_name": "latitude_longitude"}),
            "x_bounds": (("x", "nv"), np.stack([X - 0.5, X + 0.5], axis=1)),
        },
        coords={"forecast": ((), 3.0, {"units": "h"}), "lon": (("y", "x"), np.zeros((6, 7)))},
        attrs={"title": "test", "Conventions": "CF-1.8"},
    )
    ds.x.attrs["bounds"] = "x_bounds"
    ds.x.encoding = {"dtype": "float32", "zlib": True}
    ds.encoding = {"unlimited_dims": {"y"}, "source": "somewhere.nc"}
    return ds


def test_a_dataset_keeps_what_describes_it() -> None:
    ds = dataset()
    result = ds.grad.compute("x")
    assert list(result.data_vars) == ["df_dx", "dg_dx", "crs", "x_bounds"]
    for name in ("crs", "x_bounds"):
        xr.testing.assert_identical(result[name].variable, ds[name].variable)
    xr.testing.assert_identical(result.coords.to_dataset(), ds.coords.to_dataset())
    assert result.attrs == ds.attrs
    assert result.encoding == {"unlimited_dims": {"y"}}
    assert result.x.encoding == ds.x.encoding
    assert result.df_dx.encoding == {}
    assert result.df_dx.attrs == {
        "long_name": "derivative of air temperature with respect to x",
        "units": "K s-1",
        "comment": "finite differences along x: order 2, stretched",
        "grid_mapping": "crs",
        "source": "model",
    }
    assert dict(xgrad.plan(ds, "x").left_out) == {
        "h": "it has no dimension 'x'",
        "flags": "it holds flags",
        "mask": "it has dtype bool",
        "label": "it has dtype <U1",
        "crs": "it describes a coordinate",
        "x_bounds": "it describes a coordinate",
    }
    assert list(ds.grad.compute().data_vars) == ["df_dy", "df_dx", "dg_dx", "dh_dy", "crs", "x_bounds"]
    with pytest.raises(
        XgradError, match=r"no variable of the Dataset.*\['x', 'y'\].*'g': it has no dimension"
    ):
        xgrad.compute(ds[["g", "mask"]].assign_coords(y=Y), ["x", "y"])


def test_a_grid_mapping_of_the_encoding_stays_there() -> None:
    ds = dataset().set_coords(["crs", "x_bounds"])
    ds.f.encoding["grid_mapping"] = ds.f.attrs.pop("grid_mapping")
    for result in (ds.grad.compute("x"), ds.f.grad.compute("x")):
        assert result.df_dx.encoding == {"grid_mapping": "crs"}
        assert "grid_mapping" not in result.df_dx.attrs
        assert "crs" in result.coords
    loaded = xr.decode_cf(ds.grad.compute("x").drop_vars("lon"), decode_coords="all")
    assert "crs" in loaded.coords


def test_formula_terms_and_cell_measures_are_kept_and_differentiated() -> None:
    ds = xr.Dataset(
        {
            "f": ("x", X, {"cell_measures": "area: size"}),
            "size": ("k", X),
            "ps": ("x", X**2, {"units": "Pa"}),
        },
        coords={"x": X, "lev": ("lev", [0.5, 1.0], {"formula_terms": "sigma: lev ps: ps"})},
    )
    result = xgrad.compute(ds, "x")
    assert list(result.data_vars) == ["df_dx", "dps_dx", "size", "ps"]


def test_results_are_written_and_read_back_as_they_are(tmp_path: Any) -> None:
    ds = dataset().drop_vars("label")
    ds.f.encoding = {"dtype": "int16", "scale_factor": 0.1, "_FillValue": -1}
    result = ds.grad.compute("x")
    result.to_netcdf(tmp_path / "d.nc")
    with xr.open_dataset(tmp_path / "d.nc") as back:
        np.testing.assert_array_equal(back.df_dx, result.df_dx)
        assert back.encoding["unlimited_dims"] == {"y"}
        assert back.x.encoding["bounds" if "bounds" in back.x.encoding else "dtype"] in (
            "x_bounds",
            np.float32,
        )


@pytest.mark.parametrize("kind", ["DataArray", "Dataset", "DataTree", "derivative"])
@pytest.mark.parametrize("chunks", [None, 3])
def test_input_is_never_modified(kind: str, chunks: int | None) -> None:
    ds = dataset() if chunks is None else dataset().chunk(chunks)
    ds.g.attrs["units"] = "m"
    spacing, periodic, names = {"x": X * 2}, {"x": 30.0}, {"x": "slope"}
    options = copy.deepcopy((spacing, periodic, names))
    objects = {
        "DataArray": ds.f,
        "Dataset": ds,
        "DataTree": xr.DataTree.from_dict({"/": ds, "/a": ds[["f"]]}),
    }
    before = {
        name: (v.attrs.copy(), v.encoding.copy(), v.copy(deep=True)) for name, v in ds.variables.items()
    }
    if kind == "derivative":
        results: Any = xgrad.derivative(
            ds.f, {"x": 1, "y": 1}, spacing=spacing, periodic=periodic
        ).to_dataset()
    elif kind == "DataArray":
        results = xgrad.compute(ds.f, "x", spacing=spacing, periodic=periodic, names=names)
    else:
        results = xgrad.compute(objects[kind], "x", spacing=spacing, periodic=periodic)
    for result in results.subtree if kind == "DataTree" else [results]:
        for variable in result.variables.values():
            variable.attrs["mine"] = 1
            variable.encoding["mine"] = 1
        result.attrs["mine"] = 1
    for name, (attrs, encoding, values) in before.items():
        assert ds.variables[name].attrs == attrs
        assert ds.variables[name].encoding == encoding
        assert ds.variables[name].chunks == values.chunks
        xr.testing.assert_identical(ds.variables[name], values)
    assert "mine" not in ds.attrs
    np.testing.assert_array_equal(spacing["x"], options[0]["x"])
    assert (periodic, names) == options[1:]


def test_a_name_serves_one_variable_a_call() -> None:
    ds = dataset()
    with pytest.raises(XgradError, match=r"'slope', which exists already.*names={'x'.*one variable a call"):
        ds.grad.compute("x", names={"x": "slope"})
    assert "slope" in ds[["f"]].grad.compute("x", names={"x": "slope"})
    assert "slope" in ds.grad.compute(names={"y": "slope"}, dims=["x", "y"])  # f alone has both


def test_units_of_descriptions_without_unit() -> None:
    f = plane()
    f.attrs = {}
    assert "units" not in xgrad.compute(f, "x").df_dx.attrs
    f = plane()
    f.x.attrs = {}
    assert "units" not in xgrad.compute(f, "x").df_dx.attrs
    assert xgrad.compute(f, "y").df_dy.units == "K m-1"


# -- trees -------------------------------------------------------------------------------------------------


def tree() -> xr.DataTree:
    ds = dataset()
    return xr.DataTree.from_dict(
        {
            "/": ds[["f", "crs"]],
            "/only": xr.Dataset(attrs={"note": "nothing here"}),
            "/only/deep": xr.Dataset({"q": ("z", Y**2)}, coords={"z": Y}, attrs={"level": 2}),
            "/masks": ds[["mask"]],
            "/inherits": xr.Dataset({"g": ("x", X, {"units": "m"})}),
        },
        name="root",
    )


def test_every_node_of_a_tree_is_a_dataset() -> None:
    whole = tree()
    result = whole.grad.compute()
    assert result.name == "root"
    assert {path for path, _ in result.subtree_with_keys} == {path for path, _ in whole.subtree_with_keys}
    for path, node in whole.subtree_with_keys:
        ds = node.to_dataset()
        assert result[path].attrs == node.attrs
        if path not in ("only", "masks"):
            expected = ds.grad.compute()
            xr.testing.assert_identical(result[path].to_dataset(), expected)
            assert result[path].to_dataset().encoding.get("unlimited_dims") == ds.encoding.get(
                "unlimited_dims"
            )
    assert not result["masks"].data_vars
    assert list(result["inherits"].to_dataset(inherit=False).coords) == []  # inherited as before
    part = whole["only"].grad.compute()  # a node of a tree is a tree of its own
    assert [path for path, _ in part.subtree_with_keys] == [".", "deep"]


def test_nodes_that_lack_the_dimension_are_left_out() -> None:
    whole = tree()
    result = whole.grad.compute("z")
    assert [path for path, node in result.subtree_with_keys if set(node.data_vars) - {"crs"}] == ["only/deep"]
    left_out = dict(whole.grad.plan("z").left_out)
    assert "'z'" in left_out["f"]
    assert "'z'" in left_out["inherits/g"]
    spaced = whole.grad.compute(["z"], spacing={"z": 2.0}, names={"z": "slope"}, periodic=["z"])
    assert list(spaced["only/deep"].data_vars) == ["slope"]
    with pytest.raises(CoordinateError, match="'zz' in the DataTree: did you mean 'z'"):
        whole.grad.compute("zz")
    with pytest.raises(XgradError, match="spacing= has 'q'"):
        whole.grad.compute(spacing={"q": 1.0})
    with pytest.raises(XgradError, match="names= has"):
        whole.grad.compute("z", names={"x": "a"})
    with pytest.raises(XgradError, match=r"nothing in the DataTree.*masks/mask.*bool"):
        xr.DataTree.from_dict({"/masks": dataset()[["mask"]]}).grad.compute("x")
    with pytest.raises(XgradError, match="holds no data variables"):
        xr.DataTree.from_dict({"/a": xr.Dataset(coords={"x": X})}).grad.compute()
    bare = xr.DataTree.from_dict({"/a": dataset()[["g"]], "/b": xr.Dataset(coords={"x": [0.0, 0.0, 1.0]})})
    assert list(bare.grad.compute("x")["a"].data_vars) == [
        "dg_dx"
    ]  # where there are no data, x may be as it is
    faulty = xr.DataTree.from_dict({"/a/b": dataset()[["g"]].assign_coords(x=[0.0, 1, 1, 2, 3, 4, 5])})
    with pytest.raises(CoordinateError, match="node 'a/b': coordinate 'x' has a duplicate"):
        faulty.grad.compute("x")
