"""Quantities of pint: a quantity in, a quantity out, lazily where it is lazy, in units of differences."""

from __future__ import annotations

import warnings
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import pint
import pint_xarray  # noqa: F401  registers its accessor
import pytest
import xarray as xr
from untouchable import TouchedError, chunked

import xgrad
from xgrad import CoordinateError, XgradError

UNITS = pint.UnitRegistry(force_ndarray_like=True)
X = np.array([0.0, 1, 3, 4, 7, 8])


def quantity(unit: str, values: Any = X**2, x_units: str | None = "m", **attrs: Any) -> xr.DataArray:
    coords = {"x": ("x", X, {} if x_units is None else {"units": x_units})}
    return xr.DataArray(UNITS.Quantity(values, unit), dims="x", coords=coords, name="f", attrs=attrs)


def unit_of(array: xr.DataArray) -> Any:
    assert isinstance(array.data, pint.Quantity)
    assert "units" not in array.attrs
    return array.data.units


@pytest.fixture(autouse=True)
def _no_warnings() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize(
    ("unit", "x_units", "expected"),
    [
        ("K", "m", "kelvin / meter"),
        ("degC", "m", "delta_degree_Celsius / meter"),
        ("degF", "m", "delta_degree_Fahrenheit / meter"),
        ("m**2/s", "m", "meter / second"),
        ("dimensionless", "m", "1 / meter"),
        ("K", "1", "kelvin"),
        ("K", "degrees_north", "kelvin / degree"),
        ("K", "m2 s-1", "kelvin * second / meter ** 2"),
        ("K", "kg m^-3", "kelvin * meter ** 3 / kilogram"),
        ("K", "hPa", "kelvin / hectopascal"),
        ("K", "hours since 2000-01-01", "kelvin / hour"),
        ("K", "meter ** 2 / second", "kelvin * second / meter ** 2"),
    ],
)
def test_units(unit: str, x_units: str, expected: str) -> None:
    f = quantity(unit, x_units=x_units)
    result = xgrad.compute(f, "x").df_dx
    assert unit_of(result) == UNITS.Unit(expected)
    np.testing.assert_allclose(result.data.magnitude, 2 * X, rtol=1e-13, atol=1e-13)
    output = xgrad.plan(f, "x").fields[0].outputs[0]
    assert output.unit == UNITS.Unit(expected)
    assert UNITS.Unit(xgrad.plan(f, "x").fields[0].units) == f.data.units
    assert "unknown" not in repr(xgrad.plan(f, "x"))
    second = xgrad.derivative(f, x=2)
    assert unit_of(second) == UNITS.Unit(expected) * UNITS.Unit(expected) / unit_of_difference(f)


def unit_of_difference(f: xr.DataArray) -> Any:
    return (f.data[:1] - f.data[:1]).units


def test_units_of_results_are_of_the_registry_of_the_data() -> None:
    own = pint.UnitRegistry(force_ndarray_like=True)
    own.define("widget = []")
    f = quantity("K").copy(data=own.Quantity(X**2, "widget"))
    result = xgrad.compute(f, "x").df_dx
    assert result.data._REGISTRY is own
    assert str(unit_of(result)) == "widget / meter"


def test_an_attribute_beside_the_quantity_does_not_count() -> None:
    result = xgrad.compute(quantity("K", units="nonsense words", long_name="temperature"), "x").df_dx
    assert str(unit_of(result)) == "kelvin / meter"
    assert result.long_name == "derivative of temperature with respect to x"


@pytest.mark.parametrize("x_units", [None, "furlongish", "100 m", "1e-3"])
def test_coordinates_whose_units_are_not_known_are_refused(x_units: str | None) -> None:
    lazy = quantity("K", x_units=x_units)
    lazy = lazy.copy(data=UNITS.Quantity(chunked((6,)), "K"))
    for call in (
        lambda: xgrad.compute(lazy, "x"),
        lambda: xgrad.plan(lazy.to_dataset(), "x"),
        lambda: xgrad.derivative(lazy, x=1),
    ):
        with pytest.raises(CoordinateError, match=r"quantity.*'x'.*attrs\['units'\].*spacing=") as caught:
            call()
        assert x_units is None or repr(x_units) in str(caught.value)
    assert "attrs['units']" in repr(lazy.grad)
    given = xgrad.compute(lazy, "x", spacing={"x": UNITS.Quantity(2.0, "km")}).df_dx
    assert str(unit_of(given)) == "kelvin / kilometer"


def test_spacing_may_be_a_quantity() -> None:
    for spacing in (UNITS.Quantity(X, "km"), pint.UnitRegistry().Quantity(X, "km")):  # of any registry
        result = xgrad.compute(quantity("K"), "x", spacing={"x": spacing}).df_dx
        assert str(unit_of(result)) == "kelvin / kilometer"
        np.testing.assert_allclose(result.data.magnitude, 2 * X, rtol=1e-13, atol=1e-13)
    plain = xr.DataArray(X**2, dims="x", name="f", attrs={"units": "K"})
    result = xgrad.compute(plain, "x", spacing={"x": UNITS.Quantity(X, "km")}).df_dx
    assert result.units == "K kilometer-1"


def test_dates_as_coordinates() -> None:
    f = quantity("K").assign_coords(x=pd.date_range("2000-01-01", periods=6))
    assert str(unit_of(xgrad.compute(f, "x").df_dx)) == "kelvin / second"
    for unit, word in (("D", "day"), ("m", "minute"), ("h", "hour"), ("W", "week"), ("ms", "millisecond")):
        assert str(unit_of(xgrad.compute(f, "x", datetime_unit=unit).df_dx)) == f"kelvin / {word}"


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "c16", "longdouble"])
def test_dtypes(dtype: str) -> None:
    result = xgrad.compute(quantity("K", (X**2).astype(dtype)), "x").df_dx
    assert result.dtype == (np.float64 if dtype == "i4" else dtype)
    np.testing.assert_allclose(result.data.magnitude, 2 * X, rtol=1e-6, atol=1e-6)


def test_dask_inside_stays_lazy_and_chunked() -> None:
    f = quantity("K", da.from_array(np.random.default_rng(0).normal(size=6), chunks=4))
    result = xgrad.compute(f, "x").df_dx
    assert isinstance(result.data.magnitude, da.Array)
    assert result.chunks == f.chunks
    eager = xgrad.compute(f.copy(data=f.data.compute()), "x").df_dx
    np.testing.assert_array_equal(result.compute().data.magnitude, eager.data.magnitude)
    untouchable = quantity("K", chunked((6,)))
    lazy = [
        xgrad.compute(untouchable, "x").df_dx,
        xgrad.derivative(untouchable, x=2),
        xgrad.compute(untouchable.to_dataset(), "x").df_dx,
    ]
    repr(untouchable.grad)
    for each in lazy:
        with pytest.raises(TouchedError):
            each.compute()


def test_datasets_and_mixed_partials() -> None:
    y = ("y", [0.0, 2, 3], {"units": "s"})
    f = quantity("degC").expand_dims(y=3).assign_coords(y=y)
    ds = xr.Dataset({"f": f, "plain": ("x", X, {"units": "Pa"})})
    result = xgrad.compute(ds, "x")
    assert str(unit_of(result.df_dx)) == "delta_degree_Celsius / meter"
    assert result.dplain_dx.units == "Pa m-1"
    mixed = xgrad.derivative(f, x=1, y=1)
    assert unit_of(mixed) == UNITS.Unit("delta_degC / m / s")
    tree = xr.DataTree.from_dict({"/a": ds}).grad.compute("x")
    assert str(unit_of(tree["a/df_dx"])) == "delta_degree_Celsius / meter"


def test_missing_values() -> None:
    values = X**2
    values[3] = np.nan
    result = xgrad.compute(quantity("K", values), "x").df_dx.data.magnitude
    np.testing.assert_array_equal(np.isnan(result), np.isnan(values))


def test_pint_xarray_from_one_end_to_the_other() -> None:
    ds = xr.Dataset(
        {"t": ("x", X**2, {"units": "degC", "standard_name": "air_temperature"})},
        coords={"x": ("x", X, {"units": "km"})},
    )
    quantified = ds.pint.quantify()
    assert isinstance(quantified.x.data, pint.Quantity)  # an index of pint-xarray
    for obj in (quantified, quantified.t):
        result = obj.grad.compute("x")
        assert str(unit_of(result.dt_dx)) == "delta_degree_Celsius / kilometer"
        assert type(result.xindexes["x"]) is type(quantified.xindexes["x"])
        assert str(result.x.data.units) == "kilometer"
        assert "delta_degree_Celsius / kilometer" in repr(obj.grad)
        back = result.pint.to("K/m").pint.dequantify()
        np.testing.assert_allclose(back.dt_dx, 2e-3 * X, rtol=1e-13, atol=1e-15)


def test_units_without_differences_are_refused() -> None:
    class Stubborn(pint.UnitRegistry):
        pass

    registry = Stubborn(force_ndarray_like=True)
    f = quantity("K").copy(data=registry.Quantity(X, "degC"))

    def refuse(self: Any, other: Any) -> Any:
        raise pint.errors.OffsetUnitCalculusError(self.units, other.units)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(f.data), "__sub__", refuse)
        with pytest.raises(XgradError, match="degree_Celsius have no differences"):
            xgrad.compute(f, "x")
