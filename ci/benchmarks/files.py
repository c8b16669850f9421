"""From file to file: open with chunks, differentiate along latitude and longitude, write."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import xarray as xr
from numpy.typing import NDArray

from xgrad import storage

from .contest import MEMORY, SECONDS, Case, Contest, Metrics, alone, cost, disagreements

_MAP = {"toy": (20, 24), "small": (361, 720), "full": (721, 1440)}
_STEPS = {"toy": 6, "small": 48, "full": 240}  # a gigabyte of float32
_CHUNK = {"toy": 2, "small": 8, "full": 4}  # maps; 16 MiB
_DEFLATED = {"zlib": True, "complevel": 4, "shuffle": True}
_CACHES = Path("/proc/sys/vm/drop_caches")

Job = Callable[[Path, Path, str], None]


def _plain(path: Path, size: str, times: float) -> None:
    """Write float32 as it is."""
    _write(path, size, times, {})


def _deflated(path: Path, size: str, times: float) -> None:
    """Write float32 that zlib makes 2.5 times smaller."""
    _write(path, size, times, {**_DEFLATED, "chunksizes": (1, *_MAP[size])})


def _packed(path: Path, size: str, times: float) -> None:
    """Write packed integers of two bytes, deflated."""
    packing = {"dtype": "int16", "scale_factor": 0.002, "add_offset": 285.0, "_FillValue": -32768}
    _write(path, size, times, {**_DEFLATED, **packing, "chunksizes": (1, *_MAP[size])})


def _write(path: Path, size: str, times: float, encoding: dict[str, Any]) -> None:
    """Write maps of something like temperatures, one after the other."""
    import netCDF4

    rows, columns = _MAP[size]
    axes = _coordinates(size, times)
    shape = (axes["time"][1].size, rows, columns)
    with netCDF4.Dataset(path, "w") as file:
        for name, (_, values, *attrs) in axes.items():
            file.createDimension(name, values.size)
            axis = file.createVariable(name, "f8", (name,))
            axis[:] = values
            axis.setncatts(attrs[0] if attrs else {})
        packing = {key: encoding.pop(key) for key in ("scale_factor", "add_offset") if key in encoding}
        kind, fill = encoding.pop("dtype", "f4"), encoding.pop("_FillValue", None)
        variable = file.createVariable("t", kind, tuple(axes), fill_value=fill, **encoding)
        variable.setncatts({"units": "K", **packing})
        for step in range(shape[0]):
            variable[step] = _map(size, step)


def _coordinates(size: str, times: float) -> dict[str, Any]:
    """Return the axes."""
    rows, columns = _MAP[size]
    return {
        "time": ("time", np.arange(max(4, round(_STEPS[size] * times)), dtype=float)),
        "lat": ("lat", np.linspace(-90, 90, rows), {"units": "degrees_north"}),
        "lon": ("lon", np.arange(columns) * (360 / columns), {"units": "degrees_east"}),
    }


def _map(size: str, step: int) -> NDArray[np.float64]:
    """Return one map: waves and noise, to a hundredth of a degree."""
    rows, columns = _MAP[size]
    lat, lon = np.linspace(-1.5, 1.5, rows)[:, np.newaxis], np.linspace(0, 2 * np.pi, columns, endpoint=False)
    waves = 280 + 20 * np.cos(lat) + 3 * np.sin((step % 8 + 1) * lon) * np.cos((step % 8 + 1) * lat)
    noise = np.random.default_rng(step % 16).standard_normal((rows, columns))
    return np.round(waves + 0.01 * step + 0.05 * noise, 2)


def _by_xgrad(source: Path, target: Path, size: str, **options: Any) -> None:
    """Do the job with the public functions."""
    with storage.open(source, chunks={"time": _CHUNK[size], "lat": -1, "lon": -1}) as ds:
        result = ds[["t"]].grad.compute(["lat", "lon"])
        storage.write(result, target, inputs=[source], overwrite=True, **options)


def _by_xarray(source: Path, target: Path, size: str, **encoding: Any) -> None:
    """Do the same with xarray."""
    with xr.open_dataset(source, chunks={"time": _CHUNK[size], "lat": -1, "lon": -1}) as ds:
        result = xr.Dataset({f"dt_d{dim}": ds["t"].differentiate(dim) for dim in ("lat", "lon")})
        _to_file(result, target, size, encoding)


def _copied(source: Path, target: Path, size: str, *, names: tuple[str, ...], **encoding: Any) -> None:
    """Copy the input through xarray, into one variable or more."""
    with xr.open_dataset(source, chunks={"time": _CHUNK[size], "lat": -1, "lon": -1}) as ds:
        _to_file(xr.Dataset({name: ds["t"] for name in names}), target, size, encoding)


def _to_file(ds: xr.Dataset, target: Path, size: str, encoding: dict[str, Any]) -> None:
    """Write a file or a store through xarray, whatever was there before."""
    if target.suffix == ".zarr":
        plain = {name: {"compressors": None} for name in ds}
        ds.drop_encoding().to_zarr(target, mode="w", consolidated=False, encoding=plain)
        return
    chunks = {"chunksizes": (1, *_MAP[size])} if encoding else {}
    ds.to_netcdf(target, engine="netcdf4", encoding={name: {**encoding, **chunks} for name in ds})


_TWO, _ONE = {"names": ("dt_dlat", "dt_dlon")}, {"names": ("t",)}
# What is written, how the target is called, and what each contestant does.
_WORKS: dict[str, tuple[Callable[..., None], str, dict[str, Callable[..., None]]]] = {
    "netCDF": (
        _plain,
        ".nc",
        {"xgrad": _by_xgrad, "xarray": _by_xarray, "copy to two variables": partial(_copied, **_TWO)},
    ),
    "netCDF, deflated": (
        _deflated,
        ".nc",
        {
            "xgrad": partial(_by_xgrad, complevel=4),
            "xgrad, zlib": partial(_by_xgrad, complevel=4, codec="zlib"),
            "xarray": partial(_by_xarray, **_DEFLATED),
            "copy of one variable": partial(_copied, **_ONE, **_DEFLATED),
        },
    ),
    "netCDF, packed": (
        _packed,
        ".nc",
        {
            "xgrad": partial(_by_xgrad, complevel=4),
            "xarray": partial(_by_xarray, **_DEFLATED),
            "copy of one variable": partial(_copied, **_ONE, **_DEFLATED),
        },
    ),
    "Zarr": (
        _plain,
        ".zarr",
        {
            "xgrad": partial(_by_xgrad, complevel=0),
            "xarray": _by_xarray,
            "copy to two variables": partial(_copied, **_TWO),
        },
    ),
}


def _job(size: str, folder: Path, work: str, name: str, cold: bool) -> None:
    """Do the whole job of a contestant once."""
    _, suffix, contestants = _WORKS[work]
    if cold and size != "toy":
        os.sync()
        _CACHES.write_text("1")
    contestants[name](folder / f"{size}.nc", folder / f"out{suffix}", size)


def _measured(size: str, folder: Path, work: str, name: str, cold: bool) -> Metrics:
    """Measure a job in a process of its own, and how large its file is."""
    if size != "toy":
        os.sync()  # what others left for the disk to do is not this contestant's time
    found = dict(alone(cost, _job, size, folder, work, name, cold))
    target = folder / f"out{_WORKS[work][1]}"
    if target.is_file():
        found["file, MB"] = target.stat().st_size / 1e6
    return found


def _contest(size: str, folder: Path, *, work: str, times: float, cold: bool = False) -> Contest:
    """Write the input, then let each contestant work in a process of its own."""
    make, _, contestants = _WORKS[work]
    for each in {"toy", size}:
        make(folder / f"{each}.nc", each, times)
    cold = cold and os.access(_CACHES, os.W_OK)
    return Contest(
        work=f"d/dlat, d/dlon of {_volume(size, times)}, {work}{', nothing cached' if cold else ''}",
        measures={name: partial(_measured, size, folder, work, name, cold) for name in contestants},
        disagreements=partial(_wrong, folder, work),
        warm=False,
    )


def _volume(size: str, times: float) -> str:
    """Say how much is read."""
    shape = (round(_STEPS[size] * times), *_MAP[size])
    return f"{np.prod(shape) * 4 / 1e9:.2g} GB of values"


def _wrong(folder: Path, work: str) -> dict[str, str]:
    """Compare the files of all who differentiate."""
    _, suffix, contestants = _WORKS[work]

    def arrays(name: str) -> list[Any]:
        _job("toy", folder, work, name, False)
        with xr.open_dataset(
            folder / f"out{suffix}", **({"consolidated": False} if suffix == ".zarr" else {})
        ) as ds:
            return [ds[key].values for key in ("dt_dlat", "dt_dlon")]

    calls = {name: partial(arrays, name) for name in contestants if not name.startswith("copy")}
    return disagreements(calls, "xgrad", margin=1, tolerance=1e-5)


def _command(size: str, folder: Path) -> Metrics:
    """Run the command, and measure the memory of its whole process."""
    source, target = (os.fspath(folder / name) for name in (f"{size}.nc", "out.nc"))
    line = [
        sys.executable,
        "-m",
        "xgrad",
        "compute",
        source,
        "-d",
        "lat,lon",
        "-o",
        target,
        "--overwrite",
        "-q",
    ]
    started, peak = time.perf_counter(), 0
    with psutil.Popen(line) as process:
        while process.poll() is None:
            with suppress(psutil.Error):  # it ends at this very moment
                peak = max(peak, process.memory_info().rss)
            time.sleep(0.002)
    seconds = time.perf_counter() - started
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(line)} ended with {process.returncode}")
    os.remove(target)
    return {SECONDS: seconds, MEMORY: peak / 2**20}


def _sizes(size: str, folder: Path) -> Contest:
    """Let files grow, and see that the memory does not."""
    grown = (1, 2, 4, 8)
    for times in grown:
        (folder / f"{times}").mkdir()
        for each in {"toy", size}:
            _plain(folder / f"{times}" / f"{each}.nc", each, times)

    return Contest(
        work=f"xgrad compute, lat and lon, of {_volume(size, 1)} and of 2, 4 and 8 times as much, netCDF",
        measures={f"{times} times": partial(_command, size, folder / f"{times}") for times in grown},
        reference="1 times",
        warm=False,
    )


CASES = (
    Case("out_of_core", "netCDF", partial(_contest, work="netCDF", times=1)),
    Case("out_of_core", "netCDF, deflated", partial(_contest, work="netCDF, deflated", times=1.5)),
    Case("out_of_core", "netCDF, packed", partial(_contest, work="netCDF, packed", times=1.5)),
    Case("out_of_core", "Zarr", partial(_contest, work="Zarr", times=1)),
    Case("out_of_core", "netCDF, cold", partial(_contest, work="netCDF", times=1, cold=True)),
    Case(
        "out_of_core",
        "netCDF, deflated, cold",
        partial(_contest, work="netCDF, deflated", times=1.5, cold=True),
    ),
    Case("growing", "netCDF", _sizes),
)
