"""From file to file: open with chunks, differentiate along two dims, write."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import xarray as xr

from .contest import Case, Contest, alone, cost
from .lazy import METHODS, source, wrong

_DIMS = ("y", "x")
_BLOCK = {"toy": (2, 16, 16), "small": (8, 128, 256), "full": (8, 256, 512)}  # full: 1 GB
_BLOCKS = {"toy": 2, "small": 4, "full": 6}


def _write(dataset: xr.Dataset, path: Path) -> None:
    """Write a file or a store, whatever was there before."""
    if path.suffix == ".nc":
        dataset.to_netcdf(path, engine="netcdf4")
    else:
        dataset.to_zarr(
            path, mode="w", consolidated=False, encoding={n: {"compressors": None} for n in dataset}
        )


def _read(path: Path, size: str) -> xr.Dataset:
    """Open a file or a store with chunks."""
    chunks = dict(zip("zyx", _BLOCK[size], strict=True))
    if path.suffix == ".nc":
        return xr.open_dataset(path, engine="netcdf4", chunks=chunks)
    return xr.open_zarr(path, consolidated=False, chunks=chunks)


def _job(size: str, folder: Path, suffix: str, method: str) -> None:
    """Do the whole job once."""
    with _read(folder / f"{size}{suffix}", size) as opened:
        f = opened["f"]
        results = METHODS[method](f, _DIMS)
        variables = {f"df_d{dim}": (f.dims, array) for dim, array in zip(_DIMS, results, strict=True)}
        _write(xr.Dataset(variables, f.coords), folder / f"{method}{suffix}")


def _contest(size: str, folder: Path, *, suffix: str) -> Contest:
    """Write the input, then let each contestant work in a process of its own."""
    for each in {"toy", size}:
        _write(source(_BLOCK[each], _BLOCKS[each]).to_dataset(), folder / f"{each}{suffix}")
    f = source(_BLOCK[size], _BLOCKS[size])
    names = ("xgrad", "xarray", "floor")
    size_now = f"{f.nbytes / 1e9:.2g} GB"
    return Contest(
        work=f"two axes of {size_now} float32 in a {suffix}, uncompressed; floor: copies through xarray",
        measures={name: partial(alone, cost, _job, size, folder, suffix, name) for name in names},
        disagreements=partial(wrong, _DIMS),
        warm=False,
    )


CASES = (
    Case("out_of_core", "netCDF", partial(_contest, suffix=".nc")),
    Case("out_of_core", "Zarr", partial(_contest, suffix=".zarr")),
)
