"""The `.grad` accessors: what they give is what the functions give, and showing them never fails."""

from __future__ import annotations

import contextlib
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import xgrad

X = np.array([0.0, 1, 3, 4, 7, 8, 9])
OPTIONS = [
    {},
    {"n": 2, "order": 4},
    {"edge_order": 1, "skipna": False},
    {"periodic": {"x": 12.0}},
    {"spacing": {"x": 0.5}, "names": {"x": "slope"}},
]


def field() -> xr.DataArray:
    values = np.random.default_rng(0).normal(size=(7, 7))
    values[2, 3] = np.nan
    return xr.DataArray(values, dims=("y", "x"), coords={"y": X, "x": X}, name="f", attrs={"units": "K"})


@pytest.mark.parametrize("options", OPTIONS)
def test_methods_give_what_functions_give(options: dict[str, Any]) -> None:
    f = field()
    for obj in (f, f.chunk(2), f.to_dataset()):
        xr.testing.assert_identical(obj.grad.compute("x", **options), xgrad.compute(obj, "x", **options))
        assert repr(obj.grad.plan("x", **options)) == repr(xgrad.plan(obj, "x", **options))
    tree = xr.DataTree.from_dict({"/a": f.to_dataset()})
    xr.testing.assert_identical(tree.grad.compute("x", **options), xgrad.compute(tree, "x", **options))
    assert repr(tree.grad.plan("x", **options)) == repr(xgrad.plan(tree, "x", **options))
    kept = {key: value for key, value in options.items() if key not in ("n", "names")}
    for call in (f.grad.derivative({"x": 1, "y": 2}, **kept), f.grad.derivative(x=1, y=2, **kept)):
        xr.testing.assert_identical(call, xgrad.derivative(f, {"x": 1, "y": 2}, **kept))


def test_accessors_are_kept_by_their_object_and_read_it_anew() -> None:
    f = field()
    assert f.grad is f.grad
    before = repr(f.grad)
    f.attrs["units"] = "Pa"
    assert "[Pa]" in repr(f.grad)
    assert before != repr(f.grad)


def test_only_arrays_have_derivatives() -> None:
    for obj in (field().to_dataset(), xr.DataTree.from_dict({"/a": field().to_dataset()})):
        assert not hasattr(obj.grad, "derivative")


ODD = [
    xr.DataArray(),
    xr.DataArray(None),
    xr.DataArray("text"),
    xr.DataArray(np.datetime64("NaT", "s")),
    xr.DataArray([]),
    xr.DataArray(np.zeros((0, 3)), dims=("x", "x2"), coords={"x": []}),
    xr.DataArray(np.array([{}, []], object), dims="x", coords={"x": [0.0, 1.0]}),
    xr.DataArray(pd.Categorical(["a", "b"]), dims="x"),
    xr.DataArray(pd.array([1, None], dtype="Int64"), dims="x", coords={"x": [0, 1]}),
    xr.DataArray(np.zeros(3, [("a", "f8")]), dims="x", coords={"x": [0, 1, 2]}),
    xr.DataArray(pd.period_range("2000", periods=3, freq="Y"), dims="x"),
    xr.DataArray(np.zeros(3), dims="x", coords={"x": pd.period_range("2000", periods=3, freq="Y")}),
    xr.DataArray(np.zeros(3), dims="x", coords={"x": pd.interval_range(0, 3)}),
    xr.DataArray(np.zeros(3), dims="x", coords={"x": [None, 1, "a"]}),
    xr.DataArray(np.zeros(3), dims="x", coords={"x": [1, 1, 1]}, attrs={"units": 5, 7: None}),
    xr.DataArray(np.zeros(3), dims="x", coords={"x": ("x", [1, 2, 3], {"units": {"a": 1}, "bounds": 3})}),
    xr.DataArray(np.zeros(3), dims="x", coords={"x": ("x", [1, 2, 3], {"units": "months since 2000-1-1"})}),
    xr.DataArray(np.zeros((2, 3)), coords={"x": pd.MultiIndex.from_tuples([(1, 2), (3, 4)]), "y": [1, 2, 3]}),
    xr.DataArray(da.zeros((2, 3)), name=("a", b"\xff"), dims=("<b>", "\u202e")),
    xr.DataArray(np.zeros(3, "M8[s]"), dims="x", coords={"x": np.array([0, 1, 2], "m8[D]")}, name="\x1b[2J"),
    xr.DataArray(np.zeros(3), dims="x", coords={"x": np.array([0, 2**63, 2**64 - 1], "u8")}),
    xr.DataArray(np.zeros(3), dims="x", coords={"x": [-1.7e308, 0, 1.7e308]}),
    xr.DataArray(np.zeros(3, "O"), dims="x", coords={"x": [np.nan, np.inf, 1]}),
]


@pytest.mark.parametrize("array", ODD, ids=range(len(ODD)))
def test_showing_odd_objects_never_fails(array: xr.DataArray) -> None:
    named = array.rename("f") if array.name is None else array
    for obj in (array, named.to_dataset(), xr.DataTree.from_dict({"/a": named.to_dataset()})):
        text, html = repr(obj.grad), obj.grad._repr_html_()
        assert text.isprintable() or "\n" in text
        assert html.startswith("<div>")
    assert repr(xr.Dataset().grad) == ""
    assert repr(xr.DataTree().grad) == ""


DTYPES = ["f8", "f4", "f2", "i1", "u8", "?", "c8", "U3", "S2", "O", "M8[s]", "m8[ns]", ">f8", "longdouble"]


@st.composite
def arrays(draw: st.DrawFn) -> xr.DataArray:
    dims = draw(st.lists(st.sampled_from(["x", "y", "time", "<i>", "lon"]), unique=True, max_size=3))
    shape = [draw(st.integers(0, 5)) for _ in dims]
    name = draw(st.one_of(st.none(), st.text(max_size=5), st.integers(), st.just(("a", 1))))
    text = st.one_of(
        st.text(max_size=8), st.sampled_from(["degrees_east", "m", "days since 2000-1-1", "1e-3", "dB"])
    )
    coords = {}
    for dim, size in zip(dims, shape, strict=True):
        kind = draw(
            st.sampled_from([*(kind for kind in DTYPES if kind != "f2"), None])
        )  # no index has float16
        if kind is not None:
            numbers = draw(st.lists(st.integers(-4, 4), min_size=size, max_size=size))
            values = np.abs(np.array(numbers, "i8")) if kind == "u8" else np.array(numbers, "i8")
            values = values.astype(kind)
            coords[dim] = (dim, values, {"units": draw(text), "bounds": draw(text)})
    values = np.zeros(shape, draw(st.sampled_from(DTYPES)))
    attrs = draw(st.dictionaries(st.sampled_from(["units", "standard_name", "long_name", "flag_x"]), text))
    array = xr.DataArray(values, dims=dims, coords=coords, name=name, attrs=attrs)
    return array.chunk(2) if draw(st.booleans()) and values.dtype.kind != "O" else array


@settings(max_examples=300)
@given(arrays())
@pytest.mark.filterwarnings("ignore::xgrad.UnitsWarning")
def test_showing_never_fails_and_computing_fails_with_our_errors_only(array: xr.DataArray) -> None:
    text = repr(array.grad)
    array.grad._repr_html_()
    assert all(line.isprintable() for line in text.split("\n"))
    with contextlib.suppress(xgrad.XgradError):
        result = array.grad.compute()
        assert result.sizes == array.sizes
        result.compute()


@pytest.mark.parametrize("kind", ["DataArray", "Dataset", "DataTree"])
@pytest.mark.parametrize("way", ["accessor", "function"])
def test_warnings_name_the_line_of_the_user(kind: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of precision, of units and of too many chunks, however deep they arise: not a line of the package."""
    monkeypatch.setattr("xgrad.units._warned", set())
    monkeypatch.setattr("xgrad.chunks._MANY_CHUNKS", 3)
    lon, lat = np.meshgrid(np.arange(6, dtype="f4") / 20, np.arange(5, dtype="f4") / 20)
    array = xr.DataArray(
        lon,
        {
            "lon": (("y", "x"), lon, {"units": "degrees_east"}),
            "lat": (("y", "x"), lat, {"units": "degrees_north"}),
        },
        dims=("y", "x"),
        name="f",
        attrs={"units": "psu"},
    ).chunk(2)
    tree = xr.DataTree.from_dict({"/a": array.to_dataset()})
    obj: Any = {"DataArray": array, "Dataset": array.to_dataset(), "DataTree": tree}[kind]
    dims, geometry = ["x", "y"], "curvilinear"
    ways = {
        "accessor": lambda: obj.grad.compute(dims, geometry=geometry),
        "function": lambda: xgrad.compute(obj, dims, geometry=geometry),
    }
    with pytest.warns() as caught:
        ways[way]()
    kinds = {xgrad.PrecisionWarning, xgrad.UnitsWarning, da.PerformanceWarning}
    assert {warning.category for warning in caught} == kinds
    assert {warning.filename for warning in caught} == {__file__}
