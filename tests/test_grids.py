"""Which geometry a grid has, what is refused, and grids with rings, land, folds and levels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import array_api_strict
import dask
import dask.array as da
import numpy as np
import pint
import pyproj
import pytest
import references
import xarray as xr

import xgrad
from xgrad import cf, cli
from xgrad.geometry import chord, memory

EAST, NORTH = {"units": "degrees_east"}, {"units": "degrees_north"}
LONGITUDE, LATITUDE = ({"standard_name": name, "units": "degrees"} for name in ("longitude", "latitude"))


def regular(lon: dict[str, str] = EAST, lat: dict[str, str] = NORTH, **attrs: Any) -> xr.DataArray:
    coords = {"b": ("b", np.linspace(10.0, 40, 7), lat), "a": ("a", np.linspace(0.0, 50, 6), lon)}
    values = np.random.default_rng(0).standard_normal((7, 6))
    return xr.DataArray(values, coords, ("b", "a"), name="f", attrs={"units": "K", **attrs})


def curved(count: int = 24, rows: int = 9, *, extra: int = 0, lon0: float = 73.0) -> xr.DataArray:
    """A global grid whose lines are not those of longitude and latitude, with `extra` repeated columns."""
    i, j = np.meshgrid(np.arange(count + extra) % count, np.linspace(-60, 80, rows))
    lon = (lon0 + i * 360 / count + 0.2 * j) % 360
    lat = j + 5 * np.sin(2 * np.pi * i / count)
    coords = {"lon": (("y", "x"), lon, EAST), "lat": (("y", "x"), lat, NORTH)}
    lam, phi = np.radians(lon), np.radians(lat)
    return xr.DataArray(np.cos(phi) * np.cos(lam - 0.3) + np.sin(phi) ** 2, coords, ("y", "x"), name="f")


def slopes(f: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """The exact gradient of the field of `curved`."""
    lam, phi = np.radians(f.lon.values), np.radians(f.lat.values)
    north = -np.sin(phi) * np.cos(lam - 0.3) + 2 * np.sin(phi) * np.cos(phi)
    return -np.sin(lam - 0.3) / 6371229.0, north / 6371229.0


def refused(f: Any, *words: str, dims: Any = None, **options: Any) -> None:
    with pytest.raises(xgrad.XgradError) as caught:
        f.grad.compute(dims, **options)
    for word in words:
        assert word in str(caught.value), str(caught.value)


# --- what fits


def test_names_never_decide() -> None:
    f = regular()
    for dims in (["a", "b"], None):
        found = f.grad.compute(dims, geometry="auto")
        assert set(found) == {"df_dx", "df_dy"}
    right = f.grad.compute(geometry="sphere")
    xr.testing.assert_equal(found, right)
    swapped = f.rename(a="lat", b="lon").grad.compute(geometry="auto")
    np.testing.assert_array_equal(swapped.df_dx, right.df_dx)


def test_lengths_without_marks_are_cartesian() -> None:
    x = xr.DataArray(np.arange(5) * 100.0, dims="x", attrs={"units": "m"})
    for f in (xr.DataArray(np.arange(5) ** 2.0, {"x": x}, "x", name="f"), regular({}, {}).rename(a="lon")):
        found, right = f.grad.compute(geometry="auto"), f.grad.compute()
        xr.testing.assert_equal(found, right)
        said = "geometry='auto': nothing marks longitudes, latitudes or a projection"
        assert said in repr(f.grad.plan(geometry="auto"))
        assert said not in repr(f.grad.plan())
        for name in found:
            assert found[name].attrs.pop("comment").startswith(f"{right[name].attrs.pop('comment')}; {said}")
        xr.testing.assert_identical(found, right)


EACH = ("projected: ", "sphere: ", "curvilinear: ")


def test_degrees_that_nothing_marks_are_refused() -> None:
    f = regular({"units": "degrees"}, {"units": "degrees"})
    refused(f, "no geometry fits", *EACH, "no longitude and latitude along one dimension", geometry="auto")


@pytest.mark.parametrize("geometry", ["auto", "sphere", "ellipsoid"])
def test_longitudes_in_metres_are_refused(geometry: str) -> None:
    f = regular(
        {"standard_name": "longitude", "units": "meters"}, {"standard_name": "latitude", "units": "meters"}
    )
    refused(f, "'meters'", *(EACH if geometry == "auto" else ()), geometry=geometry)


def test_2d_longitudes_with_1d_coordinates_and_no_grid_mapping_are_refused() -> None:
    f = curved().assign_coords(
        x=("x", np.arange(24) * 1e3, {"units": "m", "axis": "X"}),
        y=("y", np.arange(9) * 1e3, {"units": "m", "axis": "Y"}),
    )
    refused(
        f, "no geometry fits", *EACH, "no grid_mapping says their projection", "['y', 'x']", geometry="auto"
    )
    assert set(f.grad.compute(geometry="curvilinear")) == {"df_dx", "df_dy"}


def test_a_projection_that_nothing_says_is_refused() -> None:
    f = regular(
        {"standard_name": "projection_x_coordinate", "units": "m"},
        {"standard_name": "projection_y_coordinate", "units": "m"},
    )
    refused(f, *EACH, "'a' and 'b', but no grid_mapping", geometry="auto")
    refused(f, "no grid mapping with a projection", geometry="projected")


@pytest.mark.parametrize(
    ("geometry", "instead"),
    [
        ("auto", "xgrad.Sphere(6371229.0) on longitudes and latitudes, xgrad.Projected(crs) on x and y"),
        ("sphere", "xgrad.Sphere(6371229.0)"),
        ("ellipsoid", 'xgrad.Ellipsoid("WGS84")'),
        ("projected", 'xgrad.Projected("EPSG:3857")'),
        ("curvilinear", "xgrad.Curvilinear(figure=6371229.0)"),
    ],
)
@pytest.mark.parametrize("levels", [False, True])
def test_a_lost_grid_mapping_is_refused(geometry: str, instead: str, levels: bool) -> None:
    """With advice that serves the geometry which was asked for, alone or below levels."""
    f = {"projected": projected(), "curvilinear": curved()}.get(geometry, regular())
    f = f.assign_attrs(grid_mapping="lost").drop_vars("crs", errors="ignore")

    def asked(horizontal: Any) -> dict[str, Any]:
        return {"geometry": xgrad.TerrainFollowing("z", horizontal) if levels else horizontal}

    if levels:
        f = f.expand_dims(k=6)
        f = f.assign_coords(z=(f.dims, np.arange(f.size, dtype=float).reshape(f.shape) ** 0.9))
    advice = ("'lost'", "call .grad on the Dataset", 'decode_coords="all"', instead)
    refused(f, *advice, dims=None, **asked(geometry))
    if geometry != "auto":
        assert "df_dx" in f.grad.compute(**asked(eval(instead)))
    mapping = {"grid_mapping_name": "latitude_longitude", "earth_radius": 6e6}
    whole = xr.Dataset({"f": f, "lost": ((), 0, mapping)})
    if geometry != "projected":
        found = whole.grad.compute(**asked(geometry)).df_dx.attrs["comment"]
        assert "6000000 m (grid mapping 'lost')" in found


def test_a_single_latitude_or_longitude_is_no_axis() -> None:
    """As a number, or along a dimension of size 1: the scale of the other derivative comes from it."""
    f = regular()
    right = f.grad.compute(geometry="sphere", order=4)
    for geometry in ("auto", "sphere"):
        for dims in (None, "a"):
            for row in (f.isel(b=2), f.isel(b=[2])):
                found = row.grad.compute(dims, geometry=geometry, order=4)
                assert list(found) == ["df_dx"]
                np.testing.assert_array_equal(found.df_dx.values.ravel(), right.df_dx[2])
        for dims in (None, "b"):
            for column in (f.isel(a=3), f.isel(a=[3])):
                found = column.grad.compute(dims, geometry=geometry, order=4)
                assert list(found) == ["df_dy"]
                np.testing.assert_array_equal(found.df_dy.values.ravel(), right.df_dy[:, 3])
    pole = f.isel(b=[2]).assign_coords(b=("b", [90.0], NORTH))
    assert np.isnan(pole.grad.compute("a", geometry="sphere").df_dx).all()
    refused(f.isel(b=[2]), "size 1", dims="b", geometry="sphere")
    refused(f.isel(a=2, b=[2]).expand_dims(k=4), "single numbers", geometry="sphere")


def test_only_what_is_asked_for_needs_points() -> None:
    f = regular()
    found = f.isel(b=slice(2, 4)).grad.compute("a", geometry="sphere", order=4)
    np.testing.assert_array_equal(found.df_dx, f.grad.compute("a", geometry="sphere", order=4).df_dx[2:4])
    refused(f.isel(b=slice(2, 4)), "'b' has 2 points", dims="b", geometry="sphere", order=4)


def test_what_the_user_calls_a_longitude_is_one() -> None:
    """Without any mark of its own it is a ring all the same, and stencils cross the poles."""
    lon, lat = np.arange(0, 360, 15.0), np.linspace(-90, 90, 13)
    values = np.random.default_rng(0).standard_normal((13, 24))
    marked = xr.DataArray(values, {"y": ("y", lat, NORTH), "x": ("x", lon, EAST)}, ("y", "x"), name="f")
    right = marked.grad.compute(geometry="sphere", order=4)
    for attrs in ({}, {"units": "degrees"}, {"units": "degrees", "long_name": "longitude"}):
        f = marked.assign_coords(x=("x", lon, attrs), y=("y", lat))
        found = f.grad.compute(geometry=xgrad.Sphere(lon="x", lat="y"), order=4)
        xr.testing.assert_equal(found, right)
    plain = marked.assign_coords(x=("x", lon, {"units": "degrees"}))
    assert "ring" not in repr(plain.grad.plan("x"))  # nobody calls it so here


def test_auto_leaves_alone_what_is_not_of_the_earth() -> None:
    time = np.array(["2000-01-01", "2000-01-02", "2000-01-03"], "M8[s]")
    f = regular(grid_mapping="lost").expand_dims(time=time, depth=xr.DataArray([0.0, 10, 30], dims="depth"))
    f.depth.attrs = {"units": "m", "positive": "down"}
    xr.testing.assert_identical(f.grad.compute("time", geometry="auto"), f.grad.compute("time"))
    xr.testing.assert_equal(f.grad.compute("depth", geometry="auto"), f.grad.compute("depth"))
    track = xr.DataArray(np.arange(3.0), {"time": time}, ("time",), name="f")
    track = track.assign_coords(lon=("time", [0.0, 1, 2], EAST), lat=("time", [0.0, 1, 2], NORTH))
    assert list(track.grad.compute(geometry="auto")) == ["df_dtime"]
    stations = track.drop_vars("time").rename(time="station")
    refused(stations, *EACH, "lie on one dimension, 'station'", dims="station", geometry="auto")
    wind = xr.DataArray(np.zeros(8), {"dir": ("dir", np.arange(8.0), {"units": "degrees"})}, "dir", name="f")
    refused(wind, *EACH, dims="dir", geometry="auto")


def test_auto_says_what_could_be_a_coordinate() -> None:
    f = curved()
    ds = f.to_dataset().reset_coords(["lon", "lat"])
    refused(
        ds, *EACH, "['lon', 'lat'] would be, as coordinates", ".set_coords", dims=["y", "x"], geometry="auto"
    )
    found = ds.set_coords(["lon", "lat"]).grad.compute(["y", "x"], geometry="auto")
    xr.testing.assert_equal(found, f.grad.compute(["y", "x"], geometry="auto"))
    degrees = f.assign_coords(
        lon=f.lon.assign_attrs(units="degrees"), lat=f.lat.assign_attrs(units="degrees")
    )
    refused(degrees, *EACH, "no longitude and latitude on two dimensions", dims=["y", "x"], geometry="auto")


def test_coordinates_that_only_count_are_no_projection() -> None:
    """CMIP's ocean models have i and j besides their longitudes and latitudes."""
    f = curved()
    right = f.grad.compute(["y", "x"], geometry="curvilinear")
    for dtype in (np.int32, np.float64):
        i, j = np.arange(24, dtype=dtype), np.arange(1, 10, dtype=dtype)
        counted = f.assign_coords(x=("x", i, {"units": "1", "long_name": "cell index"}), y=("y", j))
        xr.testing.assert_equal(
            counted.grad.compute(["y", "x"], geometry="auto").drop_vars(["x", "y"]), right
        )
    assert "df_dx" in counted[:, ::-1].grad.compute(["y", "x"], geometry="auto")
    refused(f.assign_coords(x=np.arange(24) * 2), "['x']", dims=["y", "x"], geometry="auto")
    refused(
        f.assign_coords(x=("x", np.arange(24), {"units": "m"})), "['x']", dims=["y", "x"], geometry="auto"
    )


def test_each_variable_has_the_grid_that_its_coordinates_say(tmp_path: Path) -> None:
    """In one Dataset, on the same dimensions: two grids, told apart by CF's attribute `coordinates`."""
    t = curved()
    u = t.assign_coords(lon=t.lon + 7.5, lat=t.lat * 0.9)
    both = xr.Dataset({"t": t.rename(lon="lon_t", lat="lat_t"), "u": u.rename(lon="lon_u", lat="lat_u")})
    for name in both:
        both[name].encoding["coordinates"] = f"lon_{name} lat_{name}"
    for letter in "tu":
        both[f"lon_{letter}"].attrs, both[f"lat_{letter}"].attrs = EAST, NORTH
    both.to_netcdf(tmp_path / "both.nc")
    with xr.open_dataset(tmp_path / "both.nc") as ds:
        found = ds.grad.compute(["y", "x"], geometry="auto")
    for name, single in (
        ("t", t),
        ("u", u.assign_coords(lon=u.lon.assign_attrs(EAST), lat=u.lat.assign_attrs(NORTH))),
    ):
        right = single.grad.compute(["y", "x"], geometry="auto")
        np.testing.assert_array_equal(found[f"d{name}_dx"], right.df_dx)
    undecided = both.t.copy()
    del undecided.encoding["coordinates"]
    undecided = undecided.assign_coords(lon_u=both.lon_u, lat_u=both.lat_u)
    refused(undecided, "2 coordinates that are a longitude", dims=["y", "x"], geometry="auto")


def test_variables_that_a_geometry_cannot_serve_are_left_out() -> None:
    f, _ = seamount(41, 20)
    ds = xr.Dataset({"f": f, "height": f.z.isel(s=0, drop=True).drop_vars("z", errors="ignore")})
    geometry = xgrad.TerrainFollowing("z", vertical="s")
    assert list(ds.grad.compute("x", geometry=geometry)) == ["df_dx"]
    ((name, reason),) = ds.grad.plan("x", geometry=geometry).left_out
    assert name == "height"
    assert "'z'" in reason
    refused(ds[["height"]], "'z' is not there", dims="x", geometry=geometry)


def test_units_of_quantities_count() -> None:
    unit = pint.UnitRegistry()
    f = curved()
    right = f.grad.compute(geometry="curvilinear")
    radians = {
        name: (("y", "x"), unit.Quantity(np.radians(f[name].values), "radian"), {"standard_name": word})
        for name, word in (("lon", "longitude"), ("lat", "latitude"))
    }
    found = f.assign_coords(radians).grad.compute(geometry="auto")
    np.testing.assert_allclose(found.df_dx, right.df_dx, rtol=0, atol=1e-12 * abs(right.df_dx).max().item())
    size = xr.DataArray(unit.Quantity(np.full(24, 2.0), "km"), dims="x")
    metres = xr.DataArray(np.full(24, 2000.0), dims="x", attrs={"units": "m"})
    found, right = (f.grad.compute("x", geometry=xgrad.Metric(dx=("x", dx))).df_dx for dx in (size, metres))
    np.testing.assert_array_equal(found, right)
    g, _ = seamount(41, 20)
    high = g.assign_coords(z=(("s", "x"), unit.Quantity(g.z.values, "m")))
    geometry = xgrad.TerrainFollowing("z", vertical="s")
    assert high.grad.compute("s", geometry=geometry).df_dz.attrs["units"] == "K meter-1"


def test_the_time_of_wrf_may_be_one() -> None:
    f = curved().expand_dims(Time=3)
    single = {name: f[name].expand_dims(Time=1) for name in ("lon", "lat")}
    one = f.isel(Time=[0]).assign_coords(single)
    right = f.grad.compute(["y", "x"], geometry="curvilinear")
    for geometry in ("auto", "curvilinear"):
        found = one.grad.compute(["y", "x"], geometry=geometry)
        np.testing.assert_array_equal(found.df_dx, right.df_dx[:1])
    many = f.assign_coords({name: f[name].expand_dims(Time=3) for name in ("lon", "lat")})
    refused(many, *EACH, "two dimensions are needed", ".isel", dims=["y", "x"], geometry="auto")


def test_two_longitudes_are_refused() -> None:
    f = regular().drop_vars("a").assign_coords(p=("a", np.arange(6.0), EAST), q=("a", np.arange(6.0), EAST))
    refused(f, "['p', 'q']", "xgrad.Sphere(lon='p')", geometry="sphere")
    assert "df_dx" in f.grad.compute(["p", "b"], geometry="sphere")
    assert "df_dx" in f.grad.compute(geometry=xgrad.Sphere(lon="q"))


def test_unknown_geometries_are_refused() -> None:
    refused(regular(), "'shpere' is not known", "'curvilinear'", geometry="shpere")
    refused(regular(), "is not known", geometry=xgrad.Sphere)
    refused(regular(), "n=2", "only first derivatives", geometry="sphere", n=2)
    refused(regular(), "spacing=", geometry="sphere", spacing={"a": 1.0})


def test_what_lies_outside_the_geometry_is_differentiated_plainly() -> None:
    f = regular().expand_dims(time=np.array(["2000-01-01", "2000-01-02", "2000-01-03"], "M8[s]"))
    found = f.grad.compute(["time", "a"], geometry="sphere")
    assert list(found) == ["df_dtime", "df_dx"]
    np.testing.assert_array_equal(found.df_dtime, f.grad.compute("time").df_dtime)
    refused(f, "leave geometry out", dims="time", geometry="sphere")
    assert list(f.grad.compute(geometry="sphere", names={"a": "east"})) == ["df_dtime", "df_dy", "east"]


def test_latitudes_beyond_a_pole_are_refused() -> None:
    f = regular().assign_coords(b=("b", np.linspace(40, 91.0, 7), NORTH))
    refused(f, "91", "beyond the pole at 90", geometry="sphere")


def test_a_regional_grid_on_a_pole_has_no_east_there() -> None:
    f = regular().assign_coords(b=("b", np.linspace(60, 90.0, 7), NORTH))
    found = f.grad.compute(geometry="sphere")
    assert np.isnan(found.df_dx[-1]).all()
    assert np.isfinite(found.df_dx[:-1]).all()
    assert np.isfinite(found.df_dy).all()


@pytest.mark.parametrize(
    ("attrs", "said"),
    [
        ({"earth_radius": 6e6}, "radius 6000000 m"),
        ({"semi_major_axis": 6378137.0, "inverse_flattening": 298.257223563}, "mean radius"),
        ({"semi_major_axis": 6378137.0, "semi_minor_axis": 6378137.0}, "radius 6378137 m"),
        ({"reference_ellipsoid_name": "WGS 84"}, "mean radius"),
        ({}, "radius 6371229 m (default"),
    ],
)
def test_the_figure_of_the_earth(attrs: dict[str, Any], said: str) -> None:
    ds = xr.Dataset(
        {
            "f": regular(grid_mapping="crs"),
            "crs": ((), 0, {"grid_mapping_name": "latitude_longitude", **attrs}),
        }
    )
    sphere, ellipsoid = (ds.grad.compute(geometry=name) for name in ("sphere", "ellipsoid"))
    assert said in sphere.df_dx.attrs["comment"]
    flat = "inverse_flattening" in attrs or "reference_ellipsoid_name" in attrs or not attrs
    assert ("1/f = 298.257" in ellipsoid.df_dx.attrs["comment"]) == flat
    radius = {"radius 6000000 m": 6e6, "radius 6378137 m": 6378137.0}.get(said)
    if said == "mean radius":
        radius = 6378137.0 * (1 - 1 / 298.257223563 / 3)
    step = ds.f.copy(data=np.broadcast_to(ds.b.values[:, np.newaxis], ds.f.shape))
    found = ds.assign(f=step).grad.compute("b", geometry="sphere").df_dy.values
    np.testing.assert_allclose(found, np.degrees(1) / (radius or 6371229.0), rtol=1e-12)


@pytest.mark.parametrize(
    "make",
    [
        lambda: xgrad.Sphere(-1.0),
        lambda: xgrad.Sphere("big"),
        lambda: xgrad.Ellipsoid(6e6),
        lambda: xgrad.Ellipsoid(6e6, 298.25),
        lambda: xgrad.Ellipsoid("Mars and Venus"),
        lambda: xgrad.Metric(),
        lambda: xgrad.Metric(dx=("x", 1.0), dy=("x", 1.0)),
        lambda: xgrad.Metric(dx=1.0),
        lambda: xgrad.TerrainFollowing(horizontal=xgrad.TerrainFollowing()),
    ],
)
def test_geometries_that_cannot_be_are_refused_when_made(make: Any) -> None:
    with pytest.raises(xgrad.XgradError):
        make()


FIGURES = {
    "sphere": xgrad.Sphere(),
    "ellipsoid": xgrad.Ellipsoid(),
    "GRS80": xgrad.Ellipsoid("GRS80"),
    "6371000": xgrad.Sphere(6371000.0),
}


@pytest.mark.parametrize("word", FIGURES)
def test_figures_in_words(word: str, tmp_path: Path) -> None:
    """In Python and on the command line; a number is a radius."""
    given = int(word) if word.isdigit() else word
    mapping = {"grid_mapping_name": "latitude_longitude", "earth_radius": 6e6}
    ds = xr.Dataset({"f": curved().assign_attrs(grid_mapping="crs"), "crs": ((), 0, mapping)})
    right = ds.grad.compute(geometry=xgrad.Curvilinear(figure=FIGURES[word]))
    xr.testing.assert_identical(ds.grad.compute(geometry=xgrad.Curvilinear(figure=given)), right)
    polar = {"grid_mapping_name": "polar_stereographic", "straight_vertical_longitude_from_pole": -45.0}
    polar |= {"latitude_of_projection_origin": 90.0, "standard_parallel": 70.0}
    flat = xr.Dataset({"f": projected(grid_mapping="crs"), "crs": ((), 0, polar)})
    xr.testing.assert_identical(
        flat.grad.compute(geometry=xgrad.Projected(figure=given)),
        flat.grad.compute(geometry=xgrad.Projected(figure=FIGURES[word])),
    )
    source, target = tmp_path / "in.nc", tmp_path / "out.nc"
    ds.to_netcdf(source)
    option = ["--geometry", f"curvilinear:figure={word}"]
    assert cli.run(["compute", str(source), "-o", str(target), *option]) == 0
    with xr.open_dataset(target) as found:
        np.testing.assert_array_equal(found.df_dx, right.df_dx)


@pytest.mark.parametrize("figure", ["no such", True, [6.4e6], -1.0, np.nan, xgrad.Curvilinear])
def test_what_is_no_figure_is_refused(figure: Any) -> None:
    with pytest.raises(xgrad.XgradError):
        curved().grad.compute(geometry=xgrad.Curvilinear(figure=figure))


def test_attributes_are_those_of_the_result() -> None:
    u = regular(standard_name="eastward_wind", long_name="zonal wind").assign_attrs(units="m s-1")
    found = u.grad.compute(["a", "b"], geometry="sphere")
    assert found.df_dx.attrs["units"] == "s-1"
    assert found.df_dx.attrs["standard_name"] == "eastward_derivative_of_eastward_wind"
    assert found.df_dy.attrs["standard_name"] == "northward_derivative_of_eastward_wind"
    assert found.df_dy.attrs["long_name"] == "northward derivative of zonal wind"
    along = u.grad.compute("a", geometry=xgrad.Metric(dx=("a", 10.0))).df_dx.attrs
    assert "standard_name" not in along
    assert along["long_name"] == "derivative of zonal wind along a"
    assert (
        "standard_name"
        not in regular(standard_name="air_temperature").grad.compute("a", geometry="sphere").df_dx.attrs
    )


def test_the_log_tells_only_what_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """The dimensions of a curvilinear grid have no coordinate of their own, and need none."""
    caplog.set_level("INFO", "xgrad")
    f = curved().expand_dims(member=3)
    plan = f.grad.plan(geometry="curvilinear")
    assert [record.getMessage() for record in caplog.records] == [
        "f: dimension member is left out: it has no coordinate"
    ]
    assert plan.fields[0].left_out == (("member", "it has no coordinate"),)


def test_the_plan_says_what_was_considered() -> None:
    text = repr(curved().grad.plan(geometry="auto"))
    for word in (
        "ring",
        "chord Jacobian of lon and lat",
        "geometry 'curvilinear' by CF metadata",
        "not projected: ",
        "not sphere: ",
    ):
        assert word in text
    shown = repr(regular().grad)
    assert "geometry='auto': on the sphere of radius 6371229 m" in shown
    assert "geometry='auto': no geometry fits" in repr(regular({"units": "degrees"}, {}).grad)
    broken = regular(grid_mapping=3)
    assert "df_da" in repr(broken.grad)
    assert "df_da" in regular(grid_mapping="<b>crs</b>").grad._repr_html_()


# --- curvilinear


@pytest.mark.parametrize("order", [2, 4, 6])
@pytest.mark.parametrize("extra", [0, 1, 2])
def test_closed_grids_are_rings(order: int, extra: int) -> None:
    f = curved(96, 49, extra=extra)
    found = f.grad.compute(["x", "y"], geometry="curvilinear", order=order)
    bound = {2: 1e-2, 4: 2e-4, 6: 2e-5}[order]  # (2 pi / 96)**order and the same at the ends of the rows
    for array, right in zip((found.df_dx, found.df_dy), slopes(f), strict=True):
        assert abs(array.values - right).max() * 6371229.0 <= bound
        for column in range(extra):
            np.testing.assert_array_equal(array[:, 96 + column], array[:, column])
    rolled = (
        f.isel(x=slice(0, 96)).roll(x=17, roll_coords=True).grad.compute(geometry="curvilinear", order=order)
    )
    np.testing.assert_array_equal(rolled.df_dx, np.roll(found.df_dx[:, :96], 17, axis=1))


def test_regional_grids_are_open() -> None:
    f = curved(96, 49)
    for piece in (f.isel(x=slice(0, 94)), f.isel(x=slice(10, 60)), f.isel(x=slice(0, 3))):
        assert "ring" not in repr(piece.grad.plan(geometry="curvilinear"))
    assert "ring" not in repr(f.grad.plan(geometry="curvilinear", periodic=False))
    assert "ring" in repr(f.T.grad.plan(geometry="curvilinear"))


@pytest.mark.parametrize("fill", [0.0, np.nan, -999.0], ids=["0", "NaN", "-999"])
@pytest.mark.parametrize("lazy", [False, True], ids=["memory", "dask"])
def test_land_without_coordinates(fill: float, lazy: bool) -> None:
    """Its points are missing, for the field too, and beside it stencils are one-sided."""
    f = curved(96, 49)
    land = np.zeros(f.shape, bool)
    land[20:27, 40:52] = True
    g = f.assign_coords({k: f[k].where(~land, fill).assign_attrs(f[k].attrs) for k in ("lon", "lat")})
    g = g.copy(data=np.where(land, 0.0, f.values))
    if lazy:
        g = g.chunk(x=10, y=7).assign_coords(lon=g.lon.chunk(x=31), lat=g.lat.chunk(y=11))
    found = g.grad.compute(["x", "y"], geometry="curvilinear", order=4)
    whole = f.where(~land).grad.compute(["x", "y"], geometry="curvilinear", order=4)
    far = np.ones_like(land)
    far[15:32, 35:57] = False
    for array, right, plain in zip(
        (found.df_dx, found.df_dy), slopes(f), (whole.df_dx, whole.df_dy), strict=True
    ):
        np.testing.assert_array_equal(np.isnan(array.values), land)
        assert abs(array.values - right)[~land].max() * 6371229.0 <= 1e-3  # one-sided stencils of order 4
        np.testing.assert_array_equal(array.values[far], plain.values[far])


@pytest.mark.parametrize("fill", [9.969209968386869e36, -999.0, np.nan, np.inf])
def test_a_single_point_without_coordinates(fill: float) -> None:
    f = curved(96, 49)
    island = np.zeros(f.shape, bool)
    island[20, 30] = island[5, 0] = island[48, 95] = True
    g = f.assign_coords({k: f[k].where(~island, fill).assign_attrs(f[k].attrs) for k in ("lon", "lat")})
    found = g.grad.compute(["x", "y"], geometry="curvilinear", order=4)
    for array, right in zip((found.df_dx, found.df_dy), slopes(f), strict=True):
        np.testing.assert_array_equal(np.isnan(array.values), island)
        assert np.nanmax(abs(array.values - right)) * 6371229.0 <= 1e-3


def held_as(kind: str, values: np.ndarray, gaps: np.ndarray) -> Any:
    """The same values in other arrays, which cannot hold NaN or have other words for what is missing."""
    whole = np.round(1e3 * values)
    masked = np.ma.masked_array(whole, gaps)
    return {
        "masked": lambda: masked,
        "masked int16": lambda: masked.astype("i2"),
        "masked on dask": lambda: da.from_array(masked, chunks=(20, 31), asarray=False),
        "int16": lambda: whole.astype("i2"),
        "int16 on dask": lambda: da.from_array(whole.astype("i2"), chunks=(20, 31)),
        "big-endian": lambda: np.where(gaps, np.nan, whole).astype(">f8"),
        "durations": lambda: np.where(gaps, np.timedelta64("NaT", "s"), whole.astype("m8[s]")),
        "quantity": lambda: pint.UnitRegistry().Quantity(np.where(gaps, np.nan, whole), "K"),
        "array API": lambda: array_api_strict.asarray(np.where(gaps, np.nan, whole)),
    }[kind]()


@pytest.mark.parametrize(
    "kind",
    [
        *("masked", "masked int16", "masked on dask", "int16", "int16 on dask"),
        *("big-endian", "durations", "quantity", "array API"),
    ],
)
def test_land_whatever_holds_the_data(kind: str) -> None:
    """Neither masked neighbours nor what is stored on land is ever read."""
    f = curved(96, 49)
    land, gaps = np.zeros(f.shape, bool), np.random.default_rng(0).random(f.shape) < 0.1
    land[20:27, 40:52] = True
    if "int16" in kind and "masked" not in kind:
        gaps[:] = False
    g = f.assign_coords({k: f[k].where(~land).assign_attrs(f[k].attrs) for k in ("lon", "lat")})
    held = xr.DataArray(xr.Variable(f.dims, f.values), g.coords, name="f")
    held.variable._data = held_as(kind, f.values, gaps)
    found = held.grad.compute(["x", "y"], geometry="curvilinear", order=4)
    values = np.where(land | gaps, np.nan, np.round(1e3 * f.values))
    right = references.chord(values, g.lon.values, g.lat.values, 4, 6371229.0, 0.0, ring=True)
    for array, expected in zip((found.df_dx, found.df_dy), right, strict=True):
        data = getattr(array.data, "magnitude", array.data)
        data = np.asarray(data.compute() if hasattr(data, "compute") else data)
        np.testing.assert_allclose(data, expected, rtol=0, atol=1e-12 * np.nanmax(abs(expected)))


def test_the_place_0_0_is_a_place() -> None:
    lon, lat = np.meshgrid(np.arange(-5.0, 6), np.arange(-4.0, 5))
    f = xr.DataArray(
        lon + 2 * lat, {"lon": (("y", "x"), lon, EAST), "lat": (("y", "x"), lat, NORTH)}, ("y", "x"), name="f"
    )
    assert np.isfinite(f.grad.compute(geometry="curvilinear").df_dx).all()


@pytest.mark.parametrize(("tilt", "fits"), [(0.0, False), (1e-3, False), (1e-2, True)])
def test_grid_lines_that_are_parallel_make_no_grid(tilt: float, fits: bool) -> None:
    """The sine of their angle is half the tilt; below 1e-3 it is not trusted."""
    i, j = np.meshgrid(np.arange(9) - 4.0, np.arange(8) - 3.5)
    lon, lat = 0.01 * (i + j), 0.01 * (i + (1 + tilt) * j)
    coords = {"lon": (("y", "x"), lon, EAST), "lat": (("y", "x"), lat, NORTH)}
    f = xr.DataArray(np.radians(lon + 2 * lat), coords, ("y", "x"), name="f")
    found = f.grad.compute(geometry="curvilinear")
    for array, right in ((found.df_dx, 1.0), (found.df_dy, 2.0)):
        if fits:
            np.testing.assert_allclose(array * 6371229.0, right, rtol=1e-4)
        else:
            assert np.isnan(array).all()


def test_rows_that_run_back_over_a_fold() -> None:
    """As at the northern end of ORCA grids: the last row is the one before the fold, the other way round."""
    u, v = np.meshgrid(np.linspace(-0.5, 0.5, 81), np.linspace(-0.3, 0.0125, 26))
    q = 1 + u**2 + v**2
    x, y, z = 2 * u / q, 2 * v / q, (2 - q) / q
    coords = {
        "lon": (("y", "x"), np.degrees(np.arctan2(y, x)), EAST),
        "lat": (("y", "x"), np.degrees(np.arcsin(z)), NORTH),
    }
    f = xr.DataArray(x + 0.5 * z, coords, ("y", "x"), name="f")
    found = f.grad.compute(geometry=xgrad.Curvilinear(figure=xgrad.Sphere(1.0)), order=4)
    lam, phi = np.radians(f.lon.values), np.radians(f.lat.values)
    east, north = -np.sin(lam), -np.sin(phi) * np.cos(lam) + 0.5 * np.cos(phi)
    assert abs(found.df_dx.values - east).max() <= 1e-5
    assert abs(found.df_dy.values - north).max() <= 1e-5


def test_float32_longitudes_warn_where_they_limit_the_result() -> None:
    def fine(dtype: str, step: float) -> xr.DataArray:
        lon, lat = np.meshgrid(np.arange(6) * step, np.arange(5) * step)
        coords = {"lon": (("y", "x"), lon.astype(dtype), EAST), "lat": (("y", "x"), lat.astype(dtype), NORTH)}
        return xr.DataArray(lon, coords, ("y", "x"), name="f")

    with pytest.warns(xgrad.PrecisionWarning, match="float32: with steps of 0.05 degrees"):
        fine("f4", 0.05).grad.compute(geometry="curvilinear")
    fine("f8", 0.05).grad.compute(geometry="curvilinear")
    fine("f4", 1.0).grad.compute(geometry="curvilinear")
    fine("f4", 0.05).grad.plan(geometry="curvilinear")


def test_reversed_views_have_the_same_metric() -> None:
    f = curved(48, 25).isel(x=slice(0, 40))
    found = f.grad.compute(geometry="curvilinear", order=4)
    back = f[::-1, ::-1].grad.compute(geometry="curvilinear", order=4)
    copied = f[::-1, ::-1].copy(deep=True).grad.compute(geometry="curvilinear", order=4)
    inner = (slice(4, -4), slice(4, -4))
    for name in ("df_dx", "df_dy"):
        np.testing.assert_array_equal(back[name].values[::-1, ::-1][inner], found[name].values[inner])
        np.testing.assert_array_equal(back[name], copied[name])


def test_only_outer_rows_and_columns_are_read_by_the_call() -> None:
    """Of 2-D coordinates on Dask, and each chunk of them once."""
    f = curved(60, 40)
    read: list[tuple[str, Any]] = []

    def tapped(name: str) -> da.Array:
        def tap(block: np.ndarray, block_info: Any = None) -> np.ndarray:
            read.append((name, tuple(block_info[0]["chunk-location"])))
            return block

        lazy = da.from_array(f[name].values, chunks=(10, 12))
        return lazy.map_blocks(tap, dtype=float, meta=np.empty((0, 0)))

    lazy = {name: (("y", "x"), tapped(name), f[name].attrs) for name in ("lon", "lat")}
    g = f.expand_dims(time=4).chunk(time=1, y=10, x=12).assign_coords(lazy)
    with dask.config.set(scheduler="sync"):
        found = g.grad.compute(["x", "y"], geometry="auto")
        outer = {(j, i) for j in range(4) for i in range(5) if j in (0, 3) or i in (0, 4)}
        assert sorted(read) == sorted((name, place) for name in ("lon", "lat") for place in outer)
        read.clear()
        values = found.df_dx.values
    assert len(read) == len(set(read))  # once for all times
    np.testing.assert_array_equal(values[3], f.grad.compute(geometry="curvilinear").df_dx)


@pytest.mark.parametrize("lazy", [False, True], ids=["memory", "dask"])
def test_a_grid_is_evaluated_once(monkeypatch: pytest.MonkeyPatch, lazy: bool) -> None:
    """For all times, variables and calls; on Dask once a chunk of the grid, whatever the chunks in time."""
    counted: list[str] = []
    for name in ("places", "position", "jacobian"):
        monkeypatch.setattr(chord, name, counting(name, getattr(chord, name), counted))
    f = curved(60, 40).expand_dims(time=6)
    ds = xr.Dataset({"a": f, "b": 2 * f, "c": f.isel(time=0)})
    memory.forget()
    if lazy:
        ds = ds.chunk(time=1, y=20, x=30)
    found = ds.grad.compute(["x", "y"], geometry="auto")
    assert not lazy or not counted
    with dask.config.set(scheduler="sync"):
        found.compute()
    per_grid = 4 if lazy else 1
    assert {name: counted.count(name) for name in set(counted)} == dict.fromkeys(
        ("places", "position", "jacobian"), per_grid
    )
    if not lazy:
        ds.isel(time=[2]).grad.compute(["x", "y"], geometry="curvilinear")
        assert len(counted) == 3
        moved = ds.assign_coords(lat=(ds.lat + 1).assign_attrs(NORTH))
        moved.grad.compute(["x", "y"], geometry="curvilinear")
        assert len(counted) == 6  # not the same grid
        ds.grad.compute(["x", "y"], geometry="curvilinear", order=4)
        assert len(counted) == 9  # nor the same order
        ds.grad.compute(["x", "y"], geometry="curvilinear", order=6, edge_order=4)
        assert len(counted) == 12


def counting(name: str, function: Any, counted: list[str]) -> Any:
    def counter(*arguments: Any, **options: Any) -> Any:
        counted.append(name)
        return function(*arguments, **options)

    return counter


def test_curvilinear_refusals() -> None:
    f = curved()
    refused(f, "needs all of ['x', 'y']", dims="x", geometry="curvilinear")
    refused(f.drop_vars("lat"), "no latitude on two dimensions", geometry="curvilinear")
    deep = f.expand_dims(time=2).assign_coords(lon=f.lon.expand_dims(time=2), lat=f.lat.expand_dims(time=2))
    refused(deep, "two dimensions are needed", ".isel", dims=["x", "y"], geometry="curvilinear")
    packed = f.assign_coords(lon=f.lon.assign_attrs(scale_factor=0.1))
    refused(packed, "scale_factor", "decode", geometry="curvilinear")
    refused(
        f.assign_coords(lon=f.lon.assign_attrs(units="m")), "units", geometry=xgrad.Curvilinear("lon", "lat")
    )
    refused(f, "'nav_lon' is not there", geometry=xgrad.Curvilinear("nav_lon", "nav_lat"))
    given = f.drop_vars(["lon", "lat"]).grad.compute(geometry=xgrad.Curvilinear(f.lon, f.lat))
    np.testing.assert_array_equal(given.df_dx, f.grad.compute(geometry="curvilinear").df_dx)


# --- projections, cell sizes


def projected(units: str = "m", scale: float = 1.0, **attrs: Any) -> xr.DataArray:
    x, y = np.linspace(-1e6, 1.5e6, 24), np.linspace(-2e6, -4e5, 20)
    coords = {
        "y": ("y", y * scale, {"units": units, "axis": "Y"}),
        "x": ("x", x * scale, {"units": units, "axis": "X"}),
    }
    values = np.random.default_rng(0).standard_normal((20, 24))
    return xr.DataArray(values, coords, ("y", "x"), name="f", attrs=attrs)


@pytest.mark.parametrize(
    ("key", "version"), [("crs_wkt", "WKT2_2019"), ("spatial_ref", "WKT1_GDAL"), ("crs_wkt", "WKT1_GDAL")]
)
@pytest.mark.parametrize("where", ["attrs", "encoding"])
def test_a_projection_in_wkt_alone(key: str, version: str, where: str) -> None:
    """As GDAL and rioxarray write it; the figure of the earth is in the text too."""
    right = projected().grad.compute(["x", "y"], geometry=xgrad.Projected("EPSG:3413"))
    f = projected().assign_coords(crs=((), 0, {key: pyproj.CRS("EPSG:3413").to_wkt(version)}))
    getattr(f, where)["grid_mapping"] = "crs"
    found = f.grad.compute(["x", "y"], geometry="auto")
    np.testing.assert_allclose(found.df_dx, right.df_dx, rtol=0, atol=1e-12 * abs(right.df_dx).max().item())
    assert "ellipsoid a = 6378137 m" in found.df_dx.attrs["comment"]


def test_longitudes_in_wkt_are_no_projection() -> None:
    """And the earth is the ellipsoid that the text says; only a call for a sphere gets its mean radius."""
    f = regular(grid_mapping="crs").assign_coords(crs=((), 0, {"crs_wkt": pyproj.CRS("EPSG:4326").to_wkt()}))
    right = f.drop_vars("crs").grad.compute(["a", "b"], geometry=xgrad.Ellipsoid("WGS84"))
    for geometry in ("auto", "ellipsoid"):
        found = f.grad.compute(["a", "b"], geometry=geometry)
        for name in right:
            np.testing.assert_array_equal(found[name], right[name])
    assert "geometry 'ellipsoid' by CF metadata" in repr(f.grad.plan(geometry="auto"))
    ball = f.grad.compute(["a", "b"], geometry="sphere").df_dx
    assert "mean radius of the ellipsoid" in ball.attrs["comment"]


def test_each_grid_mapping_is_for_its_coordinates() -> None:
    """In the long form of the attribute."""
    crs = pyproj.CRS("EPSG:3413")
    f = projected(grid_mapping="polar: x y ball: lat lon")
    lon, lat = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True).transform(
        *np.meshgrid(f.x, f.y)
    )
    f = f.assign_coords(
        lon=(("y", "x"), lon, EAST),
        lat=(("y", "x"), lat, NORTH),
        polar=((), 0, crs.to_cf()),
        ball=((), 0, {"grid_mapping_name": "latitude_longitude", "earth_radius": 6e6}),
    )
    assert "1/f = 298.257" in f.grad.compute(["x", "y"], geometry="auto").df_dx.attrs["comment"]
    assert "6000000 m (grid mapping 'ball')" in repr(f.grad.plan(["x", "y"], geometry="curvilinear"))


def test_the_angles_of_a_satellite() -> None:
    """Radians seen from its height, which a PROJ string or WKT says too."""
    text = "+proj=geos +h=35785831 +lon_0=-75 +sweep=x +ellps=GRS80"
    height, angles = 35785831.0, np.linspace(-0.05, 0.06, 24)
    attrs = {"units": "rad", "standard_name": "projection_x_angular_coordinate", "axis": "X"}
    f = projected().assign_coords(x=("x", angles, attrs), y=("y", angles[:20], {"units": "rad", "axis": "Y"}))
    far = f.assign_coords(
        x=("x", height * angles, {"units": "m", "axis": "X"}),
        y=("y", height * angles[:20], {"units": "m", "axis": "Y"}),
    )
    right = far.grad.compute(["x", "y"], geometry=xgrad.Projected(text)).df_dy
    found = f.grad.compute(["x", "y"], geometry=xgrad.Projected(text)).df_dy
    np.testing.assert_allclose(found, right, rtol=0, atol=1e-12 * abs(right).max().item())
    f = f.assign_coords(goes=((), 0, pyproj.CRS(text).to_cf())).assign_attrs(grid_mapping="goes")
    found = f.grad.compute(["x", "y"], geometry="auto").df_dy
    np.testing.assert_allclose(found, right, rtol=0, atol=1e-12 * abs(right).max().item())


def test_other_lengths_are_metres() -> None:
    right = projected().grad.compute(["x", "y"], geometry=xgrad.Projected("EPSG:3413")).df_dx
    for units, scale in (("km", 1e-3), ("ft", 1 / 0.3048), ("US_survey_foot", 3937 / 1200)):
        found = projected(units, scale).grad.compute(["x", "y"], geometry=xgrad.Projected("EPSG:3413"))
        np.testing.assert_allclose(found.df_dx, right, rtol=0, atol=1e-11 * abs(right).max().item())


@pytest.mark.parametrize("order", [2, 4, 6])
@pytest.mark.parametrize(
    "crs",
    [
        "+proj=lcc +lat_1=45 +lat_2=55 +lat_0=50 +lon_0=10 +R=6371229",
        "EPSG:3413",
        "+proj=laea +lat_0=52 +lon_0=10 +ellps=GRS80",
        "+proj=merc +ellps=WGS84",
        "+proj=stere +lat_0=90 +lon_0=-35 +R=6378169",
    ],
    ids=["lcc", "polar stereographic", "laea", "merc", "stere"],
)
def test_order_on_projections(crs: str, order: int) -> None:
    """The derivatives of a plane wave through space are known on any ellipsoid."""
    made = pyproj.CRS.from_user_input(crs)
    a, inverse = made.ellipsoid.semi_major_metre, made.ellipsoid.inverse_flattening
    e2 = (2 - 1 / inverse) / inverse if inverse else 0.0

    def errors(count: int) -> float:
        x, y = np.linspace(-1.5e6, 1.7e6, count), np.linspace(-1.2e6, 1.6e6, count)
        lon, lat = pyproj.Transformer.from_crs(made, made.geodetic_crs, always_xy=True).transform(
            *np.meshgrid(x, y)
        )
        lam, phi = np.radians(lon), np.radians(lat)
        k = np.array([5.0, -8.0, 4.0])[:, np.newaxis, np.newaxis]
        place = k * np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)])
        by_phi = k * np.stack([-np.sin(phi) * np.cos(lam), -np.sin(phi) * np.sin(lam), np.cos(phi)])
        eastward = k * np.stack([-np.sin(lam), np.cos(lam), 0 * lam])
        phase = place.sum(axis=0)
        coords = {"y": ("y", y, {"units": "m", "axis": "Y"}), "x": ("x", x, {"units": "m", "axis": "X"})}
        f = xr.DataArray(np.sin(phase), coords, ("y", "x"), name="f")
        found = f.grad.compute(geometry=xgrad.Projected(crs), order=order)
        sine = np.sin(phi)
        east = np.cos(phase) * eastward.sum(axis=0) / (a / np.sqrt(1 - e2 * sine**2))
        north = np.cos(phase) * by_phi.sum(axis=0) / (a * (1 - e2) / (1 - e2 * sine**2) ** 1.5)
        return max(abs(found.df_dx.values - east).max(), abs(found.df_dy.values - north).max()) * a / 8

    coarse, fine = errors(81), errors(161)
    assert fine > 1000 * 160 * 2e-16 / 8 or order == 6  # above rounding; at order 6 it comes early
    assert np.log2(coarse / fine) >= order - 0.1


def test_projected_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    axis = {"units": "m"}
    f = regular({**axis, "axis": "X"}, {**axis, "axis": "Y"})
    refused(f, "no projection but true longitudes", geometry=xgrad.Projected("EPSG:4326"))
    refused(f, "does not understand", geometry=xgrad.Projected("EPSG:nothing"))
    refused(f, "leave figure= out", geometry=xgrad.Projected("EPSG:3413", figure=xgrad.Sphere()))
    refused(f, "needs all of", dims="a", geometry=xgrad.Projected("EPSG:3413"))
    refused(
        regular({"axis": "X", "units": "K"}, {"axis": "Y", "units": "K"}),
        "units of length",
        geometry=xgrad.Projected("EPSG:3413"),
    )
    refused(regular({}, {}), "no coordinate that is the x", geometry=xgrad.Projected("EPSG:3413"))
    assert "df_dx" in regular(axis, axis).grad.compute(geometry=xgrad.Projected("EPSG:3413", x="a", y="b"))
    monkeypatch.setitem(__import__("sys").modules, "pyproj", None)
    with pytest.raises(xgrad.MissingExtraError, match="geo"):
        f.grad.compute(geometry=xgrad.Projected("EPSG:3413"))


def test_cell_sizes() -> None:
    i = np.arange(40.0)
    distance = 1e3 * (i + 3 * np.sin(i / 9))
    size = xr.DataArray(1e3 * (1 + np.cos(i / 9) / 3), dims="x", attrs={"units": "m"})
    f = xr.DataArray(np.sin(distance / 2e4), dims="x", name="f", attrs={"units": "K"})
    right = np.cos(distance / 2e4) / 2e4
    for order, bound in ((2, 3e-3), (4, 1e-4), (6, 1e-5)):
        found = f.grad.compute("x", geometry=xgrad.Metric(dx=("x", size)), order=order).df_dx
        assert abs(found.values - right)[4:-4].max() * 2e4 <= bound
        assert found.attrs["units"] == "K m-1"
    km = (size / 1e3).assign_attrs(units="km")
    np.testing.assert_allclose(
        f.grad.compute(geometry=xgrad.Metric(dx=("x", km))).df_dx,
        f.grad.compute(geometry=xgrad.Metric(dx=("x", size))).df_dx,
        rtol=1e-14,
    )
    holes = size.where(size > 700, 0.0)
    found = f.grad.compute(geometry=xgrad.Metric(dx=("x", holes))).df_dx
    np.testing.assert_array_equal(np.isnan(found), holes.values == 0)
    refused(f, "units of length", geometry=xgrad.Metric(dx=("x", size.assign_attrs(units="K"))))
    refused(f, "has no dimension 'i'", geometry=xgrad.Metric(dx=("i", size)))
    refused(f, "lies on ('y',)", geometry=xgrad.Metric(dx=("x", size.rename(x="y"))))
    refused(f, "positive lengths", geometry=xgrad.Metric(dx=("x", -1.0)))
    ring = (
        f.copy(data=np.sin(2 * np.pi * i / 40))
        .grad.compute(geometry=xgrad.Metric(dx=("x", 1.0)), periodic=["x"])
        .df_dx
    )
    np.testing.assert_allclose(ring, np.cos(2 * np.pi * i / 40) * np.sin(2 * np.pi / 40), atol=1e-15)


def test_reciprocals_of_cell_sizes() -> None:
    """ROMS has pm and pn, of units m-1; xarray leaves such units on 1 / pm too: units do not decide."""
    size = xr.DataArray(1e3 * (1 + np.arange(12.0) / 30), dims="xi_rho", attrs={"units": "meter"})
    values = np.random.default_rng(0).standard_normal(12)
    f = xr.DataArray(values, dims="xi_rho", name="f", attrs={"units": "K"})
    right = f.grad.compute(geometry=xgrad.Metric(dx=("xi_rho", size))).df_dx
    for units, scale in (("meter-1", 1.0), ("km-1", 1e3)):
        ds = xr.Dataset({"f": f, "pm": (scale / size).where(size != size[3], 0.0).assign_attrs(units=units)})
        metric = xgrad.Metric(dx=("xi_rho", "1/pm"))
        for given in (ds, ds.chunk(xi_rho=5)):
            found = given.grad.compute("xi_rho", geometry=metric).df_dx
            np.testing.assert_allclose(found, right.where(size != size[3]), rtol=1e-14)
            assert found.attrs["units"] == "K m-1"
            assert found.attrs["comment"].endswith("by given cell sizes: dx 1/pm")
        for wrong in (1 / ds.pm, "pm"):
            words = (repr(units), "give '1/pm' if it is one", "assign_attrs")
            refused(ds, *words, dims="xi_rho", geometry=xgrad.Metric(dx=("xi_rho", wrong)))
    lengths = ds.assign(dx=size)
    refused(lengths, "1/length", "'meter'", dims="xi_rho", geometry=xgrad.Metric(dx=("xi_rho", "1/dx")))
    given = (1 / ds.pm).assign_attrs(units="km")
    np.testing.assert_allclose(
        f.grad.compute(geometry=xgrad.Metric(dx=("xi_rho", given))).df_dx,
        right.where(np.isfinite(given)),
        rtol=1e-14,
    )


# --- levels


def seamount(nx: int, ns: int) -> tuple[xr.DataArray, xr.DataArray]:
    x, s = np.linspace(-200e3, 200e3, nx), np.linspace(-1, 0, ns)
    depth = s[:, np.newaxis] * (4000 - 3500 * np.exp(-((x / 40e3) ** 2)))
    coords = {
        "s": s,
        "x": ("x", x, {"units": "m"}),
        "z": (("s", "x"), depth, {"units": "m", "positive": "up"}),
    }
    f = xr.DataArray(10 * np.exp(depth / 800), coords, ("s", "x"), name="f", attrs={"units": "K"})
    return f, f.copy(data=2 * np.sin(x / 5e4) * np.exp(depth / 1500))


TABLE = {  # numerics.md 7: error, and spurious gradient at rest
    (41, 20): {2: (0.72, 0.15), 4: (0.34, 0.07), 6: (0.18, 0.035)},
    (81, 40): {2: (0.21, 0.038), 4: (3.5e-2, 6e-3), 6: (8e-3, 1.5e-3)},
    (161, 80): {2: (6.0e-2, 1.0e-2), 4: (2.7e-3, 4.9e-4), 6: (1.8e-4, 3e-5)},
    (321, 160): {2: (1.6e-2, 2.8e-3), 4: (1.8e-4, 3e-5), 6: (3e-6, 5e-7)},
}


@pytest.mark.parametrize("size", TABLE)
@pytest.mark.parametrize("order", [2, 4, 6])
def test_the_seamount(size: tuple[int, int], order: int) -> None:
    rest, wave = seamount(*size)
    geometry = xgrad.TerrainFollowing("z", vertical="s")
    right = 2 / 5e4 * np.cos(rest.x.values / 5e4) * np.exp(rest.z.values / 1500)
    error = abs(
        (rest + wave).rename("f").grad.compute("x", geometry=geometry, order=order).df_dx.values - right
    ).max()
    spurious = abs(rest.grad.compute("x", geometry=geometry, order=order).df_dx).max()
    along = abs(rest.grad.compute("x", order=order).df_dx).max()
    bars = TABLE[size][order]
    assert error / abs(right).max() <= 1.3 * bars[0]
    assert float(spurious / along) <= 1.3 * bars[1]


@pytest.mark.parametrize("order", [2, 4, 6])
@pytest.mark.parametrize("levels", ["even", "stretched", "curved in their coordinate"])
def test_what_is_linear_in_height_is_exact(order: int, levels: str) -> None:
    f, _ = seamount(41, 20)
    if levels != "even":
        s = -(np.linspace(1, 0, 20) ** 1.7)
        f = f.assign_coords(z=(("s", "x"), -s[:, np.newaxis] * f.z.values[0], f.z.attrs))
        f = f.assign_coords(s=s) if levels == "stretched" else f
    f = (3 + 2e-3 * f.z).rename("f").assign_attrs(units="K")
    found = f.grad.compute(["x", "s"], geometry=xgrad.TerrainFollowing("z", vertical="s"), order=order)
    along = abs(f.grad.compute("x", order=order).df_dx).max()
    assert float(abs(found.df_dx).max() / along) <= 1e-12
    assert float(abs(found.df_dz / 2e-3 - 1).max()) <= 1e-12
    assert found.df_dz.attrs["units"] == "K m-1"
    assert found.df_dz.attrs["long_name"].startswith("upward derivative of")


def test_order_4_is_the_default_on_levels() -> None:
    f, _ = seamount(41, 20)
    found, right = (
        f.grad.compute("x", geometry=xgrad.TerrainFollowing("z", vertical="s"), order=order)
        for order in (None, 4)
    )
    xr.testing.assert_identical(found, right)
    assert list(found) == ["df_dx"]


TERMS = {
    "ocean_sigma_coordinate": "sigma: lev eta: eta depth: depth",
    "ocean_s_coordinate": "s: lev eta: eta depth: depth a: a b: b depth_c: hc",
    "ocean_s_coordinate_g1": "s: lev C: C eta: eta depth: depth depth_c: hc",
    "ocean_s_coordinate_g2": "s: lev C: C eta: eta depth: depth depth_c: hc",
    "atmosphere_hybrid_height_coordinate": "a: lev b: C orog: depth",
    "atmosphere_sigma_coordinate": "sigma: lev ps: depth ptop: hc",
    "atmosphere_hybrid_sigma_pressure_coordinate": "ap: lev b: C ps: depth",
}


@pytest.mark.parametrize("kind", TERMS)
def test_formula_terms(kind: str) -> None:
    """Against the formulas of CF, appendix D, written out here."""
    rng = np.random.default_rng(0)
    lev, x = np.linspace(-1, 0, 8), np.arange(12) * 1e4
    ds = xr.Dataset(
        {
            "f": (("time", "lev", "x"), rng.standard_normal((3, 8, 12))),
            "eta": (("time", "x"), rng.standard_normal((3, 12))),
            "depth": ("x", 1000 + 300 * np.sin(x / 3e4), {"units": "m"}),
            **{"C": ("lev", lev**3), "hc": ((), 50.0), "a": ((), 5.0), "b": ((), 0.4)},
        },
        {
            "lev": ("lev", lev, {"standard_name": kind, "formula_terms": TERMS[kind], "axis": "Z"}),
            "x": ("x", x, {"units": "m"}),
            "time": ("time", np.arange(3.0), {"axis": "T"}),
        },
    )
    s, C, eta, h, hc, a, b = ds.lev, ds.C, ds.eta, ds.depth, 50.0, 5.0, 0.4
    curve = (1 - b) * np.sinh(a * s) / np.sinh(a) + b * (np.tanh(a * (s + 0.5)) / (2 * np.tanh(a / 2)) - 0.5)
    g1, g2 = hc * s + (h - hc) * C, (hc * s + h * C) / (hc + h)
    z = {
        "ocean_sigma_coordinate": eta + s * (h + eta),
        "ocean_s_coordinate": eta * (1 + s) + hc * s + (h - hc) * curve,
        "ocean_s_coordinate_g1": g1 + eta * (1 + g1 / h),
        "ocean_s_coordinate_g2": eta + (eta + h) * g2,
        "atmosphere_hybrid_height_coordinate": s + C * h,
        "atmosphere_sigma_coordinate": hc + s * (h - hc),
        "atmosphere_hybrid_sigma_pressure_coordinate": s + C * h,
    }[kind].transpose(*[d for d in ("time", "lev", "x") if d in (*ds.eta.dims, "lev")], missing_dims="ignore")
    z.attrs = {"units": "m"}
    found = ds.grad.compute(["x", "lev"], geometry=xgrad.TerrainFollowing())
    right = ds.grad.compute(["x", "lev"], geometry=xgrad.TerrainFollowing(z.rename("z"), vertical="lev"))
    for name in ("df_dx", "df_dz"):
        np.testing.assert_allclose(found[name], right[name], rtol=1e-10, atol=1e-14)
    upward = "pressure" not in kind and kind != "atmosphere_sigma_coordinate"
    words = "upward derivative of f" if upward else "derivative of f along pressure"
    assert found.df_dz.attrs["long_name"] == words
    refused(ds.f, "not there", "call .grad on the Dataset", dims=["x"], geometry=xgrad.TerrainFollowing())
    ds.lev.attrs["formula_terms"] = "sigma: lev"
    refused(ds, "lack", dims=["x"], geometry=xgrad.TerrainFollowing())


def test_levels_are_refused() -> None:
    f, _ = seamount(41, 20)
    refused(f, "formula_terms", geometry=xgrad.TerrainFollowing())
    refused(f, "'w' is not there", geometry=xgrad.TerrainFollowing("w"))
    refused(
        f, "do not change along", dims="x", geometry=xgrad.TerrainFollowing(f.s.rename("z"), vertical="s")
    )
    deep = f.expand_dims(k=3).copy()
    refused(
        deep,
        "['k', 's', 'x']",
        dims="x",
        geometry=xgrad.TerrainFollowing((deep.z * deep.k * 0 + deep.z).rename("z")),
    )
    refused(f, "vertical='q'", geometry=xgrad.TerrainFollowing("z", vertical="q"))


def test_hydrostatic_consistency() -> None:
    z = xr.DataArray([[0.0, 1.0, 4.0], [10.0, 13.0, 20.0]], dims=("level", "x"), name="z")
    # rises along x: 1, 2, 3 and 3, 5, 7; distances of the levels: 10, 12, 16
    found = xgrad.hydrostatic_consistency(z, "level")
    np.testing.assert_allclose(found, [[1 / 10, 2 / 12, 3 / 16], [3 / 10, 5 / 12, 7 / 16]], rtol=1e-15)
    assert found.attrs["units"] == "1"
    lazy = xgrad.hydrostatic_consistency(z.chunk(level=1, x=2), "level")
    assert lazy.chunks == ((1, 1), (2, 1))
    np.testing.assert_array_equal(lazy, found)
    for wrong in ((z, "k"), (z.isel(level=[0]), "level"), (z.isel(x=0), "level"), (z.values, "level")):
        with pytest.raises(xgrad.XgradError):
            xgrad.hydrostatic_consistency(*wrong)


# --- attributes and the command line


def test_grid_mapping_in_its_long_form() -> None:
    assert cf.grid_mappings("crs: x y wgs: lat lon") == {"crs": ("x", "y"), "wgs": ("lat", "lon")}
    assert cf.grid_mappings("crs") == {"crs": ()}
    assert cf.grid_mappings(None) == cf.grid_mappings("") == {}


GIVEN = {
    "sphere": "sphere",
    "sphere:radius=6371000": xgrad.Sphere(6371000.0),
    "sphere:lon=a,lat=b": xgrad.Sphere(lon="a", lat="b"),
    "ellipsoid:a=GRS80": xgrad.Ellipsoid("GRS80"),
    "ellipsoid:a=6378137,f=1/298.25": xgrad.Ellipsoid(6378137.0, 1 / 298.25),
    "sphere:parity=-1": xgrad.Sphere(parity=-1),
    "metric:dx=a/1000": xgrad.Metric(dx=("a", 1000.0)),
    "auto": "auto",
}


@pytest.mark.parametrize("text", GIVEN)
def test_the_command_takes_geometries(text: str, tmp_path: Path) -> None:
    source, target = tmp_path / "in.nc", tmp_path / "out.nc"
    regular().to_netcdf(source)
    assert cli.run(["compute", str(source), "-o", str(target), "--geometry", text, "-d", "a"]) == 0
    with xr.open_dataset(source) as ds, xr.open_dataset(target) as found:
        right = ds.grad.compute("a", geometry=GIVEN[text])
        np.testing.assert_array_equal(found.df_dx, right.df_dx)
        assert found.df_dx.attrs["comment"] == right.df_dx.attrs["comment"]


@pytest.mark.parametrize(
    "text",
    ["shpere", "sphere:size=3", "sphere:radius", "sphere:radius=1,radius=2", "auto:x=1", "sphere:radius=-1"],
)
def test_the_command_refuses_what_is_no_geometry(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in.nc"
    regular().to_netcdf(source)
    assert cli.run(["info", str(source), "--geometry", text]) == 2
    assert capsys.readouterr().err.startswith("xgrad: error: ")


def test_info_shows_the_geometry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "in.nc"
    regular().to_netcdf(source)
    assert cli.run(["info", str(source)]) == 0
    assert "geometry='auto': on the sphere" in capsys.readouterr().out
    assert cli.run(["info", str(source), "--geometry", "ellipsoid"]) == 0
    assert "df_dx" in (said := capsys.readouterr().out)
    assert "WGS84" in said
