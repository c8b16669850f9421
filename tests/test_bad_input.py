"""Input that other tools answer with wrong numbers or obscure errors: refused clearly, or right.

Refusals are tried on data that raise when they are computed or loaded, so each is made while planning.
"""

from __future__ import annotations

import re
import warnings
from typing import Any

import cftime
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from untouchable import KINDS, TouchedError, chunked, holding

import xgrad
from xgrad import CoordinateError, UnitsWarning, XgradError

X = np.arange(6.0)


def line(values: Any, x: Any = None, **attrs: Any) -> xr.DataArray:
    """A field f along x, with `attrs` of the coordinate."""
    values = np.asarray(values)
    x = np.arange(float(values.shape[0])) if x is None else x
    coords = {"x": ("x", x, attrs)}
    return xr.DataArray(values, dims="x", coords=coords, name="f", attrs={"units": "K"})


def along(x: Any, kind: str = "dask", **attrs: Any) -> xr.DataArray:
    """Untouchable data with the coordinate x."""
    return holding(kind, {"x": len(x)}, {"x": ("x", x, attrs)})


def refused(words: list[str], error: type[Exception], call: Any) -> str:
    """What an error says, after a look at its type and words."""
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    missing = [word for word in words if word not in message]
    assert not missing, f"{message!r} lacks {missing}"
    assert "\n" not in message
    return message


# -- refused: the coordinate ------------------------------------------------------------------------------

FAULTY = {
    "no points": ([], ["'x'", "size 0", "at least 2"]),
    "one point": ([1.0], ["'x'", "size 1", "at least 2"]),
    "duplicate": ([0.0, 1, 2, 2, 3], ["'x'", "duplicate", "2.0 at index 3", "drop_duplicates('x')"]),
    "disorder": ([0.0, 1, 3, 2, 4], ["'x'", "2.0 at index 3 follows 3.0", "sortby('x')"]),
    "NaN": ([0.0, 1, np.nan, 3], ["'x'", "nan at index 2"]),
    "inf": ([0.0, 1, 2, np.inf], ["'x'", "inf at index 3"]),
    "NaT": (
        np.array(["2000-01-01", "2000-01-02", "NaT", "2000-01-04"], "M8[s]"),
        ["'x'", "NaT", "index 2"],
    ),
    "NaT duration": (np.array([0, 1, "NaT", 3], "m8[s]"), ["'x'", "NaT", "index 2"]),
    "strings": (list("abcd"), ["'x'", "strings", "'a'", "numbers"]),
    "bytes": (np.array(list("abcd"), "S1"), ["'x'", "bytes", "numbers"]),
    "bool": (np.array([True, False]), ["'x'", "boolean", "numbers"]),
    "complex": (np.arange(4) * 1j, ["'x'", "complex", "numbers"]),
    "objects": (np.array([None, 1, 2], object), ["'x'", "objects", "numbers"]),
    "mixed calendars": (
        np.array([cftime.DatetimeNoLeap(2000, 1, 1), cftime.Datetime360Day(2000, 1, 2)] * 2),
        ["'x'", "calendar", "index 1"],
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", FAULTY)
def test_faulty_coordinates_are_refused(case: str, kind: str) -> None:
    x, words = FAULTY[case]
    coords = xr.Coordinates({"x": ("x", x)}, indexes={})
    array = holding(kind, {"x": len(x), "y": 3}, coords)
    for obj in (array, array.to_dataset()):
        refused(words, CoordinateError, lambda obj=obj: xgrad.compute(obj, "x"))
        refused(words, CoordinateError, lambda obj=obj: xgrad.plan(obj, "x"))
    refused(words, CoordinateError, lambda: xgrad.derivative(array, x=1))
    tree = xr.DataTree.from_dict({"/part": array.to_dataset()})
    refused([*words, "node 'part'"], CoordinateError, lambda: xgrad.compute(tree, "x"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("size", "options", "words"),
    [
        (2, {}, ["2 points", "3 are needed", "edge_order=1"]),
        (6, {"order": 8}, ["6 points", "9 are needed", "order=4"]),
        (4, {"order": 6, "n": 3}, ["4 points", "9 are needed", "edge_order=1"]),
        (4, {"edge_order": 5}, ["4 points", "6 are needed", "edge_order=3"]),
        (4, {"order": 4, "periodic": True}, ["4 points", "5 are needed", "order=2", "ring"]),
        (4, {"n": 4}, ["4 points", "6 are needed", "fewer than 5"]),
    ],
)
def test_too_few_points_are_refused_with_what_would_work(
    size: int, options: dict[str, Any], words: list[str], kind: str
) -> None:
    array = along(np.arange(float(size)), kind)
    message = refused(["'x'", *words], CoordinateError, lambda: xgrad.compute(array, "x", **options))
    advice = re.search(r"(order|edge_order)=(\d) would work", message)
    if advice is not None:  # and it does
        xgrad.plan(array, "x", **options | {advice[1]: int(advice[2])})


@pytest.mark.parametrize(
    "units", ["months since 2000-01-01", "years since 1850-1-1", "Months since 0001-01-01"]
)
def test_units_of_uneven_length_are_refused(units: str) -> None:
    array = along(X, units=units)
    refused(["'x'", units, "decode", "spacing="], CoordinateError, lambda: xgrad.compute(array, "x"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_dimension_without_coordinate_is_refused_but_for_its_spacing(kind: str) -> None:
    array = holding(kind, {"x": 6, "y": 5}, {"y": np.arange(5.0)})
    words = ["'x'", "no coordinate", "spacing={'x': "]
    refused(words, CoordinateError, lambda: xgrad.compute(array, "x"))
    refused(words, CoordinateError, lambda: xgrad.derivative(array, x=1))
    assert [output.name for output in xgrad.plan(array, "x", spacing={"x": 0.5}).fields[0].outputs] == [
        "df_dx"
    ]
    bare = holding(kind, {"x": 6, "z": 1})
    refused(["'x'", "'z'", "size 1", "no coordinate"], CoordinateError, lambda: xgrad.compute(bare))


def test_spacing_serves_a_dimension_without_coordinate() -> None:
    array = xr.DataArray(X**2, dims="x", name="f", attrs={"units": "K"})
    for spacing in (0.5, 0.5 * X, xr.DataArray(0.5 * X, dims="k", attrs={"units": "m"})):
        result = xgrad.compute(array, "x", spacing={"x": spacing}).df_dx
        np.testing.assert_allclose(result, 4 * X, rtol=1e-15, atol=1e-15)
        assert result.attrs.get("units") == ("K m-1" if isinstance(spacing, xr.DataArray) else None)


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_names_are_refused_with_what_may_be_meant(kind: str) -> None:
    array = holding(kind, {"longitude": 6}, {"longitude": X})
    for obj in (array, array.to_dataset(), xr.DataTree.from_dict({"/a": array.to_dataset()})):
        refused(
            ["'longitud'", "did you mean 'longitude'"],
            CoordinateError,
            lambda obj=obj: xgrad.compute(obj, "longitud"),
        )
        refused(
            ["'lon'", "did you mean 'longitude'"],
            CoordinateError,
            lambda obj=obj: xgrad.compute(obj, "lon"),
        )
        refused(["'q'", "['longitude']"], CoordinateError, lambda obj=obj: xgrad.compute(obj, "q"))
    refused(["'longitud'", "'longitude'"], CoordinateError, lambda: xgrad.derivative(array, longitud=1))


@pytest.mark.parametrize("kind", KINDS)
def test_coordinates_without_distance_are_refused_with_the_way_out(kind: str) -> None:
    pairs = pd.MultiIndex.from_product([[1, 2], [1, 2, 3]], names=["a", "b"])
    array = holding(kind, {"s": 6}, xr.Coordinates.from_pandas_multiindex(pairs, "s"))
    for name in ("s", "a"):
        refused(
            [f"{name!r}", "MultiIndex", ".unstack('s')"],
            CoordinateError,
            lambda name=name: xgrad.compute(array, name),
        )
    refused(["'s'", "MultiIndex"], CoordinateError, lambda: xgrad.compute(array))
    plane = holding(kind, {"y": 3, "x": 6}, {"lon": (("y", "x"), np.zeros((3, 6))), "height": 2.0, "x": X})
    for obj in (plane, plane.to_dataset()):
        refused(
            ["'lon'", "('y', 'x')", "spacing="], CoordinateError, lambda obj=obj: xgrad.compute(obj, "lon")
        )
        refused(
            ["'height'", "scalar", "spacing="], CoordinateError, lambda obj=obj: xgrad.compute(obj, "height")
        )
    refused(["'f'", "set_coords"], CoordinateError, lambda: xgrad.compute(plane.to_dataset(), "f"))


# -- refused: the data --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [object, "U5", "S5", np.dtypes.StringDType(), [("a", "f8"), ("b", "i4")]])
def test_data_without_differences_are_refused_and_left_out(dtype: Any) -> None:
    array = xr.DataArray(np.zeros(6, dtype), dims="x", coords={"x": X}, name="words")
    refused(["'words'", "dtype", ".astype"], XgradError, lambda: xgrad.compute(array, "x"))
    refused(["'words'", "dtype"], XgradError, lambda: xgrad.derivative(array, x=1))
    ds = xr.Dataset({"words": array, "f": ("x", X)})
    assert list(xgrad.compute(ds, "x").data_vars) == ["df_dx"]
    ((name, reason),) = xgrad.plan(ds, "x").left_out
    assert name == "words"
    assert "dtype" in reason
    refused(["'words'", "dtype"], XgradError, lambda: xgrad.compute(ds[["words"]], "x"))


def test_extension_arrays_of_pandas_are_refused() -> None:
    for values in (pd.array([1, 2, None], dtype="Int64"), pd.Categorical(["a", "b", "a"])):
        array = xr.DataArray(values, dims="x", coords={"x": X[:3]}, name="f")
        refused(["'f'", "dtype", ".astype"], XgradError, lambda array=array: xgrad.compute(array, "x"))


class Foreign:
    """An array of a library that follows NumPy's functions but not the Array API standard."""

    def __init__(self, values: Any) -> None:
        self._values = values
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim

    def __array_function__(self, *_: Any) -> Any:
        raise TouchedError("a function was applied")

    def __array_ufunc__(self, *_: Any, **__: Any) -> Any:
        raise TouchedError("a function was applied")

    def __getitem__(self, key: Any) -> Foreign:
        return Foreign(self._values[key])


class Sparse(Foreign):
    """A sparse array, which claims to follow the standard."""

    def todense(self) -> Any:
        return self._values

    def __array_namespace__(self, **_: Any) -> Any:
        raise TouchedError("a function was applied")


@pytest.mark.parametrize("kind", [Foreign, Sparse])
def test_other_kinds_of_arrays_are_refused(kind: type[Foreign]) -> None:
    array = xr.DataArray(kind(X), dims="x", coords={"x": X}, name="f")
    for obj in (array, array.to_dataset()):
        refused(["'f'", kind.__name__, ".as_numpy()"], XgradError, lambda obj=obj: xgrad.compute(obj, "x"))
    lazy = da.from_array(X, chunks=3)
    lazy._meta = kind(X[:0])
    chunks = xr.DataArray(xr.Variable("x", X).copy(data=lazy), coords={"x": X}, name="f")
    refused(["'f'", kind.__name__, "chunks"], XgradError, lambda: xgrad.compute(chunks, "x"))


def test_unknown_chunk_sizes_are_refused() -> None:
    data = chunked((6, 5))
    unknown = data[da.from_array(np.arange(6) % 2 == 0, chunks=2)]
    array = xr.DataArray(unknown, dims=("x", "y"), coords={"y": np.arange(5.0)}, name="f")
    words = ["'f'", "unknown", ".compute_chunk_sizes()"]
    refused(words, XgradError, lambda: xgrad.compute(array, "y"))
    refused(words, XgradError, lambda: xgrad.compute(array, "x", spacing={"x": 1.0}))
    refused(words, XgradError, lambda: xgrad.compute(array.to_dataset(), "y"))
    refused(words, XgradError, lambda: xgrad.derivative(array, y=1))


def test_names_that_are_taken_are_refused() -> None:
    ds = xr.Dataset({"f": ("x", chunked((6,))), "df_dx": ("t", X)}, coords={"x": X, "height": 2.0, "t": X})
    words = ["which exists already", "names={'x': '...'}"]
    refused(["'df_dx'", *words], XgradError, lambda: xgrad.compute(ds, "x"))
    for taken in ("x", "t", "height", "f", "df_dx"):
        refused(
            [f"{taken!r}", *words],
            XgradError,
            lambda taken=taken: xgrad.compute(ds, "x", names={"x": taken}),
        )
    dims_only = xr.DataArray(chunked((6, 3)), dims=("x", "df_dx"), coords={"x": X}, name="f")
    refused(["'df_dx'", *words], XgradError, lambda: xgrad.compute(dims_only, "x"))
    refused(["'df_dx'", "name='...'"], XgradError, lambda: xgrad.derivative(dims_only, x=1))
    assert list(xgrad.compute(ds, "x", names={"x": "slope"}).data_vars) == ["slope"]


# -- right ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "i1", "u1", "u8"])
def test_descending_coordinates_mirror_ascending_ones(dtype: str) -> None:
    x = np.array([0, 1, 3, 4, 8, 9], dtype)
    f = np.random.default_rng(0).normal(size=6)
    up = xgrad.compute(line(f, x), "x").df_dx.values
    down = xgrad.compute(line(f[::-1], x[::-1]), "x").df_dx.values
    assert (up == down[::-1]).all()
    np.testing.assert_allclose(up, xgrad.compute(line(f, x.astype("f8")), "x").df_dx, rtol=1e-15)


def test_integer_coordinates_of_large_span() -> None:
    x = np.array([-2_000_000_000, -1, 1_999_999_998], "i4")  # int32 differences would wrap round
    np.testing.assert_allclose(xgrad.compute(line(x * 2.0, x), "x").df_dx, 2.0, rtol=1e-15)


@pytest.mark.parametrize("chunks", [None, 1, 2])
def test_missing_values_stay_missing_and_their_neighbours_do_not(chunks: int | None) -> None:
    f = np.array([1.0, 2, np.nan, 4, 5, 6])
    array = line(f) if chunks is None else line(f).chunk(x=chunks)
    expected = [1, 1, np.nan, 1, 1, 1]
    np.testing.assert_array_equal(xgrad.compute(array, "x").df_dx, expected)
    spread = xgrad.compute(array, "x", skipna=False).df_dx
    # on a uniform axis the centre is not read, as in numpy.gradient
    np.testing.assert_array_equal(np.isnan(spread), np.isnan(np.gradient(f, edge_order=2)))


@pytest.mark.parametrize("dtype", ["f8", "f4", "i4", "u1", "c16", "M8[s]", "m8[ns]"])
def test_masked_values_are_missing(dtype: str) -> None:
    values = np.array([1, 2, 77, 4, 5, 6]).astype(dtype)
    data = da.from_array(np.ma.masked_array(values, np.arange(6) == 2), chunks=2, asarray=False)
    assert isinstance(data._meta, np.ma.MaskedArray)
    result = xgrad.compute(line(X).copy(data=data), "x").df_dx.compute()
    scale = 1e-9 if dtype == "m8[ns]" else 1.0
    assert not isinstance(result.data, np.ma.MaskedArray)
    # the nanoseconds of a second are rounded to float64, a relative 1e-16 of values up to 6
    np.testing.assert_allclose(result, np.array([1, 1, np.nan, 1, 1, 1]) * scale, rtol=4e-15)


def test_infinite_data_follow_ieee() -> None:
    f = np.array([1.0, 2, 3, np.inf, 5, 6, 7, 8])
    result = xgrad.compute(line(f), "x").df_dx.values
    np.testing.assert_array_equal(result, [1, 1, np.inf, 1, -np.inf, 1, 1, 1])


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i4", "u8", "i8", "?"])
def test_integers_do_not_wrap_round(dtype: str) -> None:
    f = np.array([1, 0, 1, 1, 0, 1]).astype(dtype)
    if dtype != "?":
        info = np.iinfo(dtype)
        f = np.array([info.min, info.max], dtype)[f]
    result = xgrad.compute(line(f), "x").df_dx
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, np.gradient(f.astype("f8"), edge_order=2), rtol=1e-15)


def test_integers_beyond_float64_are_rounded_to_it() -> None:
    f = np.array([2**60, 2**60 + 2, 2**60 + 2**10], "i8")
    np.testing.assert_array_equal(
        xgrad.compute(line(f), "x").df_dx, xgrad.compute(line(f.astype("f8")), "x").df_dx
    )


def test_complex_data_are_kept() -> None:
    result = xgrad.compute(line(X**2 + 3j * X), "x").df_dx
    assert result.dtype == np.complex128
    np.testing.assert_allclose(result, 2 * X + 3j, rtol=1e-15, atol=1e-15)
    assert xgrad.compute(line((X + 1j * X).astype("c8")), "x").df_dx.dtype == np.complex64


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("kind", ["M", "m"])
@pytest.mark.parametrize("chunks", [None, 2])
def test_times_as_data_are_in_seconds_whatever_their_unit(kind: str, unit: str, chunks: int | None) -> None:
    values = np.array([0, 60, 240, 540, 960, 1500], "m8[s]").astype(f"m8[{unit}]")
    times = np.datetime64("2024-02-28", unit) + values if kind == "M" else values
    array = line(times, units="m")
    array = array if chunks is None else array.chunk(x=chunks)
    array.attrs = {}
    result = xgrad.compute(array, "x").df_dx
    assert result.dtype == np.float64
    assert result.units == "s m-1"
    np.testing.assert_array_equal(result, 120 * X)  # the derivative of 60 x^2
    missing = array.copy(data=times).where([True, True, True, True, True, False])
    assert np.isnan(xgrad.compute(missing, "x").df_dx[5])


@pytest.mark.parametrize("chunks", [1, (5, 1), (1, 1, 4), (3, 3), 6])
@pytest.mark.parametrize("order", [2, 4])
def test_thin_chunks_stay_lazy_right_and_as_they_are(chunks: Any, order: int) -> None:
    f = np.random.default_rng(1).normal(size=(6, 6))
    f[1, 2] = np.nan
    array = xr.DataArray(f, dims=("y", "x"), coords={"y": X**2, "x": X}, name="f")
    lazy = xgrad.compute(array.chunk(x=chunks, y=chunks), order=order)
    for name, result in lazy.data_vars.items():
        assert result.chunks == array.chunk(x=chunks, y=chunks).chunks
        np.testing.assert_array_equal(result, xgrad.compute(array, order=order)[name])


def test_variables_of_a_dataset_may_be_chunked_in_their_own_ways() -> None:
    f = np.random.default_rng(2).normal(size=(6, 5))
    ds = xr.Dataset(
        {
            "a": (("x", "y"), da.from_array(f, chunks=(1, 5))),
            "b": (("x", "y"), da.from_array(f, chunks=(4, 2))),
            "c": (("x", "y"), f),
            "d": (("y", "x"), da.from_array(f.T, chunks=-1)),
        },
        coords={"x": X, "y": np.arange(5.0)},
    )
    result = xgrad.compute(ds, "x")
    for name in ds.data_vars:
        part = result[f"d{name}_dx"]
        assert part.variable.chunks == ds[name].variable.chunks
        np.testing.assert_array_equal(part.transpose("x", "y"), result.dc_dx)


def test_a_longitude_that_is_global_is_a_ring() -> None:
    lon = np.arange(0.0, 360, 30)
    f = np.sin(np.deg2rad(lon))
    ring = xgrad.compute(line(f, lon, units="degrees_east"), "x").df_dx
    # central differences of a sine: cos(x) sin(h)/h, at the seam as elsewhere
    np.testing.assert_allclose(ring, np.cos(np.deg2rad(lon)) * np.sin(np.deg2rad(30)) / 30, atol=1e-16)
    part = xgrad.compute(line(f[:8], lon[:8], units="degrees_east"), "x").df_dx
    assert "not periodic" in part.comment


def test_one_jump_of_360_degrees_is_unwrapped_and_no_other_disorder() -> None:
    f = X[:4] ** 2
    jump = xgrad.compute(line(f, [300.0, 330, 0, 30], units="degrees_east"), "x").df_dx
    plain = xgrad.compute(line(f, [300.0, 330, 360, 390], units="degrees_east"), "x").df_dx
    np.testing.assert_array_equal(jump, plain)
    assert "360-degree jump unwrapped" in jump.comment
    for lon in ([300.0, 330, 0, 350], [0.0, 30, 20, 40], [300.0, 0, 330, 30]):
        array = along(lon, units="degrees_east")
        refused(["'x'", "index", "sortby"], CoordinateError, lambda array=array: xgrad.compute(array, "x"))
    no_longitude = along([300.0, 330, 0, 30], units="m")
    refused(["'x'", "0.0 at index 2"], CoordinateError, lambda: xgrad.compute(no_longitude, "x"))


@pytest.mark.parametrize("chunks", [None, 1, 5])
def test_a_repeated_first_column_is_differentiated_once(chunks: int | None) -> None:
    lon = np.arange(0.0, 361, 30)
    f = np.random.default_rng(3).normal(size=13)
    array = line(f, lon, units="degrees_east")
    array = array if chunks is None else array.chunk(x=chunks)
    result = xgrad.compute(array, "x").df_dx.values
    ring = xgrad.compute(line(f[:-1], lon[:-1], units="degrees_east"), "x").df_dx.values
    np.testing.assert_array_equal(result, [*ring, ring[0]])


@pytest.mark.parametrize("side", ["f", "x"])
def test_units_that_nobody_can_parse_warn_once(side: str) -> None:
    word = f"furlongish_{side}"  # of this test alone: each word is said once in a process
    array = line(X**2, units=word if side == "x" else "m")
    if side == "f":
        array.attrs["units"] = word
    with pytest.warns(UnitsWarning, match=word) as caught:
        result = xgrad.compute(array, "x").df_dx
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert "units" not in result.attrs
    np.testing.assert_allclose(result, 2 * X, atol=1e-15)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xgrad.compute(array, "x")
        xgrad.derivative(array, x=1)
        repr(array.grad)


def test_a_longitude_in_meters_is_no_ring() -> None:
    lon = np.arange(0.0, 360, 30)
    array = line(lon, lon, units="meters", standard_name="longitude")
    result = xgrad.compute(array, "x").df_dx
    np.testing.assert_array_equal(result, 1.0)
    assert result.units == "K meters-1"
    refused(["not uniform"], CoordinateError, lambda: xgrad.compute(line(X, X**2), "x", periodic=True))


def test_odd_longitudes() -> None:
    whole = np.arange(0, 360, 45, dtype="i2")
    f = np.random.default_rng(4).normal(size=8)
    integers = xgrad.compute(line(f, whole, units="degrees_east"), "x").df_dx
    floats = xgrad.compute(line(f, whole.astype("f8"), units="degrees_east"), "x").df_dx
    np.testing.assert_array_equal(integers, floats)
    assert "periodic: global" in integers.comment
    beyond = xgrad.compute(line(f, whole + 540.0, units="degrees_east"), "x").df_dx
    np.testing.assert_array_equal(beyond, floats)


def test_depth_is_differentiated_as_it_is_stored() -> None:
    depth = np.array([0.0, 500, 1000, 2500])  # cm, positive down
    result = xgrad.compute(line(depth * 2e-3, depth, units="cm", positive="down"), "x").df_dx
    np.testing.assert_allclose(result, 2e-3, rtol=1e-14)
    assert result.units == "K cm-1"


@pytest.mark.parametrize("key", ["scale_factor", "add_offset"])
def test_values_that_are_still_packed_are_refused(key: str) -> None:
    array = line([1.0, 2, 4]).assign_attrs({key: 0.1})
    with pytest.raises(XgradError, match=rf"{key} in its attributes.*decode_cf"):
        xgrad.compute(array, "x")
    array = line([1.0, 2, 4])
    array.x.attrs[key] = 0.1
    with pytest.raises(XgradError, match=rf"coordinate 'x' has {key} in its attributes.*decode_cf"):
        xgrad.compute(array, "x")
