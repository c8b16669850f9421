"""Files and stores of all kinds opened: series, URLs, chunks as they are stored, and what cannot be read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import dask.array
import fsspec
import numpy as np
import pytest
import xarray as xr

import xgrad
from xgrad import storage
from xgrad.errors import InputError, XgradError


@pytest.fixture
def ds() -> xr.Dataset:
    """Twelve maps of three months, with bounds, a grid mapping and a packed variable."""
    rng = np.random.default_rng(3)
    time = xr.date_range("2001-01-29", periods=12, freq="7D")
    ds = xr.Dataset(
        {
            "t": (("time", "lat", "lon"), rng.normal(280, 5, (12, 8, 10)).astype("f4"), {"units": "K"}),
            "p": (("time", "lat", "lon"), rng.normal(1000, 5, (12, 8, 10)).round(1)),
        },
        {
            "time": time,
            "lat": ("lat", np.linspace(30.0, 65, 8), {"units": "degrees_north", "bounds": "lat_bnds"}),
            "lat_bnds": (("lat", "bnds"), np.linspace(27.5, 67.5, 9)[np.add.outer(np.arange(8), [0, 1])]),
            "lon": ("lon", np.arange(10.0) * 5, {"units": "degrees_east"}),
            "crs": ((), 0, {"grid_mapping_name": "latitude_longitude"}),
        },
        {"title": "made for a test"},
    )
    ds["t"].attrs["grid_mapping"] = "crs"
    packing = {"dtype": "i2", "scale_factor": 0.1, "add_offset": 1000.0, "_FillValue": -32768}
    ds["p"].encoding = {**packing, "zlib": True, "chunksizes": (1, 8, 10)}
    return ds


def months(ds: xr.Dataset, folder: Path, suffix: str = ".nc") -> list[Path]:
    """Write a file a month: they have different numbers of maps."""
    paths = []
    for month, part in ds.groupby("time.month", restore_coord_dims=False):
        path = folder / f"{month:02d}{suffix}"
        fixed = part.assign(p=ds.p.sel(time=part.time))
        fixed["lat_bnds"], fixed["crs"] = ds["lat_bnds"], ds["crs"]
        fixed = fixed.set_coords(["lat_bnds", "crs"])
        if suffix == ".nc":
            fixed.to_netcdf(path, unlimited_dims=["time"])
        else:
            fixed.drop_encoding().to_zarr(path, zarr_format=2, consolidated=True)
        paths.append(path)
    assert len(paths) == 4
    return paths


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
@pytest.mark.parametrize("turned", [False, True], ids=["in order", "the other way round"])
def test_several_are_one_series(ds: xr.Dataset, tmp_path: Path, suffix: str, turned: bool) -> None:
    paths = months(ds, tmp_path, suffix)
    with storage.open(paths[::-1] if turned else paths) as found:
        assert dask.is_dask_collection(found.t.data)
        assert set(found.data_vars) == {"t", "p"}
        assert found.title == "made for a test"
        xr.testing.assert_allclose(found.load(), ds, atol=0.05)
        np.testing.assert_array_equal(found.t, ds.t)


def test_a_series_is_differentiated_across_its_files(ds: xr.Dataset, tmp_path: Path) -> None:
    with storage.open(months(ds, tmp_path)) as found:
        result = found[["t"]].grad.compute(["time", "lat"], order=4)
        for target in ("out.nc", "out.zarr"):
            storage.write(result, tmp_path / target)
            with storage.open(tmp_path / target) as stored:
                expected = ds[["t"]].grad.compute(["time", "lat"], order=4)
                for name in expected:
                    np.testing.assert_array_equal(stored[name], expected[name], strict=True)


def test_a_series_keeps_its_unlimited_dimension(ds: xr.Dataset, tmp_path: Path) -> None:
    with storage.open(months(ds, tmp_path)) as found:
        assert found.encoding["unlimited_dims"] == {"time"}


@pytest.mark.parametrize(
    "change",
    [
        lambda part: part.assign_coords(lat=part.lat + 1),
        lambda part: part.assign_coords(time=part.time - np.timedelta64(8, "D")),
        lambda part: part.isel(lon=slice(0, 5)),
    ],
    ids=["another grid", "overlapping times", "a part of the grid"],
)
def test_what_is_no_series_is_refused(ds: xr.Dataset, tmp_path: Path, change: Any) -> None:
    first, second = tmp_path / "a.nc", tmp_path / "b.nc"
    ds.isel(time=slice(0, 6)).to_netcdf(first)
    change(ds.isel(time=slice(6, None))).to_netcdf(second)
    with pytest.raises(InputError, match="the 2 inputs are no series that can be put together"):
        storage.open([first, second])


def with_times(path: Path, units: str, first: float = 0.0) -> Path:
    """Write a file with two times."""
    times = {"time": ("time", [first, first + 1], {"units": units})}
    xr.Dataset({"t": ("time", [1.0, 2.0])}, times).to_netcdf(path)
    return path


@pytest.mark.parametrize("count", [1, 2])
def test_warnings_name_the_line_of_the_caller(tmp_path: Path, count: int) -> None:
    paths = [with_times(tmp_path / f"{n}.nc", "fortnights since Tuesday", 2.0 * n) for n in range(count)]
    with pytest.warns(UserWarning, match="stay plain numbers") as caught:
        xgrad.open(paths).close()
    assert {warning.filename for warning in caught} == {__file__}


@pytest.mark.filterwarnings("ignore:the times in .* stay plain numbers")
def test_times_of_one_file_alone_make_no_series(tmp_path: Path) -> None:
    paths = [
        with_times(tmp_path / "a.nc", "days since 2001-01-01"),
        with_times(tmp_path / "b.nc", "fortnights since Tuesday", 2.0),
    ]
    with pytest.raises(InputError, match="are no series that can be put together by its coordinates"):
        xgrad.open(paths)


def test_nothing_to_open() -> None:
    with pytest.raises(InputError, match="nothing to open"):
        storage.open([])


def test_urls_are_opened_by_fsspec(ds: xr.Dataset, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    ds.to_netcdf(tmp_path / "a.nc")
    memory.put(str(tmp_path / "a.nc"), "/xgrad/a.nc")
    ds.drop_encoding().to_zarr("memory://xgrad/a.zarr", zarr_format=2)
    for url in ("memory://xgrad/a.nc", "memory://xgrad/a.zarr"):
        with storage.open(url) as found:
            assert dask.is_dask_collection(found.t.data)
            np.testing.assert_array_equal(found.t, ds.t)
            storage.write(found.grad.compute("lat"), tmp_path / "out.nc", inputs=[url], overwrite=True)
            with storage.open(tmp_path / "out.nc") as stored:
                np.testing.assert_array_equal(stored.dt_dlat, ds.grad.compute("lat").dt_dlat)
    with pytest.raises(InputError, match=r"memory://xgrad/none.nc"):
        storage.open("memory://xgrad/none.nc")
    with pytest.raises(XgradError, match="not on a file system"):
        storage.write(ds, "memory://xgrad/out.zarr")


def test_chunks_are_whole_stored_chunks_and_results_end_with_them(tmp_path: Path) -> None:
    data = np.random.default_rng(0).standard_normal((40, 90, 120)).astype("f4")
    ds = xr.Dataset({"t": (("time", "y", "x"), data)}, {"y": np.arange(90.0), "x": np.arange(120.0)})
    ds.to_netcdf(tmp_path / "in.nc", encoding={"t": {"zlib": True, "chunksizes": (3, 45, 40)}})
    with storage.open(tmp_path / "in.nc", chunk_bytes=3 * 45 * 120 * 4 * 2 + 100) as found:
        assert found.t.chunks == ((3,) * 13 + (1,), (90,), (120,))
        storage.write(found.grad.compute(["y", "x"]), tmp_path / "out.nc", complevel=1)
        storage.write(found.grad.compute(["y", "x"]), tmp_path / "out.zarr")
    for name in ("out.nc", "out.zarr"):
        with storage.open(tmp_path / name) as stored:
            for size, chunk in zip(
                (3, 90, 120), stored.dt_dy.encoding["preferred_chunks"].values(), strict=True
            ):
                assert size % chunk == 0


def test_compressed_chunks_are_read_raw(ds: xr.Dataset, tmp_path: Path) -> None:
    large = ds.isel(lat=np.arange(160) % 8, lon=np.arange(200) % 10)
    large.t.encoding = {"zlib": True, "chunksizes": (1, 160, 200)}
    large.drop_vars(["lat", "lon", "lat_bnds"]).to_netcdf(tmp_path / "a.nc")
    with storage.open(tmp_path / "a.nc") as found:
        graph = found.t.data.dask
        assert any("RawArray" in repr(value) for value in dict(graph).values())
        np.testing.assert_array_equal(found.t, large.t)


def test_netcdf3_is_read_as_big_endian_by_scipy_too(ds: xr.Dataset, tmp_path: Path) -> None:
    ds.to_netcdf(tmp_path / "a.nc", format="NETCDF3_64BIT")
    expected = ds.grad.compute("lat")
    with (
        storage.open(tmp_path / "a.nc") as one,
        xr.open_dataset(tmp_path / "a.nc", engine="scipy", chunks={}) as two,
    ):
        for found in (one, two):
            np.testing.assert_array_equal(found[["t"]].grad.compute("lat").dt_dlat, expected.dt_dlat)


def test_hierarchies_are_opened_at_their_root(ds: xr.Dataset, tmp_path: Path) -> None:
    ds = ds.drop_encoding()
    xr.DataTree.from_dict({"/": ds, "/finer": ds.isel(time=0)}).to_netcdf(tmp_path / "a.nc")
    with storage.open(tmp_path / "a.nc") as found:
        assert "dt_dlat" in xgrad.compute(found, "lat")


@pytest.mark.parametrize("version", [2, 3])
def test_a_store_that_is_gone_is_an_error_and_no_fill_values(
    ds: xr.Dataset, tmp_path: Path, version: int
) -> None:
    """So is one that a worker of a cluster does not see; Zarr takes absent chunks for missing values."""
    storage.write(ds, tmp_path / "a.zarr", zarr_format=version)
    with storage.open(tmp_path / "a.zarr") as found:
        shutil.rmtree(tmp_path / "a.zarr")
        with pytest.raises(InputError, match=r"'t' of .*a.zarr"):
            found.t.load()


def test_a_store_may_be_replaced_by_one_with_another_codec(ds: xr.Dataset, tmp_path: Path) -> None:
    for level in (3, 0, 3):
        storage.write(ds, tmp_path / "a.zarr", complevel=level, zarr_format=2, overwrite=True)
        with storage.open(tmp_path / "a.zarr") as found:
            np.testing.assert_array_equal(found.t, ds.t)
