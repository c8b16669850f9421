"""Real files on real grids, against an independent calculation at the same order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import references
import xarray as xr

import xgrad

Find = Callable[[str], Path]
SPHERE = (6371229.0, 0.0)
CLOSE = 1e-6  # of the largest value, as the acceptance says; float32 results are rounded at 6e-8


def opened(path: Path) -> xr.Dataset:
    return xr.open_dataset(path, decode_times=False)


def assert_close(found: Any, expected: np.ndarray) -> None:
    values = np.asarray(found.values, np.float64)
    np.testing.assert_array_equal(np.isnan(values), np.isnan(expected))
    assert np.isfinite(values).any()
    assert np.nanmax(abs(values - expected)) <= CLOSE * np.nanmax(abs(expected))


def both(found: xr.Dataset, name: str, expected: tuple[np.ndarray, np.ndarray]) -> None:
    for letter, right in zip("xy", expected, strict=True):
        assert_close(found[f"d{name}_d{letter}"], right)


def degrees(crs: Any, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes and latitudes of a projection's grid, on its own figure."""
    crs = pyproj.CRS.from_user_input(crs)
    base = crs.source_crs if crs.is_geographic else crs.geodetic_crs
    return pyproj.Transformer.from_crs(crs, base, always_xy=True).transform(*np.meshgrid(x, y))


@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize("geometry", ["auto", "curvilinear"])
@pytest.mark.parametrize(
    ("file", "name"), [("orca2_votemper.nc", "votemper"), ("nemo_1m_20150301-20150401_grid-T.nc", "tos")]
)
def test_tripolar_oceans(data_path: Find, file: str, name: str, geometry: str, order: int) -> None:
    f = opened(data_path(file))[name]
    dims = list(f.nav_lon.dims)
    if name == "tos":  # one degree, but less along its southern and northern ends
        with pytest.warns(xgrad.PrecisionWarning, match="float32"):
            f.grad.compute(dims, geometry=geometry)
        f = f.assign_coords({key: f[key].astype(float) for key in ("nav_lon", "nav_lat")})
    found = f.grad.compute(dims, geometry=geometry, order=order)
    lon, lat = (f[key].values.astype(float) for key in ("nav_lon", "nav_lat"))
    both(found, name, references.chord(f.values.astype(float), lon, lat, order, *SPHERE, ring=True))
    chunked = f.chunk({dims[0]: 41, dims[1]: 53}).grad.compute(dims, geometry=geometry, order=order)
    for key in found:
        np.testing.assert_array_equal(chunked[key].values, found[key].values, strict=True)


@pytest.mark.parametrize("order", [2, 4])
def test_orca_with_its_two_repeated_columns(data_path: Find, order: int) -> None:
    """Full ORCA files repeat the first two columns at the end; the ring and the results are the same."""
    f = opened(data_path("orca2_votemper.nc")).votemper.drop_vars("time_counter")
    wide = xr.concat([f, f.isel(dim1=slice(0, 2))], "dim1")
    found, right = (g.grad.compute(geometry="curvilinear", order=order) for g in (wide, f))
    for key in right:
        np.testing.assert_array_equal(found[key].values[:, :180], right[key].values)
        np.testing.assert_array_equal(found[key].values[:, 180:], right[key].values[:, :2])
    assert "2 columns repeated" in repr(wide.grad.plan(geometry="curvilinear"))


@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize(
    ("file", "name", "mapping", "repaired"),
    [
        ("rotated_pole.nc", "air_pressure_at_sea_level", "rotated_latitude_longitude", True),
        ("toa_brightness_stereographic.nc", "data", "stereographic", True),
        ("lcc_tas.nc", "tas", "lambert_conformal_conic", False),
        ("tmerc_tmean.nc", "tmean", "crs", False),
    ],
)
def test_projections(data_path: Find, file: str, name: str, mapping: str, repaired: bool, order: int) -> None:
    ds = opened(data_path(file))
    rows, columns = ds[name].dims[-2:]
    x, y = (ds[dim].values.astype(float) for dim in (columns, rows))
    if repaired:  # float32 coordinates of even spacing are freed from rounding
        x, y = np.linspace(x[0], x[-1], x.size), np.linspace(y[0], y[-1], y.size)
    attrs = {key: np.asarray(value).tolist() for key, value in ds[mapping].attrs.items()}
    if file.startswith("lcc"):  # it says no figure of the earth: the default of the contract
        attrs["earth_radius"] = SPHERE[0]
    crs = pyproj.CRS.from_cf(attrs)
    flattening = 1 / crs.ellipsoid.inverse_flattening if crs.ellipsoid.inverse_flattening else 0.0
    lon, lat = (np.where(np.isfinite(a), a, np.nan) for a in degrees(crs, x, y))
    figure = crs.ellipsoid.semi_major_metre, flattening
    values = ds[name].values.astype(float)
    expected = references.chord(values, lon, lat, order, *figure, x=x, y=y)
    for geometry in ("projected", "auto"):
        both(
            ds[[name, mapping]].grad.compute([columns, rows], geometry=geometry, order=order), name, expected
        )
    chunked = ds[[name, mapping]].chunk({rows: 31, columns: 17})
    found = chunked.grad.compute([columns, rows], geometry="projected", order=order)
    both(found, name, expected)


def test_the_file_knows_its_own_longitudes(data_path: Find) -> None:
    """The eastward derivative of the file's own longitudes, in radians, is 1 / (N cos phi)."""
    ds = opened(data_path("tmerc_tmean.nc"))
    for name, right in (("lon", (1.0, 0.0)), ("lat", (0.0, 1.0))):
        f = (
            np.radians(ds[name])
            .assign_attrs(grid_mapping="crs", units="1")
            .reset_coords(drop=True)
            .rename("f")
        )
        found = xr.Dataset({"f": f, "crs": ds.crs}).grad.compute(geometry="projected", order=4)
        a, f_inv = 6377563.396, 299.3249646
        e2 = (2 - 1 / f_inv) / f_inv
        sine = np.sin(np.radians(ds.lat.values))
        scale = {
            "lon": a / np.sqrt(1 - e2 * sine**2) * np.cos(np.radians(ds.lat.values)),
            "lat": a * (1 - e2) / (1 - e2 * sine**2) ** 1.5,
        }[name]
        inner = (slice(4, -4), slice(4, -4))
        # the file's float64 longitudes are good to 1.6e-6 degrees, over steps of 5 km: 4e-5
        assert abs(found.df_dx.values * scale - right[0])[inner].max() <= 1e-4
        assert abs(found.df_dy.values * scale - right[1])[inner].max() <= 1e-4


@pytest.mark.parametrize("order", [2, 4])
def test_given_cell_sizes_win_over_longitudes(data_path: Find, order: int) -> None:
    t = opened(data_path("gyre_T.nc")).toce.isel(time_counter=0, drop=True)
    domain = opened(data_path("gyre_domain.nc")).isel(time_counter=0, drop=True)
    sizes = {
        name: domain[name]
        .rename(x="x_grid_T", y="y_grid_T")
        .drop_vars(["nav_lon", "nav_lat"], errors="ignore")
        for name in ("e1t", "e2t")
    }
    t = t.where(t != 0)  # land is stored as 0
    metric = xgrad.Metric(dx=("x_grid_T", sizes["e1t"]), dy=("y_grid_T", sizes["e2t"]))
    found = t.grad.compute(["x_grid_T", "y_grid_T"], geometry=metric, order=order)
    both(
        found,
        "toce",
        references.along_grid(t.values.astype(float), sizes["e1t"].values, sizes["e2t"].values, order),
    )
    assert "standard_name" not in found.dtoce_dx.attrs
    assert found.dtoce_dx.attrs["units"] == "K m-1"
    by_place = t.grad.compute(["x_grid_T", "y_grid_T"], geometry="curvilinear", order=order)
    ratio = np.hypot(by_place.dtoce_dx, by_place.dtoce_dy) / np.hypot(found.dtoce_dx, found.dtoce_dy)
    assert float(ratio.max()) > 1.08  # the trap: its metric is not that of its longitudes and latitudes
    ds = xr.Dataset({"toce": t, **sizes})
    named = ds.grad.compute(
        ["x_grid_T", "y_grid_T"],
        geometry=xgrad.Metric(dx=("x_grid_T", "e1t"), dy=("y_grid_T", "e2t")),
        order=order,
    )
    np.testing.assert_array_equal(named.dtoce_dx, found.dtoce_dx)


@pytest.mark.parametrize("order", [2, 4])
def test_wrf_with_map_factors(data_path: Find, order: int) -> None:
    ds = opened(data_path("wrf_input.nc"))
    dx, dy = ds.DX / ds.MAPFAC_M, ds.DY / ds.MAPFAC_M
    metric = xgrad.Metric(dx=("west_east", dx), dy=("south_north", dy))
    found = ds[["T2"]].grad.compute(["west_east", "south_north"], geometry=metric, order=order)
    expected = references.along_grid(
        ds.T2.values.astype(float), dx.values.astype(float), dy.values.astype(float), order
    )
    both(found, "T2", expected)


@pytest.mark.parametrize("order", [2, 4])
def test_wrf_on_eta_levels(data_path: Find, order: int) -> None:
    ds = opened(data_path("wrf_input.nc")).isel(Time=0)
    stag = (ds.PH + ds.PHB) / 9.81
    z = 0.5 * (stag.isel(bottom_top_stag=slice(0, -1)) + stag.isel(bottom_top_stag=slice(1, None)).values)
    z = z.rename(bottom_top_stag="bottom_top").assign_attrs(units="m").astype(float)
    dx = (ds.DX / ds.MAPFAC_M).astype(float)
    f = ds["T"].astype(float).assign_coords(z=z)
    metric = xgrad.Metric(dx=("west_east", dx), dy=("south_north", dx))
    geometry = xgrad.TerrainFollowing("z", horizontal=metric, vertical="bottom_top")
    found = f.grad.compute(["west_east", "south_north", "bottom_top"], geometry=geometry, order=order)
    flat, slope = (references.along_grid(a.values, dx.values, dx.values, order) for a in (f, z))
    for letter, fx, zx in zip("xy", flat, slope, strict=True):
        at_height, by_height = references.terrain(f.values, z.values, fx, zx, order, axis=-3)
        assert_close(found[f"dT_d{letter}"], at_height)
        assert_close(found["dT_dz"], by_height)
    steep = xgrad.hydrostatic_consistency(z, "bottom_top")
    assert 0 < float(steep.max()) < 2


@pytest.mark.parametrize("order", [2, 4])
def test_hybrid_height_on_a_rotated_grid(data_path: Find, order: int) -> None:
    ds = opened(data_path("hybrid_height.nc"))
    name = "air_potential_temperature"
    f = ds[name].values.astype(float)
    x, y = ds.grid_longitude.values.astype(float), ds.grid_latitude.values.astype(float)
    y = np.linspace(y[0], y[-1], y.size)
    attrs = {key: np.asarray(value).tolist() for key, value in ds.rotated_latitude_longitude.attrs.items()}
    lon, lat = degrees(pyproj.CRS.from_cf(attrs), x, y)
    a, b, orography = (ds[key].values.astype(float) for key in ("level_height", "sigma", "surface_altitude"))
    z = a[:, np.newaxis, np.newaxis] + b[:, np.newaxis, np.newaxis] * orography
    flat, slope = (references.chord(v, lon, lat, order, *SPHERE, x=x, y=y) for v in (f, z))
    found = ds.grad.compute(geometry=xgrad.TerrainFollowing(), order=order)
    for letter, fx, zx in zip("xy", flat, slope, strict=True):
        at_height, by_height = references.terrain(f, z, fx, zx, order, s=a, axis=0)
        assert_close(found[f"d{name}_d{letter}"], at_height)
        assert_close(found[f"d{name}_dz"], by_height)
    chunked = ds.chunk(model_level_number=4, grid_latitude=30).grad.compute(
        geometry=xgrad.TerrainFollowing(), order=order
    )
    for letter in "xyz":
        np.testing.assert_array_equal(
            chunked[f"d{name}_d{letter}"].values, found[f"d{name}_d{letter}"].values
        )


CHOSEN = {
    "orca2_votemper.nc": "curvilinear",
    "nemo_1m_20150301-20150401_grid-T.nc": "curvilinear",
    "rotated_pole.nc": "projected",
    "hybrid_height.nc": "projected",
    "toa_brightness_stereographic.nc": "projected",
    "lcc_tas.nc": "projected",
    "tmerc_tmean.nc": "projected",
    "A1B_north_america.nc": "sphere",
    "uvt_T42.nc": "sphere",
    "tas_CanESM5_gaussian_noleap.nc": "sphere",
}


@pytest.mark.parametrize(("file", "geometry"), CHOSEN.items())
def test_the_geometry_of_real_files_is_recognised(data_path: Find, file: str, geometry: str) -> None:
    ds = opened(data_path(file))
    plan = repr(ds.grad.plan(geometry="auto"))
    assert f"geometry {geometry!r} by CF metadata" in plan
    assert plan.count("; not ") >= 2  # each other candidate has its reason
    assert f"geometry {geometry!r} by CF metadata" in repr(ds.grad)


def test_the_whole_earth_with_both_poles(data_path: Find) -> None:
    """A component of a vector, as its standard name says, and a scalar: only this one has east on a pole."""
    with pytest.warns(xr.SerializationWarning):
        ds = opened(data_path("eraint_uvz.nc")).isel(month=0, level=2)
    assert ds.u.attrs["standard_name"] == "eastward_wind"
    found = ds.grad.compute(["longitude", "latitude"], geometry="sphere", order=4)
    for name, sign in (("u", -1), ("z", 1)):
        lon, lat, values = ds.longitude.values, ds.latitude.values, ds[name].values
        both(found, name, references.lonlat(values, lon, lat, 4, *SPHERE, ring=True, sign=sign))
    assert np.isfinite(found.dz_dx).all()
    assert np.isfinite(found.du_dx[1:-1]).all()
    assert np.isnan(found.du_dx[[0, -1]]).all()
