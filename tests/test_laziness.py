"""Nothing of the data is read but by the computation that the user starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from untouchable import KINDS, TouchedError, chunked, holding, in_file

import xgrad

X, Y = np.arange(6.0), np.arange(5.0) ** 2
DTYPES = ("f8", "f4", "f2", "i4", "?", "c16", "M8[ns]", "m8[s]")


def field(kind: str, dtype: Any = "f8") -> xr.DataArray:
    return holding(kind, {"y": 5, "x": 6}, {"y": Y, "x": ("x", X, {"units": "m"})}, dtype=dtype, units="K")


def test_the_data_of_these_tests_raise_when_they_are_read() -> None:
    for kind in KINDS:
        with pytest.raises(TouchedError):
            field(kind).values  # noqa: B018


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_planning_and_showing_read_no_data(kind: str, dtype: str) -> None:
    array = field(kind, dtype)
    tree = xr.DataTree.from_dict({"/": array.to_dataset(), "/a": array.to_dataset()})
    # of a Dataset, flags and bool are left out
    for obj in (array,) if dtype == "?" else (array, array.to_dataset(), tree):
        for options in ({}, {"order": 4, "skipna": False}, {"spacing": {"x": 0.5}, "periodic": ["x"]}):
            plan = xgrad.plan(obj, **options)
            assert plan.fields
            repr(plan)
            plan._repr_html_()
        repr(obj.grad)
        obj.grad._repr_html_()
    assert "df_dx" in repr(array.grad)
    assert "df_dy" in array.grad._repr_html_()


def test_planning_reads_no_file_through_to_its_data(tmp_path: Path) -> None:
    path = tmp_path / "f.nc"
    xr.Dataset({"f": (("y", "x"), np.ones((5, 6)))}, coords={"y": Y, "x": X}).to_netcdf(path)
    with xr.open_dataset(path) as ds:
        assert not ds.f.variable._in_memory
        xgrad.plan(ds)
        repr(ds.grad)
        xgrad.plan(ds.f, "x")
        assert not ds.f.variable._in_memory
        np.testing.assert_array_equal(xgrad.compute(ds, "x").df_dx, 0.0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("skipna", [True, False])
def test_derivatives_of_dask_arrays_compute_nothing(dtype: str, skipna: bool) -> None:
    array = field("dask", dtype)
    with dask.config.set(scheduler=_refuse):
        results: list[Any] = [
            xgrad.compute(array, ["y", "x"], skipna=skipna),
            xgrad.compute(array, n=2, order=4, edge_order=1, skipna=skipna, periodic={"x": 6.0}),
            xgrad.derivative(array, x=1, y=2, skipna=skipna),
        ]
        if dtype != "?":
            results += [array.to_dataset().grad.compute()]
            results += (
                xr.DataTree.from_dict({"/a": array.to_dataset()}).grad.compute()["a"].data_vars.values()
            )
    for result in results:
        arrays = result.data_vars.values() if isinstance(result, xr.Dataset) else [result]
        for each in arrays:
            assert isinstance(each.data, da.Array)
            assert each.chunks == array.chunks
    for each in results[0].data_vars.values():
        with pytest.raises(TouchedError):
            each.compute()


def _refuse(*_: Any, **__: Any) -> Any:
    raise TouchedError("a graph was executed")


def test_masked_dask_arrays_stay_lazy() -> None:
    data = da.ma.masked_array(chunked((6,)), mask=np.arange(6) == 2)
    with dask.config.set(scheduler=_refuse):
        result = xgrad.compute(xr.DataArray(data, dims="x", coords={"x": X}, name="f"), "x").df_dx
    assert isinstance(result.data, da.Array)


def test_coordinates_off_the_axes_are_not_read() -> None:
    array = field("dask").assign_coords(
        lon=(("y", "x"), chunked((5, 6))), label=("x", chunked((6,))), time=((), chunked((), chunks=()))
    )
    with dask.config.set(scheduler=_refuse):
        result = xgrad.compute(array)
        repr(array.grad)
        repr(xgrad.plan(array.to_dataset(), "x"))
    assert isinstance(result.lon.data, da.Array)


def test_an_unchunked_variable_of_a_file_is_loaded_only_when_it_is_differentiated() -> None:
    ds = xr.Dataset(
        {"f": field("dask"), "other": ("z", np.zeros(3)), "g": xr.Variable(("z", "k"), in_file((3, 2)))},
        coords={"z": np.arange(3.0)},
    )
    result = xgrad.compute(ds, "x")  # g has no x
    assert list(result.data_vars) == ["df_dx"]
    with pytest.raises(TouchedError):
        xgrad.compute(ds, "z")


@pytest.mark.parametrize("mixed", [False, True])
def test_equal_calls_give_equal_graphs(mixed: bool) -> None:
    array = xr.DataArray(
        da.from_array(np.random.default_rng(0).normal(size=(5, 6)), chunks=2),
        dims=("y", "x"),
        coords={"y": Y, "x": X},
        name="f",
    )

    def names(**options: Any) -> list[str]:
        if mixed:
            return [xgrad.derivative(array, x=1, y=1, **options).data.name]
        return [result.data.name for result in xgrad.compute(array, **options).data_vars.values()]

    assert names() == names()
    assert len({*names(), *names(order=4), *names(skipna=False), *names(spacing={"x": 2.0})}) == 4 * len(
        names()
    )
