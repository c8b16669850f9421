"""Derivatives of real files, against calculations written here in plain NumPy from the numbers as stored.

Nothing below takes a value, a position or a decision from xgrad: files are read with netCDF4 (unpacked,
masked by hand), times are the stored counts, weights are derivatives of Lagrange polynomials, runs of valid
points and rings are found anew.

The tolerance of every comparison is ``u |value| + 1e-14 max|w| sum|f_k - f_i|``: half a unit in the last
place of the result's dtype, and for both sides a relative error of 2e-15 of the largest weight and the
rounding of a handful of products and sums.
"""

from __future__ import annotations

import datetime
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr
from scipy.io import netcdf_file

from xgrad.errors import CoordinateError, XgradError

Find = Callable[[str], Path]
Array = np.ndarray[Any, Any]

STALE = {"cell_methods", "actual_range", "scale_factor", "add_offset", "_FillValue", "missing_value"}
SNAPPED = "snapped to uniform (float32 coordinate)"
DAY = 86400.0


# -- reading, without xarray ---------------------------------------------------------------------------


def stored(path: Path, name: str) -> Array:
    """The numbers of a variable as float64: fill values as NaN, unpacked."""
    with netCDF4.Dataset(path) as file:
        variable = file[name]
        variable.set_auto_maskandscale(False)
        raw = np.asarray(variable[...])
        attrs = {key: variable.getncattr(key) for key in variable.ncattrs()}
    values = raw.astype(np.float64)
    for key in ("_FillValue", "missing_value"):
        if key in attrs and not np.isnan(attrs[key]):
            values[raw == attrs[key]] = np.nan
    return values * attrs.get("scale_factor", 1.0) + attrs.get("add_offset", 0.0)


@contextmanager
def opening() -> Iterator[None]:
    """Around an opening only: xarray warns of ERA-Interim's int16 variables, whose _FillValue is NaN."""
    known = "variable '[zuv]' has non-conforming '_FillValue'"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", known, xr.SerializationWarning)
        yield


def open_file(path: Path, **options: Any) -> xr.Dataset:
    """A file in memory."""
    with opening(), xr.open_dataset(path, **options) as ds:
        return ds.load()


# -- the oracle ----------------------------------------------------------------------------------------


@cache
def lagrange(offsets: tuple[float, ...], n: int) -> tuple[float, ...]:
    """Weights of the n-th derivative at 0 of the polynomial through points at these offsets."""
    scale = max(abs(d) for d in offsets)
    d = np.array(offsets) / scale
    weights = []
    for k in range(d.size):
        others = np.delete(d, k)
        weights.append(math.factorial(n) * np.poly(others)[-1 - n] / np.prod(d[k] - others) / scale**n)
    return tuple(weights)


def runs(valid: Array, ring: bool) -> list[tuple[int, int]]:
    """Each run of valid points as [first, last + 1); on a ring a run may go on beyond the last point."""
    m = valid.size
    first = int(np.argmin(valid)) + 1 if ring else 0  # on a ring begin behind a missing point
    found, start = [], None
    for place in range(first, first + m):
        if valid[place % m]:
            start = place if start is None else start
        elif start is not None:
            found.append((start, place))
            start = None
    return found if start is None else [*found, (start, first + m)]


def stencils(
    valid: Array, *, uniform: bool, ring: bool, n: int, order: int, edge_order: int
) -> list[tuple[int, int, int]]:
    """The rule of gaps, ends and rings: (point, first tap, last tap + 1), counted on through a seam."""
    half = (order + 2 * ((n + 1) // 2) - 1 if uniform or n == 1 else (order + n) | 1) // 2
    m, edge, found = valid.size, edge_order + n, []
    if ring and valid.all():
        return [(i, i - half, i + half + 1) for i in range(m)]
    for a, b in runs(valid, ring):
        width = min(edge, b - a)
        for i in range(a, b):
            if a <= i - half and i + half < b:
                found.append((i, i - half, i + half + 1))
            elif width > n:
                start = min(max(i - (width - 1) // 2, a), b - width)
                found.append((i, start, start + width))
    return found


@dataclass(frozen=True)
class Line:
    """Positions in stored order as the test knows them."""

    x: Array
    uniform: bool = False
    period: float = 0.0

    def tables(self, valid: Array, **rule: Any) -> tuple[Array, Array]:
        """Taps and weights, one row a point; a weight of NaN where there is no derivative."""
        x, m, ring = self.x, self.x.size, self.period > 0
        step = self.period / m if ring else (x[-1] - x[0]) / (m - 1)
        rows = stencils(valid, uniform=self.uniform, ring=ring, **rule)
        width = max((stop - start for _, start, stop in rows), default=1)
        taps = np.repeat(np.arange(m)[:, None], width, axis=1)
        weights = np.full((m, width), np.nan)
        for i, start, stop in rows:
            places = range(start, stop)
            if self.uniform:
                row = np.array(lagrange(tuple(float(k - i) for k in places), rule["n"])) / step ** rule["n"]
            else:
                at = [x[k % m] - x[i % m] + (k // m - i // m) * self.period for k in places]
                row = np.array(lagrange(tuple(at), rule["n"]))
            weights[i % m] = 0.0
            taps[i % m, : len(row)] = [k % m for k in places]
            weights[i % m, : len(row)] = row
        return taps, weights

    def differentiate(
        self, f: Array, axis: int, *, n: int = 1, order: int = 2, edge_order: int | None = None
    ) -> tuple[Array, Array]:
        """The derivative of f along one axis, and the bound of the rounding of two such calculations."""
        if self.x[-1] < self.x[0]:  # every choice is made on the ascending axis
            value, bound = Line(self.x[::-1], self.uniform, self.period).differentiate(
                np.flip(f, axis), axis, n=n, order=order, edge_order=edge_order
            )
            return np.flip(value, axis), np.flip(bound, axis)
        moved = np.moveaxis(f, axis, -1)
        lines = moved.reshape(-1, self.x.size)
        value, bound = np.empty(lines.shape), np.empty(lines.shape)
        patterns, which = np.unique(~np.isnan(lines), axis=0, return_inverse=True)
        for number, valid in enumerate(patterns):
            rows = np.flatnonzero(which.ravel() == number)
            taps, w = self.tables(valid, n=n, order=order, edge_order=edge_order or order)
            differences = lines[rows][:, taps] - lines[rows][:, :, None]
            value[rows] = (w * differences).sum(axis=-1)
            bound[rows] = 1e-14 * np.abs(w).max(axis=-1) * np.abs(differences).sum(axis=-1)
        value, bound = value.reshape(moved.shape), bound.reshape(moved.shape)
        return np.moveaxis(value, -1, axis), np.moveaxis(bound, -1, axis)


def check(result: Array, expected: tuple[Array, Array]) -> None:
    """Compare within the tolerance of the module's docstring; NaN where it is expected and nowhere else."""
    value, bound = expected
    np.testing.assert_array_equal(np.isnan(result), np.isnan(value))
    allowed = np.finfo(result.dtype).eps / 2 * (1 + 1e-6) * np.abs(value) + bound
    excess = np.nan_to_num(np.abs(result.astype(np.float64) - value) - allowed)
    worst = np.unravel_index(np.argmax(excess), excess.shape)
    expectation = f"{value[worst]!r} within {allowed[worst]:.2g}"
    assert excess[worst] <= 0.0, f"{result[worst]!r} at {worst}, expected {expectation}"


def test_the_oracle_knows_the_formulas_of_the_books():
    assert lagrange((-1.0, 0.0, 1.0), 1) == pytest.approx((-1 / 2, 0, 1 / 2))
    assert lagrange((0.0, 1.0, 2.0), 1) == pytest.approx((-3 / 2, 2, -1 / 2))
    assert lagrange((-2.0, -1.0, 0.0, 1.0, 2.0), 1) == pytest.approx((1 / 12, -2 / 3, 0, 2 / 3, -1 / 12))
    assert lagrange((-1.0, 0.0, 1.0), 2) == pytest.approx((1, -2, 1))
    h, d = 2.0, 3.0  # spacings below and above: the three-point formula of stretched axes
    assert lagrange((-h, 0.0, d), 1) == pytest.approx((-d / h / (h + d), (d - h) / (h * d), h / d / (h + d)))
    assert runs(np.array([True, False, True, True]), ring=False) == [(0, 1), (2, 4)]
    assert runs(np.array([True, False, True, True]), ring=True) == [(2, 5)]


# -- what each file holds ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One variable of a file along one coordinate, and what its derivative must look like."""

    file: str
    variable: str
    coordinate: str
    units: str | None
    quantity: str  # in words
    along: str
    comment: str
    uniform: bool = True
    period: float = 0.0
    scale: float = 1.0  # of the stored coordinate: seconds in one of its units
    standard_name: str | None = None
    orders: tuple[int, ...] = (2, 4)
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.file.removesuffix('.nc')}-{self.variable}-{self.coordinate}"

    def line(self, path: Path) -> Line:
        """The coordinate, straight from the file."""
        return Line(stored(path, self.coordinate) * self.scale, self.uniform, self.period)

    def array(self, path: Path) -> xr.DataArray:
        """The variable, as a user opens it."""
        return open_file(path, **self.options)[self.variable]


A1B = ("A1B_north_america.nc", "air_temperature")
ERA = "eraint_uvz.nc"
T42 = "uvt_T42.nc"
BIG_ENDIAN = {"engine": "scipy"}
CANESM = ("tas_CanESM5_gaussian_noleap.nc", "tas")
MSLP = ("rotated_pole.nc", "air_pressure_at_sea_level")
ORCA = "orca2_votemper.nc"
WRF = "wrf_input.nc"
NEMO = "nemo_1m_20150301-20150401_grid-T.nc"
THETA = ("hybrid_height.nc", "air_potential_temperature")

# fmt: off
CASES = [
    Case(*A1B, "longitude", "K degree-1", "air temperature", "longitude",
         "uniform, not periodic: regional longitudes, gap 270"),
    Case(*A1B, "latitude", "K degree-1", "air temperature", "latitude", "uniform"),
    Case(*A1B, "time", "K s-1", "air temperature", "time", "uniform", scale=3600.0,
         standard_name="tendency_of_air_temperature"),
    Case(ERA, "u", "longitude", "m s-1 degree-1", "U component of wind", "longitude",
         "uniform, periodic: global longitudes, gap 0.75 at the seam", period=360.0),
    Case(ERA, "v", "latitude", "m s-1 degree-1", "V component of wind", "latitude", "uniform"),
    Case(ERA, "z", "level", "m2 s-2 millibars-1", "Geopotential", "pressure_level", "stretched",
         uniform=False, orders=(2,)),
    Case(T42, "U", "lon", "m s-1 degree-1", "Zonal Wind", "longitude",
         "uniform, periodic: global longitudes, gap 2.8125 at the seam", period=360.0, options=BIG_ENDIAN),
    Case(T42, "V", "lat", "m s-1 degree-1", "Meridional Wind", "latitude", "stretched", uniform=False,
         options=BIG_ENDIAN),
    Case(T42, "U", "lev", "m s-1 hPa-1", "Zonal Wind", "Pressure", "stretched", uniform=False,
         options=BIG_ENDIAN),
    Case("atlantic_profiles.nc", "theta", "depth", "K m-1", "sea water potential temperature", "depth",
         "stretched", uniform=False),
    Case("atlantic_profiles.nc", "salinity", "depth", "1e-3 m-1", "sea water practical salinity", "depth",
         "stretched", uniform=False),
    Case("atlantic_profiles.nc", "theta", "lat", "K degree-1", "sea water potential temperature",
         "latitude", f"uniform, {SNAPPED}"),
    Case("SOI_Darwin.nc", "SOI_Darwin", "time", None, "SOI_Darwin", "time", "stretched", uniform=False,
         scale=DAY),
    Case(*CANESM, "time", "K s-1", "Near-Surface Air Temperature", "time", "stretched", uniform=False,
         scale=DAY, standard_name="tendency_of_air_temperature"),
    Case(*CANESM, "lat", "K degree-1", "Near-Surface Air Temperature", "Latitude", "stretched",
         uniform=False),
    Case(*CANESM, "lon", "K degree-1", "Near-Surface Air Temperature", "Longitude",
         "uniform, periodic: global longitudes, gap 2.8125 at the seam", period=360.0),
    Case("lcc_tas.nc", "tas", "x", "K meters-1", "Daily Mean Near-Surface Air Temperature",
         "x coordinate of projection", "uniform"),
    Case("lcc_tas.nc", "tas", "y", "K meters-1", "Daily Mean Near-Surface Air Temperature",
         "y coordinate of projection", "uniform"),
    Case("lcc_tas.nc", "tas", "time", "K s-1", "Daily Mean Near-Surface Air Temperature", "time",
         "stretched", uniform=False, scale=DAY, standard_name="tendency_of_air_temperature"),
    Case("tmerc_tmean.nc", "tmean", "x", "K m-1", "Mean temperature", "projection_x_coordinate", "uniform"),
    Case("tmerc_tmean.nc", "tmean", "y", "K m-1", "Mean temperature", "projection_y_coordinate", "uniform"),
    Case(*MSLP, "grid_longitude", "Pa degree-1", "air pressure at sea level", "grid longitude",
         f"uniform, not periodic: regional longitudes, gap 283, {SNAPPED}"),
    Case(*MSLP, "grid_latitude", "Pa degree-1", "air pressure at sea level", "grid latitude",
         f"uniform, {SNAPPED}"),
    Case("toa_brightness_stereographic.nc", "data", "x", "K m-1", "toa_brightness_temperature",
         "projection x coordinate", f"uniform, {SNAPPED}"),
    Case("toa_brightness_stereographic.nc", "data", "y", "K m-1", "toa_brightness_temperature",
         "projection y coordinate", f"uniform, {SNAPPED}"),
    Case(*THETA, "level_height", "K m-1", "air potential temperature", "level_height", "stretched",
         uniform=False),
    Case(*THETA, "sigma", "K", "air potential temperature", "sigma", "stretched", uniform=False),
    Case(*THETA, "grid_latitude", "K degree-1", "air potential temperature", "grid latitude",
         f"uniform, {SNAPPED}"),
    # 3e-5 degrees of float32 rounding on steps of 9e-4: too coarse to be repaired, kept as stored
    Case(*THETA, "grid_longitude", "K degree-1", "air potential temperature", "grid longitude",
         "stretched, not periodic: regional longitudes, gap 359.911", uniform=False),
    Case("gyre_T.nc", "toce", "deptht", "K m-1", "temperature", "Vertical T levels", "stretched",
         uniform=False, orders=(2,)),
]
# fmt: on
cases = pytest.mark.parametrize("case", CASES, ids=str)


def same_bits(a: Array, b: Array) -> bool:
    """Whether two arrays are bitwise equal, but for the sign and payload of NaN."""
    missing = np.isnan(a)
    alike = a.dtype == b.dtype and np.array_equal(missing, np.isnan(b))
    return alike and a[~missing].tobytes() == b[~missing].tobytes()


def awkward(sizes: dict[Any, int], dim: Any) -> Iterator[dict[Any, tuple[int, ...]]]:
    """Chunks thinner than any stencil along one dimension; then uneven ones along every dimension."""
    size = sizes[dim]
    thin = [1] * min(size, 12)
    if size > 24:  # ones at both ends and in the middle: at every row of a long axis they only cost time
        rest = size - 24
        thin = [1] * 8 + [rest // 2] + [1] * 8 + [rest - rest // 2] + [1] * 8
    yield {dim: tuple([*thin, size - sum(thin)] if sum(thin) < size else thin)}
    uneven = {key: (1, m - 3, 2) if m > 3 else (m,) for key, m in sizes.items()}
    first = max(size // 3, 1)
    yield uneven | {dim: (first, 1, size - first - 1)}


# -- values, labels, chunks ----------------------------------------------------------------------------


@cases
def test_values_at_orders_2_and_4(case: Case, data_path: Find):
    path = data_path(case.file)
    array, line, f = case.array(path), case.line(path), stored(path, case.variable)
    dim = array[case.coordinate].dims[0]
    assert np.array_equal(array.values.astype(np.float64), f, equal_nan=True)  # xarray read what we read
    for order in case.orders:
        result = array.grad.compute(case.coordinate, order=order)[f"d{case.variable}_d{case.coordinate}"]
        assert result.dtype == array.dtype.newbyteorder("=")
        check(result.values, line.differentiate(f, array.dims.index(dim), order=order))


@cases
def test_values_of_the_second_derivative_and_of_other_edges(case: Case, data_path: Find):
    path = data_path(case.file)
    line, f = case.line(path), stored(path, case.variable)
    array = case.array(path)
    axis = array.dims.index(array[case.coordinate].dims[0])
    result = array.grad.derivative({case.coordinate: 2}, edge_order=1)
    check(result.values, line.differentiate(f, axis, n=2, edge_order=1))
    # At order 4 two rows at each end have a stencil of their own: which neighbour it takes is a rule too.
    for order in case.orders:
        result = array.grad.derivative({case.coordinate: 1}, order=order, edge_order=1)
        check(result.values, line.differentiate(f, axis, order=order, edge_order=1))


@cases
def test_labels(case: Case, data_path: Find):
    array = case.array(data_path(case.file))
    ds = array.grad.compute(case.coordinate)
    name = f"d{case.variable}_d{case.coordinate}"
    assert list(ds.data_vars) == [name]
    result = ds[name]
    assert result.dims == array.dims
    assert result.shape == array.shape
    assert set(result.coords) == set(array.coords)
    assert all(result.coords[key].identical(array.coords[key]) for key in array.coords)
    assert all(result.coords[key].encoding == array.coords[key].encoding for key in array.coords)
    assert result.attrs.get("units") == case.units
    assert ("units" in result.attrs) == (case.units is not None)
    assert result.attrs["long_name"] == f"derivative of {case.quantity} with respect to {case.along}"
    assert result.attrs.get("standard_name") == case.standard_name
    assert result.attrs["comment"] == f"finite differences along {case.coordinate}: order 2, {case.comment}"
    assert not STALE & set(result.attrs)
    assert result.attrs.get("grid_mapping") == array.attrs.get("grid_mapping")
    assert result.encoding == {}


@cases
def test_any_chunking_gives_the_bits_of_eager_computation(case: Case, data_path: Find):
    array = case.array(data_path(case.file))
    dim = array[case.coordinate].dims[0]
    for order in case.orders:
        eager = array.grad.derivative({case.coordinate: 1}, order=order)
        for chunks in awkward(dict(array.sizes), dim):
            lazy = array.chunk(chunks).grad.derivative({case.coordinate: 1}, order=order)
            assert lazy.chunks == array.chunk(chunks).chunks
            assert same_bits(lazy.values, eager.values), chunks


@cases
def test_float32_results_are_rounded_float64_results_and_reversal_mirrors(case: Case, data_path: Find):
    array = case.array(data_path(case.file))
    dim, order = array[case.coordinate].dims[0], case.orders[-1]
    result = array.grad.derivative({case.coordinate: 1}, order=order).values
    double = array.astype(np.float64).grad.derivative({case.coordinate: 1}, order=order).values
    assert same_bits(result, double.astype(result.dtype))
    back = array.isel({dim: slice(None, None, -1)}).grad.derivative({case.coordinate: 1}, order=order)
    assert same_bits(np.flip(back.values, array.dims.index(dim)), result)


@cases
def test_without_skipna_missing_values_spread_as_in_numpy(case: Case, data_path: Find):
    path = data_path(case.file)
    array, f = case.array(path), stored(path, case.variable)
    line = case.line(path)
    axis = array.dims.index(array[case.coordinate].dims[0])
    # At order 2 numpy.gradient is the same formula: it does not read the centre of uniform axes either. It
    # knows no rings.
    result = array.grad.derivative({case.coordinate: 1}, skipna=False, periodic=False).values
    step = (line.x[-1] - line.x[0]) / (line.x.size - 1)
    with np.errstate(invalid="ignore"):
        theirs = np.gradient(f, step if case.uniform else line.x, axis=axis, edge_order=2)
    np.testing.assert_array_equal(np.isnan(result), np.isnan(theirs))
    # Theirs multiplies f itself, not differences: its rounding is a few 1e-16 |f| / h in each of three terms.
    rounding = 1e-14 * np.nanmax(np.abs(f)) / np.abs(np.diff(line.x)).min()
    allowed = np.finfo(result.dtype).eps / 2 * (1 + 1e-6) * np.abs(theirs) + rounding
    assert np.all(np.nan_to_num(np.abs(result - theirs) - allowed) <= 0)


# -- A1B: 360-day calendar, region ---------------------------------------------------------------------


def test_a1b_of_the_package_iris_sample_data(a1b_path: Path):
    with xr.open_dataset(a1b_path, chunks={"time": 50}) as ds:
        ds = ds.chunk(longitude=20)
        result = ds.air_temperature.grad.compute(["longitude", "latitude", "time"])
        dims = ["longitude", "latitude", "time"]
        assert list(result.data_vars) == [f"dair_temperature_d{dim}" for dim in dims]
        assert [v.attrs["units"] for v in result.data_vars.values()] == ["K degree-1", "K degree-1", "K s-1"]
        assert all(v.chunks == ds.air_temperature.chunks for v in result.data_vars.values())
        result = result.compute()
    f = stored(a1b_path, "air_temperature")
    for axis, dim, scale in [(2, "longitude", 1.0), (1, "latitude", 1.0), (0, "time", 3600.0)]:
        line = Line(stored(a1b_path, dim) * scale, uniform=True)
        check(result[f"dair_temperature_d{dim}"].values, line.differentiate(f, axis))


def test_years_of_360_days_are_360_days(data_path: Find):
    path = data_path(A1B[0])
    array = open_file(path)[A1B[1]]
    dates = array.time.values
    seconds = np.array([((d.year * 12 + d.month - 1) * 30 + d.day - 1) * DAY + d.hour * 3600 for d in dates])
    assert np.array_equal(seconds - seconds[0], (stored(path, "time") - stored(path, "time")[0]) * 3600)
    assert set(np.diff(seconds)) == {360 * DAY}
    per_day = array.grad.derivative(time=1, datetime_unit="D")
    assert per_day.attrs["units"] == "K day-1"
    check(per_day.values, Line(seconds / DAY, uniform=True).differentiate(stored(path, A1B[1]), 0))


def test_undecoded_times_give_the_derivative_per_hour(data_path: Find):
    path = data_path(A1B[0])
    result = open_file(path, decode_times=False)[A1B[1]].grad.derivative(time=1)
    assert result.attrs["units"] == "K h-1"
    assert result.attrs["standard_name"] == "tendency_of_air_temperature"
    check(result.values, Line(stored(path, "time"), uniform=True).differentiate(stored(path, A1B[1]), 0))


@pytest.mark.parametrize("decode_coords", [True, "all"])
def test_a1b_written_and_read_back(decode_coords: Any, data_path: Find, tmp_path: Path):
    source = data_path(A1B[0])
    ds = open_file(source, decode_coords=decode_coords)
    result = ds.grad.compute(["time", "latitude"])
    result.to_netcdf(tmp_path / "out.nc")
    with netCDF4.Dataset(source) as before, netCDF4.Dataset(tmp_path / "out.nc") as after:
        assert set(after.variables) == set(before.variables) - {A1B[1]} | {
            "dair_temperature_dtime",
            "dair_temperature_dlatitude",
        }
        assert after.dimensions["time"].isunlimited()
        assert not after.dimensions["latitude"].isunlimited()
        assert after["time"].calendar == "360_day"
        assert after["time"].units.startswith("hours since 1970-01-01")
        assert after["time"].bounds == "time_bnds"
        for name in ("time", "time_bnds", "latitude", "longitude", "forecast_period", "height"):
            assert after[name].dtype == before[name].dtype
            assert np.array_equal(after[name][...], before[name][...])
        for key in before["latitude_longitude"].ncattrs():
            assert after["latitude_longitude"].getncattr(key) == before["latitude_longitude"].getncattr(key)
        derived = after["dair_temperature_dtime"]
        assert derived.grid_mapping == "latitude_longitude"
        assert {"forecast_period", "forecast_reference_time", "height"} <= set(derived.coordinates.split())
        assert derived.dtype == np.float32
        assert derived.units == "K s-1"
        assert derived.getncattr("Model scenario") == "A1B"
        assert not {"scale_factor", "add_offset", "cell_methods"} & set(derived.ncattrs())
        assert after.Conventions == before.Conventions
    again = open_file(tmp_path / "out.nc", decode_coords=decode_coords)
    assert same_bits(again.dair_temperature_dtime.values, result.dair_temperature_dtime.values)
    assert np.array_equal(again.time.values, ds.time.values)


# -- ERA-Interim: packed, global with poles, descending latitude ---------------------------------------


def test_eraint_packed_input_written_and_read_back(data_path: Find, tmp_path: Path):
    path = data_path(ERA)
    with opening(), xr.open_dataset(path, chunks={"latitude": 50}) as ds:
        assert ds.u.encoding["dtype"] == np.int16  # the encoding that must not reach the result
        result = ds.grad.compute(["longitude", "latitude"])
        assert list(result.data_vars) == [f"d{v}_d{dim}" for v in "zuv" for dim in ("longitude", "latitude")]
        assert all(v.encoding == {} for v in result.data_vars.values())
        result.to_netcdf(tmp_path / "out.nc")
    computed = open_file(path).grad.compute(["longitude", "latitude"])
    with netCDF4.Dataset(tmp_path / "out.nc") as file:
        for name, units in [("du_dlongitude", "m s-1 degree-1"), ("dz_dlatitude", "m2 s-2 degree-1")]:
            variable = file[name]
            packing = {"scale_factor", "add_offset", "number_of_significant_digits"}
            assert not packing & set(variable.ncattrs())
            assert variable.dtype == np.float64
            assert variable.units == units
            variable.set_auto_maskandscale(False)
            assert same_bits(variable[...], computed[name].values)
    again = open_file(tmp_path / "out.nc").dv_dlongitude
    assert np.abs(again.values).max() > 1e-2  # not the zeros of an int16
    value, bound = Line(stored(path, "longitude"), True, 360.0).differentiate(stored(path, "v"), 3)
    check(again.values, (value, bound))
    as_float32 = computed.dv_dlongitude.astype(np.float32)
    as_float32.to_netcdf(tmp_path / "single.nc")
    single = open_file(tmp_path / "single.nc").dv_dlongitude
    np.testing.assert_allclose(single.values, again.values, rtol=2.0**-24)


def test_eraint_is_a_ring(data_path: Find):
    path = data_path(ERA)
    array = open_file(path).u
    assert "ring" in repr(array.grad.plan("longitude"))
    assert "ring" not in repr(array.grad.plan("latitude"))
    result = array.grad.derivative(longitude=1).values
    f = stored(path, "u")
    for column, below, above in [(0, -1, 1), (479, 478, 0)]:
        assert np.allclose(result[..., column], (f[..., above] - f[..., below]) / 1.5, rtol=1e-14, atol=1e-14)
    rolled = array.roll(longitude=100, roll_coords=False).grad.derivative(longitude=1, order=4).values
    assert same_bits(rolled, np.roll(array.grad.derivative(longitude=1, order=4).values, 100, axis=-1))
    opened = array.grad.derivative(longitude=1, periodic=False).values
    check(opened, Line(stored(path, "longitude"), uniform=True).differentiate(f, 3))
    assert same_bits(opened[..., 1:-1], result[..., 1:-1])
    assert not np.allclose(opened[..., 0], result[..., 0], rtol=1e-3)


def test_eraint_with_its_first_column_repeated(data_path: Find):
    array = open_file(data_path(ERA)).u
    first = array.isel(longitude=[0])
    doubled = xr.concat([array, first.assign_coords(longitude=first.longitude + 360)], "longitude")
    plan = repr(doubled.grad.plan("longitude"))
    assert "duplicate" in plan
    result = doubled.grad.derivative(longitude=1, order=4).values
    assert same_bits(result[..., :-1], array.grad.derivative(longitude=1, order=4).values)
    assert same_bits(result[..., -1], result[..., 0])


def test_eraint_from_pole_to_pole(data_path: Find):
    path = data_path(ERA)
    z, latitude = stored(path, "z"), stored(path, "latitude")
    assert latitude[0] == 90.0
    assert latitude[-1] == -90.0
    result = open_file(path).z.grad.compute(["longitude", "latitude"])
    # A scalar has one value at a pole: these rows are constant, or by their packing differ by one count.
    range_ = np.ptp(z[:, :, [0, -1]], axis=-1)
    assert range_.max() < 1.73
    at_poles = result.dz_dlongitude.values[:, :, [0, -1]]
    assert np.count_nonzero(range_ == 0.0) == 10
    assert np.all(at_poles[range_ == 0.0] == 0.0)
    assert np.abs(at_poles).max() <= range_.max() / 1.5 * (1 + 1e-12)
    north = (-3 * z[:, :, 0] + 4 * z[:, :, 1] - z[:, :, 2]) / (2 * -0.75)
    south = (3 * z[:, :, -1] - 4 * z[:, :, -2] + z[:, :, -3]) / (2 * -0.75)
    # Values of 1e5 add up to differences of 1e2: 8 |z| eps / 1.5 on their side
    np.testing.assert_allclose(result.dz_dlatitude.values[:, :, 0], north, rtol=1e-14, atol=2e-10)
    np.testing.assert_allclose(result.dz_dlatitude.values[:, :, -1], south, rtol=1e-14, atol=2e-10)


def test_eraint_counts_as_packed_are_integers_that_do_not_wrap_round(data_path: Find):
    path = data_path(ERA)
    counts = open_file(path, mask_and_scale=False).u
    with pytest.raises(XgradError, match="'u' has scale_factor and add_offset in its attributes"):
        counts.grad.derivative(longitude=1)
    counts = counts.drop_attrs(deep=False)
    assert counts.dtype == np.int16
    result = counts.grad.derivative(longitude=1)
    assert result.dtype == np.float64
    with netCDF4.Dataset(path) as file:
        file["u"].set_auto_maskandscale(False)
        raw = file["u"][...]
    assert np.abs(np.diff(raw.astype(np.int64), axis=-1)).max() > 1000
    line = Line(stored(path, "longitude"), True, 360.0)
    check(result.values, line.differentiate(raw.astype(np.float64), 3))


def test_eraint_months_are_too_few_for_order_2(data_path: Find):
    path = data_path(ERA)
    z = open_file(path).z
    message = r"'month' has 2 points, but 3 are needed.*edge_order=1"
    with pytest.raises(CoordinateError, match=message):
        z.grad.compute("month")
    result = z.grad.derivative(month=1, edge_order=1)
    assert "units" not in result.attrs  # the coordinate says none
    f = stored(path, "z")
    np.testing.assert_allclose(result.values, np.stack([(f[1] - f[0]) / 6] * 2), rtol=1e-15)


def test_eraint_mixed_derivative(data_path: Find):
    path = data_path(ERA)
    array = open_file(path).u.isel(month=0, level=1)
    result = array.grad.derivative(longitude=1, latitude=2, order=4)
    assert result.name == "d3u_dlongitudedlatitude2"
    assert result.attrs["units"] == "m s-1 degree-3"
    f = stored(path, "u")[0, 1]
    between, _ = Line(stored(path, "latitude"), uniform=True).differentiate(f, 0, n=2, order=4)
    value, bound = Line(stored(path, "longitude"), True, 360.0).differentiate(between, 1, order=4)
    # The rounding of the first factor, 1e-14 of sum|w| max|f|, goes through the second
    check(result.values, (value, bound + 1e-14 * 200 * np.abs(f).max()))
    lazy = array.chunk(latitude=(7, 1, 233), longitude=(1, 1, 1, 477)).grad.derivative(
        longitude=1, latitude=2, order=4
    )
    assert same_bits(lazy.values, result.values)


# -- T42: big-endian, descending integer levels, Gaussian latitudes ------------------------------------


def test_t42_big_endian_arrays_and_the_engine_do_not_matter(data_path: Find):
    path = data_path(T42)
    native = open_file(path, engine="netcdf4")[["U", "V"]]
    # xarray's scipy engine may or may not swap bytes, by version; the file itself is big-endian.
    with netcdf_file(path, mmap=False) as file:
        raw = native.assign({name: native[name].copy(data=file.variables[name].data) for name in "UV"})
    assert raw["U"].dtype.str == ">f4"
    dims = ["lev", "lat", "lon"]
    result, expected = raw.grad.compute(dims, order=4), native.grad.compute(dims, order=4)
    through_scipy = open_file(path, engine="scipy")[["U", "V"]].grad.compute(dims, order=4)
    lazy = raw.chunk(lev=(1, 2, 1, 10), lat=5, lon=(127, 1)).grad.compute(dims, order=4)
    assert list(result.data_vars) == [f"d{v}_d{dim}" for v in "UV" for dim in dims]
    for name, variable in result.data_vars.items():
        assert variable.dtype == np.dtype("float32")
        assert variable.dtype.isnative
        for other in (expected, through_scipy, lazy):
            assert same_bits(variable.values, other[name].values)
    line = Line(stored(path, "lev"))
    assert set(np.diff(line.x)) == {-200.0, -150.0, -100.0, -50.0, -30.0, -20.0}
    check(result.dU_dlev.values, line.differentiate(stored(path, "U"), 1, order=4))


def test_t42_the_whole_file_with_a_unit_that_no_table_has(data_path: Find, tmp_path: Path):
    ds = open_file(data_path(T42), engine="scipy")
    assert ds.gw.attrs["units"] == "dimensionless"
    result = ds.drop_vars("gw").grad.compute()  # of gw xgrad warns, once in a process: tested with the units
    assert list(result.data_vars) == [f"d{v}_d{dim}" for v in "UVT" for dim in ("lev", "lat", "lon")]
    assert result.coords.keys() == ds.coords.keys()
    result.to_netcdf(tmp_path / "out.nc")
    with netCDF4.Dataset(tmp_path / "out.nc") as file:
        assert file["dT_dlon"].dimensions == ("time", "lev", "lat", "lon")
        assert file["lev"].units == "hPa"
        assert np.array_equal(file["lev"][...], stored(data_path(T42), "lev"))
        assert np.isnan(file["dU_dlev"].getncattr("_FillValue"))  # xarray's own, not the -999 of the input


# -- Atlantic profiles: levels, gaps, a longitude that passes 360 --------------------------------------


def test_profiles_end_at_the_sea_floor(data_path: Find):
    path = data_path("atlantic_profiles.nc")
    theta, depth = stored(path, "theta"), stored(path, "depth")
    result = open_file(path).theta.grad.derivative(depth=1).values
    assert np.isnan(theta).sum() == 33
    assert np.array_equal(np.isnan(result), np.isnan(theta))  # nothing is lost, nothing is made up
    j, i = np.argwhere(np.isnan(theta[-2]) & ~np.isnan(theta[-4]))[0]
    last = int(np.flatnonzero(~np.isnan(theta[:, j, i]))[-1])
    assert last < depth.size - 1
    (a, b, c), (fa, fb, fc) = depth[last - 2 : last + 1], theta[last - 2 : last + 1, j, i]
    by_hand = fa * (c - b) / ((a - b) * (a - c)) + fb * (c - a) / ((b - a) * (b - c))
    by_hand += fc * (2 * c - a - b) / ((c - a) * (c - b))
    assert result[last, j, i] == pytest.approx(by_hand, rel=1e-6)  # float32
    assert result[5, j, i] < 0  # colder below: positive is down


def test_longitudes_that_pass_the_end_of_the_circle_are_unwrapped(data_path: Find):
    path = data_path("atlantic_profiles.nc")
    ds = open_file(path)
    f, lon = stored(path, "theta"), stored(path, "lon")
    assert lon.tolist() == [0.5, *np.arange(325.5, 356.0, 5.0)]
    # As stored it ascends from 0.5 on: the gap of 325 degrees is what the file says.
    result = ds.theta.grad.compute("lon")
    check(result.dtheta_dlon.values, Line(lon).differentiate(f, 2))
    assert "a spacing of 325 within the longitudes" in result.dtheta_dlon.attrs["comment"]
    # In the order of the ocean 355.5 is followed by 0.5, 5 degrees on: a uniform axis.
    result = ds.theta.roll(lon=-1, roll_coords=True).grad.compute("lon", order=4)
    assert "360-degree jump unwrapped" in result.dtheta_dlon.attrs["comment"]
    assert result.lon.values.tolist() == [*np.arange(325.5, 356.0, 5.0), 0.5]
    unwrapped = Line(325.5 + 5.0 * np.arange(8), uniform=True)
    check(result.dtheta_dlon.values, unwrapped.differentiate(np.roll(f, -1, axis=2), 2, order=4))


def test_profiles_keep_their_unlimited_dimension(data_path: Find, tmp_path: Path):
    path = data_path("atlantic_profiles.nc")
    open_file(path).grad.compute("depth").to_netcdf(tmp_path / "out.nc")
    with netCDF4.Dataset(tmp_path / "out.nc") as file:
        assert file.dimensions["depth"].isunlimited()
        assert file["depth"].positive == "down"
        assert set(file.variables) == {"dtheta_ddepth", "dsalinity_ddepth", "depth", "lat", "lon", "time"}
        assert file["time"][...] == stored(path, "time")
        assert file["time"].units.startswith("days since 1800-01-01")
        assert file["dtheta_ddepth"].coordinates == "time"
        assert np.isnan(np.ma.filled(file["dtheta_ddepth"][...], np.nan)).sum() == 33


# -- calendars -----------------------------------------------------------------------------------------


def test_soi_months_of_unequal_length(data_path: Find):
    path = data_path("SOI_Darwin.nc")
    array = open_file(path).SOI_Darwin
    firsts = [datetime.date(1866 + k // 12, k % 12 + 1, 1) for k in range(1776)]
    days = np.array([date.toordinal() for date in firsts], dtype=np.float64)
    assert np.array_equal(days - days[0], stored(path, "time") - stored(path, "time")[0])
    f = stored(path, "SOI_Darwin")
    assert np.flatnonzero(np.isnan(f)).tolist() == [*range(1764, 1776)]  # -99.9
    result = array.grad.derivative(time=1, datetime_unit="D")
    assert not {"units", "standard_name"} & set(result.attrs)  # an index without a unit stays without
    check(result.values, Line(days).differentiate(f, 0))
    # January 1866 to March: 31 and 28 days, weighted, not averaged
    h, d = 31.0, 28.0
    expected = -d / h / (h + d) * (f[0] - f[1]) + h / d / (h + d) * (f[2] - f[1])
    assert result.values[1] == pytest.approx(expected, rel=1e-7)
    assert abs(expected - (f[2] - f[0]) / (h + d)) > 1e-4
    weekly = array.grad.derivative(time=2, datetime_unit="W")
    check(weekly.values, Line(days / 7).differentiate(f, 0, n=2))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_soi_is_the_same_in_every_resolution_and_in_cftime(unit: str, data_path: Find):
    array = open_file(data_path("SOI_Darwin.nc")).SOI_Darwin
    result = array.grad.derivative(time=1, order=4)
    stamps = array.time.values.astype(f"datetime64[{unit}]")
    assert same_bits(array.assign_coords(time=stamps).grad.derivative(time=1, order=4).values, result.values)
    dates = xr.date_range("1866-01-01", periods=1776, freq="MS", calendar="standard", use_cftime=True)
    assert same_bits(array.assign_coords(time=dates).grad.derivative(time=1, order=4).values, result.values)


def test_canesm_has_no_leap_days(data_path: Find):
    path = data_path(CANESM[0])
    array = open_file(path).tas
    first_day = np.cumsum([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30])
    dates = array.time.values
    days = np.array([d.year * 365.0 + first_day[d.month - 1] + d.day - 1 + d.hour / 24 for d in dates])
    assert np.array_equal(days - days[0], stored(path, "time") - stored(path, "time")[0])
    assert any(d.year % 4 == 0 for d in dates)  # a leap year elsewhere
    result = array.grad.derivative(time=1, order=6, datetime_unit="h")
    assert result.attrs["units"] == "K h-1"
    check(result.values, Line(days * 24).differentiate(stored(path, "tas"), 0, order=6))


def test_canesm_written_and_read_back_with_all_bounds(data_path: Find, tmp_path: Path):
    path = data_path(CANESM[0])
    with xr.open_dataset(path, chunks={"time": 7}) as ds:
        result = ds.chunk(lon=50).grad.compute(["time", "lat", "lon"])
        names = [f"dtas_d{dim}" for dim in ("time", "lat", "lon")]
        assert result.attrs == ds.attrs
        result.to_netcdf(tmp_path / "out.nc")
    with netCDF4.Dataset(path) as before, netCDF4.Dataset(tmp_path / "out.nc") as after:
        assert set(after.variables) == set(before.variables) - {"tas"} | set(names)
        for name in ("time", "lat", "lon"):
            assert after[name].bounds == f"{name}_bnds"
            assert np.array_equal(after[name][...], before[name][...])
            assert np.array_equal(after[f"{name}_bnds"][...], before[f"{name}_bnds"][...])
        assert after.dimensions["time"].isunlimited()
        assert after["time"].calendar in {"noleap", "365_day"}
        assert after["time"].units == before["time"].units
        assert after["dtas_dlon"].units == "K degree-1"
        # areacella is an external variable of the file: what was true of tas is true of its derivative
        assert after["dtas_dlon"].cell_measures == before["tas"].cell_measures
        assert not {"cell_methods", "original_name"} & set(after["dtas_dlon"].ncattrs())
    again = open_file(tmp_path / "out.nc")
    eager = open_file(path).grad.compute(["time", "lat", "lon"])
    assert list(again.time.values) == list(eager.time.values)
    assert all(same_bits(again[name].values, eager[name].values) for name in names)


# -- projections, masks, grids without coordinates -----------------------------------------------------


def alone(f: Array, axis: int) -> Array:
    """Valid points without a valid neighbour along an axis."""
    valid = np.moveaxis(~np.isnan(f), axis, 0)
    beyond = np.zeros_like(valid[:1])
    below, above = np.concatenate([beyond, valid[:-1]]), np.concatenate([valid[1:], beyond])
    return np.moveaxis(valid & ~below & ~above, 0, axis)


def test_masked_sea_around_great_britain(data_path: Find, tmp_path: Path):
    path = data_path("tmerc_tmean.nc")
    f = stored(path, "tmean")
    ds = open_file(path)
    assert np.isnan(f).sum() == 31757
    result = ds.grad.compute(["x", "y"], order=4)
    assert (alone(f, 1).sum(), alone(f, 2).sum()) == (3, 0)
    for dim, axis in (("x", 2), ("y", 1)):
        # lost are only points without a neighbour on either side
        missing = np.isnan(result[f"dtmean_d{dim}"].values)
        assert np.array_equal(missing, np.isnan(f) | alone(f, axis))
    result.to_netcdf(tmp_path / "out.nc")
    with netCDF4.Dataset(tmp_path / "out.nc") as file:
        assert file["dtmean_dx"].grid_mapping == "crs"
        assert file["crs"].grid_mapping_name == "transverse_mercator"
        assert file["time"].climatology == "climatology_bounds"
        assert np.array_equal(file["climatology_bounds"][...], stored(path, "climatology_bounds"))
        assert file.dimensions["time"].isunlimited()
        assert np.array_equal(file["lat"][...], stored(path, "lat"))
        assert set(file["dtmean_dy"].coordinates.split()) == {"lat", "lon"}


def test_lambert_bounds_and_grid_mapping_are_kept(data_path: Find, tmp_path: Path):
    path = data_path("lcc_tas.nc")
    with xr.open_dataset(path, chunks={}) as ds:
        ds.grad.compute(["time", "y", "x"]).to_netcdf(tmp_path / "out.nc")
    with netCDF4.Dataset(tmp_path / "out.nc") as file:
        assert file["lambert_conformal_conic"].grid_mapping_name == "lambert_conformal_conic"
        assert file["x"].dtype == np.int32
        assert np.array_equal(file["time_bnds"][...], stored(path, "time_bnds"))
        assert np.array_equal(file["time"][...], stored(path, "time"))
        assert file["dtas_dtime"].units == "K s-1"
        value, bound = Line(stored(path, "x"), uniform=True).differentiate(stored(path, "tas"), 2)
        check(np.ma.filled(file["dtas_dx"][...].astype(np.float64), np.nan), (value, bound))


def test_what_describes_coordinates_follows_the_derivatives_in_the_order_of_the_file(data_path: Find):
    ds = open_file(data_path(THETA[0]))
    result = ds.grad.compute(["model_level_number", "grid_latitude"])
    derived = [f"d{THETA[1]}_d{dim}" for dim in ("model_level_number", "grid_latitude")]
    assert list(result.data_vars) == [*derived, *(name for name in ds.data_vars if name != THETA[1])]
    assert {"level_height_bnds", "sigma_bnds", "rotated_latitude_longitude"} <= set(result.data_vars)
    assert all(result[name].identical(ds[name]) for name in ds.data_vars if name != THETA[1])


def test_a_rotated_grid_does_not_care_where_its_longitudes_begin(data_path: Find):
    path = data_path(MSLP[0])
    array = open_file(path)[MSLP[1]]
    as_stored = array.grad.derivative(grid_longitude=1, order=4)
    x = array.grid_longitude.astype(np.float64)
    wrapped = array.assign_coords(grid_longitude=x.where(x < 360, x - 360).assign_attrs(x.attrs))
    assert wrapped.grid_longitude.values[-1] < 31
    result = wrapped.grad.derivative(grid_longitude=1, order=4)
    assert "360-degree jump unwrapped" in result.attrs["comment"]
    assert same_bits(result.values, as_stored.values)


def test_the_disc_seen_from_space_keeps_its_rim(data_path: Find):
    path = data_path("toa_brightness_stereographic.nc")
    f = stored(path, "data")
    y = stored(path, "y")
    assert np.isnan(f).sum() == 3152
    assert y[0] > y[-1]
    result = open_file(path).data.grad.derivative(y=1).values
    assert alone(f, 0).any()
    assert np.array_equal(np.isnan(result), np.isnan(f) | alone(f, 0))
    # positive is towards larger y, which is up in the picture and down in the array
    j, i = np.argwhere(~np.isnan(f[:-2]) & ~np.isnan(f[1:-1]) & ~np.isnan(f[2:]))[500] + [1, 0]
    h = (y[0] - y[-1]) / 159
    assert result[j, i] == pytest.approx((f[j - 1, i] - f[j + 1, i]) / (2 * h), rel=1e-6)


@pytest.mark.parametrize(
    ("file", "variable", "coordinate", "message"),
    [
        (ORCA, "votemper", "nav_lon", r"'nav_lon' lies on the dimensions \('dim0', 'dim1'\)"),
        (ORCA, "votemper", "dim1", r"dimension 'dim1' has no coordinate.*spacing=\{'dim1'"),
        (NEMO, "tos", "nav_lat", r"'nav_lat' lies on the dimensions \('y', 'x'\)"),
        (NEMO, "tos", "x", r"dimension 'x' has no coordinate.*spacing=\{'x'"),
        (NEMO, "tos", "time_counter", r"'time_counter' has size 1: at least 2"),
        (NEMO, "tos", "longitude", r"no dimension or coordinate 'longitude'"),
        (WRF, "T", "west_east", r"dimension 'west_east' has no coordinate.*spacing=\{'west_east'"),
        (WRF, "T", "XLAT", r"'XLAT' lies on the dimensions \('Time', 'south_north', 'west_east'\)"),
        (WRF, "T", None, r"no dimension of 'T' has a usable.*'west_east'.* has no coordinate"),
        (ERA, "u", "longitud", r"no dimension or coordinate 'longitud': did you mean 'longitude'"),
    ],
)
def test_what_has_no_1d_coordinate_is_refused(
    file: str, variable: str, coordinate: str | None, message: str, data_path: Find
):
    array = open_file(data_path(file))[variable]
    with pytest.raises(CoordinateError, match=message):
        array.grad.compute(coordinate)
    assert array.grad.__repr__()  # looking at it never raises


def test_wrf_with_the_spacing_of_its_grid(data_path: Find):
    path = data_path(WRF)
    ds = open_file(path)
    dx = xr.DataArray(float(ds.attrs["DX"]), attrs={"units": "m"})
    result = ds["T"].grad.compute("west_east", order=4, spacing={"west_east": dx})
    assert result.dT_dwest_east.attrs["units"] == "K m-1"
    line = Line(1e4 * np.arange(48), uniform=True)
    check(result.dT_dwest_east.values, line.differentiate(stored(path, "T"), 3, order=4))
    staggered = ds["U"].grad.derivative(west_east_stag=1, spacing={"west_east_stag": 1e4})
    assert staggered.sizes["west_east_stag"] == 49
    assert "units" not in staggered.attrs
    check(staggered.values, Line(1e4 * np.arange(49), uniform=True).differentiate(stored(path, "U"), 3))
    thin = ds["T"].chunk(west_east=(1, 1, 44, 2))
    lazy = thin.grad.compute("west_east", order=4, spacing={"west_east": dx})
    assert same_bits(lazy.dT_dwest_east.values, result.dT_dwest_east.values)


def test_wrf_along_its_times_which_are_no_dimension_coordinate(data_path: Find):
    path = data_path(WRF)
    array = open_file(path)["T2"]
    assert array.XTIME.dims == ("Time",)
    result = array.grad.compute("XTIME")
    assert result.dT2_dXTIME.attrs["units"] == "K s-1"
    minutes = Line(stored(path, "XTIME") * 60.0, uniform=True)
    check(result.dT2_dXTIME.values, minutes.differentiate(stored(path, "T2"), 0))


def test_ocean_on_index_space_with_land(data_path: Find):
    path = data_path(ORCA)
    f = stored(path, "votemper")
    assert np.isnan(f).any()
    array = open_file(path).votemper
    result = array.grad.derivative(dim1=1, order=4, spacing={"dim1": 1.0})
    assert "units" not in result.attrs
    check(result.values, Line(np.arange(180.0), uniform=True).differentiate(f, 1, order=4))
    ring = array.grad.derivative(dim1=1, order=4, spacing={"dim1": 1}, periodic=["dim1"])
    check(ring.values, Line(np.arange(180.0), uniform=True, period=180.0).differentiate(f, 1, order=4))
    lazy = array.chunk(dim0=40, dim1=(1, 2, 1, 100, 76))
    lazy = lazy.grad.derivative(dim1=1, order=4, spacing={"dim1": 1}, periodic=["dim1"])
    assert same_bits(lazy.values, ring.values)
