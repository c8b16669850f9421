"""The formats: a file or store with everything but the blocks of Dask arrays, and targets for those."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import xarray as xr

from xgrad.errors import MissingExtraError
from xgrad.storage import running
from xgrad.storage.encoding import Settings
from xgrad.storage.running import Target

ENGINES = {"netcdf4": "netCDF4", "h5netcdf": "h5netcdf"}


class _Ready:
    """What xarray asks to write variables: those in memory are written, the others wait for their blocks."""

    def add(self, source: Any, target: Any, region: Any = None) -> None:
        if not hasattr(source, "__dask_graph__"):
            target[... if region is None else region] = source


def laid_out(
    ds: xr.Dataset, path: Path, settings: Settings, unlimited: Sequence[Any]
) -> AbstractContextManager[Mapping[str, Target]]:
    """Make a file or a store, and give the targets of its lazy variables by name."""
    if settings.format == "Zarr":
        return _zarr(ds, path, settings.zarr_format)
    return _netcdf(ds, path, settings, unlimited)


@contextmanager
def _netcdf(
    ds: xr.Dataset, path: Path, settings: Settings, unlimited: Sequence[Any]
) -> Iterator[Mapping[str, Target]]:
    """Make a netCDF-4 file."""
    engine, lazily = settings.engine, _chunked(ds)
    if find_spec(ENGINES[engine]) is None:
        raise MissingExtraError(f"engine={engine!r}", engine)
    if engine == "netcdf4":
        made: Any = xr.backends.NetCDF4DataStore.open(path, mode="w", format="NETCDF4", lock=_lock())
    else:
        made = xr.backends.H5NetCDFStore.open(path, mode="w", lock=_lock())
    try:
        ds.dump_to_store(made, writer=_Ready(), unlimited_dims=unlimited)
    finally:
        made.close()
    if is_raw(settings):
        from xgrad.storage.raw import raw_targets

        with raw_targets(path, lazily, settings.codec) as targets:
            yield targets
    else:
        with _file(path, engine) as file:
            yield {name: _InFile(file[name]) for name in lazily}


@contextmanager
def _file(path: Path, engine: str) -> Iterator[Any]:
    """Open a file to write blocks into it."""
    lock = _lock()
    with lock:
        if engine == "netcdf4":
            import netCDF4

            file: Any = netCDF4.Dataset(path, "r+")
            file.set_auto_maskandscale(False)
        else:
            import h5py

            file = h5py.File(path, "r+")
    try:
        yield file
    finally:
        with lock:
            file.close()


@cache
def _lock() -> Any:
    """Return the lock that xarray holds when it reads netCDF files.

    To write, it would ask a cluster for one, which may be lost; but no worker opens our file.
    """
    from xarray.backends.locks import HDF5_LOCK, NETCDFC_LOCK, combine_locks

    return combine_locks([NETCDFC_LOCK, HDF5_LOCK])


@dataclass(frozen=True, slots=True, eq=False)
class _InFile:
    """A variable of an open file, one block at a time."""

    variable: Any

    def __setitem__(self, region: tuple[slice, ...], block: Any) -> None:
        with _lock():
            self.variable[region or ...] = block


@contextmanager
def _zarr(ds: xr.Dataset, path: Path, version: int) -> Iterator[Mapping[str, Target]]:
    """Make a Zarr store, or take the one that is there to go on with it."""
    if find_spec("zarr") is None:
        raise MissingExtraError("writing Zarr", "zarr")
    if not path.exists():
        running.undisturbed(lambda: _lay_out_store(ds, path, version))
    yield {name: _InStore(path, name) for name in _chunked(ds)}
    for half in path.rglob("*.partial"):  # zarr's, of writers that were killed
        half.unlink()


def _lay_out_store(ds: xr.Dataset, path: Path, version: int) -> None:
    """Make a Zarr store."""
    from zarr.storage import LocalStore  # of a path, zarr 3.4 would take ? and # for parts of a URL

    made = xr.backends.ZarrStore.open_group(
        LocalStore(path), mode="w-", zarr_format=version, consolidate_on_close=version == 2
    )
    ds.dump_to_store(made, writer=_Ready())
    made.close()


class _InStore:
    """An array of a store; each process opens it for itself."""

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        self._array: Any = None

    def __getstate__(self) -> tuple[Path, str]:
        return self._path, self._name

    def __setstate__(self, state: tuple[Path, str]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def __setitem__(self, region: tuple[slice, ...], block: Any) -> None:
        if self._array is None:
            import zarr

            store = zarr.storage.LocalStore(self._path)
            self._array = zarr.open_array(store, path=self._name, mode="r+")
        self._array[region or ...] = block


def is_raw(settings: Settings) -> bool:
    """Whether threads deflate whole chunks of netCDF and put them into the file past HDF5."""
    from xgrad.storage import raw

    possible = settings.format == "netCDF" and raw.available()
    if settings.codec in ("isal", "zlib") and settings.format == "netCDF" and not possible:
        raise MissingExtraError(f"codec={settings.codec!r}", "fastio")
    return possible and settings.codec != "hdf5"


def lazy(ds: xr.Dataset) -> dict[str, Any]:
    """Return the Dask arrays of a Dataset as they are stored: encoded, by name.

    Coordinates that are copied have tasks of their own. Where the same task served their copy and the factors
    of a geometry, blocks piled up that waited for the one or the other: three times the memory.
    """
    from dask.graph_manipulation import clone

    found = {
        name: xr.conventions.encode_cf_variable(var, name=name).data for name, var in _chunked(ds).items()
    }
    return {
        name: clone(array, seed="xgrad-copy") if name in ds.coords else array for name, array in found.items()
    }


def _chunked(ds: xr.Dataset) -> dict[str, xr.Variable]:
    """Return the variables whose blocks are written one by one, by name."""
    return {str(name): var for name, var in ds.variables.items() if var.chunks is not None}
