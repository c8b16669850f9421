"""Raw chunks: files read and written raw are those that HDF5, netCDF-C and xarray read and write."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import h5netcdf
import h5py
import netCDF4
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xgrad.storage.raw import reading, shared, writing
from xgrad.storage.raw.reading import RawEntrypoint, raw_variables
from xgrad.storage.raw.writing import raw_targets

from .outcomes import Outcome

DTYPES = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", ">i2", ">u4", ">f4", ">f8")
# For HDF5 also the oldest format that it can use, which for chunks is that of netCDF-4, and newer ones.
LIBVER = {"h5py": None, "h5py v110": ("v110", "v110"), "h5py latest": "latest"}
WRITERS = ("netCDF4", "h5netcdf", *LIBVER)
# What xarray remarks about cases that are meant.
REMARKS = ("variable 'v' has multiple fill values", "variable 'v' has _Unsigned attribute but")
TOOLS = ("ncdump", "h5dump", "nccopy")

Region = tuple[slice, ...]
Pick = Callable[[Sequence[Any]], Any]
"""Takes one of several values."""


@dataclass(frozen=True)
class Case:
    """A variable in a file, and the regions of it that are written, one after another."""

    writer: str
    dtype: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    unlimited: int  # how many dimensions
    complevel: int  # 0: not deflated
    shuffle: bool
    fletcher32: bool
    fill: float | bool | None  # None: the default; False: none
    attributes: Mapping[str, Any]
    regions: tuple[Region, ...]
    selections: tuple[Mapping[str, Any], ...]  # that are read
    codec: str

    def block(self, number: int) -> NDArray[Any]:
        """Return what is written to a region."""
        region, native = self.regions[number], np.dtype(self.dtype).newbyteorder("=")
        shape = [along.stop - along.start for along in region]
        values = np.random.default_rng(number).normal(60, 20, shape)
        if native.kind == "f":
            values[values > 90] = np.nan
        return values.astype(native)


def make_case(pick: Pick) -> Case:
    """Make a case by taking one of several values again and again."""
    writer = pick(WRITERS)
    dtype = pick(DTYPES)
    sizes = (1, 2, 3, 5, 8, 13, 20, 0) if pick((False,) * 9 + (True,)) else (1, 2, 3, 5, 8, 13, 20)
    shape = tuple(pick(sizes) for _ in range(pick((1, 2, 3, 4))))
    chunks = tuple(pick(range(1, size + 1)) if size else 1 for size in shape)
    complevel = pick((0, 1, 4, 6, 9, pick(range(10))))
    fills: tuple[Any, ...] = (None, False, 7, 0)
    kind = np.dtype(dtype).kind
    attributes: dict[str, Any] = {}
    if kind == "f":
        fills += (np.nan, -1e30)
    elif pick((True, False)):
        attributes["scale_factor"] = pick((np.float32, np.float64))(0.3)
        if pick((True, False)):
            attributes["add_offset"] = pick((np.float32, np.float64))(273.15)
    if pick((False,) * 7 + (True,)) and kind == "i":
        attributes["_Unsigned"] = "true"
    elif pick((False,) * 7 + (True,)):
        attributes["missing_value"] = np.dtype(dtype).newbyteorder("=").type(60)
    unlimited = pick((0, 0, 1, len(shape)))
    if writer == "netCDF4":
        unlimited = min(unlimited, 1)
    if 0 in shape:  # nothing is written that gives an unlimited dimension its length
        unlimited = 0
    fill = pick(fills)
    return Case(
        writer,
        dtype,
        shape,
        chunks,
        unlimited,
        complevel,
        pick((True, False)),
        pick((True, False, False)),
        fill,
        attributes,
        tuple(_regions(pick, shape, chunks, unlimited, fill)),
        tuple(_selection(pick, shape) for _ in range(3)),
        pick(("isal", "zlib")),
    )


def _regions(
    pick: Pick, shape: Sequence[int], chunks: Sequence[int], unlimited: int, fill: Any
) -> Iterator[Region]:
    """Regions to write: whole chunks, pieces of chunks, and much that is never written."""
    if 0 in shape:
        return
    if fill is False:  # what is not written is undefined
        yield tuple(slice(0, size) for size in shape)
    elif unlimited:  # the array gets its length
        yield tuple(slice(size - 1, size) for size in shape)
    for _ in range(pick((0, 1, 2, 4))):
        if pick((True, True, False)):
            starts = [
                pick(range(-(-size // chunk))) * chunk for size, chunk in zip(shape, chunks, strict=True)
            ]
            steps = [pick((1, 2, 3)) * chunk for chunk in chunks]
        else:
            starts = [pick(range(size)) for size in shape]
            steps = [pick(range(1, size + 1)) for size in shape]
        yield tuple(
            slice(start, min(start + step, size))
            for start, step, size in zip(starts, steps, shape, strict=True)
        )


def _selection(pick: Pick, shape: Sequence[int]) -> dict[str, Any]:
    """What to read: any mixture of numbers, slices and lists."""
    found: dict[str, Any] = {}
    for axis, size in enumerate(shape):
        kind = pick(("all", "number", "slice", "run", "list", "backwards")) if size else "all"
        if kind == "number":
            found[f"d{axis}"] = pick(range(-size, size))
        elif kind == "slice":
            found[f"d{axis}"] = slice(pick(range(size)), pick(range(size + 1)), pick((1, 2, 3)))
        elif kind == "run":
            start = pick(range(size))
            found[f"d{axis}"] = slice(start, pick(range(start, size + 1)))
        elif kind == "list":
            found[f"d{axis}"] = [pick(range(-size, size)) for _ in range(pick((1, 2, 4)))]
        elif kind == "backwards":
            found[f"d{axis}"] = slice(None, None, pick((-1, -2)))
    return found


@contextmanager
def small_too() -> Iterator[None]:
    """Small variables and chunks are read raw too, and pages are what goes past the cache of the system."""
    with (
        mock.patch.multiple(reading, _SMALL_VARIABLE=-1, _SMALL_CHUNK=0),
        mock.patch.multiple(shared, ALIGNED=shared.PAGE, _BUFFER=shared.PAGE),
        mock.patch.object(writing, "ALIGNED", shared.PAGE),
    ):
        yield


def lay_out(case: Case, path: Path) -> None:
    """Make a file with everything but the data."""
    names = [f"d{axis}" for axis in range(len(case.shape))]
    sizes = [size if axis >= case.unlimited else None for axis, size in enumerate(case.shape)]
    if case.writer == "netCDF4":
        with netCDF4.Dataset(path, "w") as file:
            for name, size in zip(names, sizes, strict=True):
                file.createDimension(name, size)
            var = file.createVariable(
                "v",
                case.dtype,
                names,
                endian="big" if case.dtype.startswith(">") else "native",
                chunksizes=case.chunks,
                zlib=case.complevel > 0,
                complevel=case.complevel,
                shuffle=case.shuffle,
                fletcher32=case.fletcher32,
                fill_value=case.fill,
            )
            var.setncatts(case.attributes)
        return
    options: dict[str, Any] = {"shuffle": case.shuffle, "fletcher32": case.fletcher32}
    if case.complevel:
        options |= {"compression": "gzip", "compression_opts": case.complevel}
    if case.fill is not None and case.fill is not False:
        options["fillvalue"] = np.dtype(case.dtype).type(case.fill)
    if case.writer == "h5netcdf":
        with h5netcdf.File(path, "w") as file:
            file.dimensions = dict(zip(names, sizes, strict=True))
            var = file.create_variable("v", names, case.dtype, chunks=case.chunks, **options)
            var.attrs.update(case.attributes)
            for name, size in zip(names[: case.unlimited], case.shape, strict=False):
                file.resize_dimension(name, size)
    else:
        with h5py.File(path, "w", libver=LIBVER[case.writer]) as file:
            var = file.create_dataset(
                "v",
                case.shape,
                case.dtype,
                chunks=case.chunks,
                maxshape=[size or None for size in sizes],
                **options,
            )
            var.attrs.update(case.attributes)
            for axis, name in enumerate(names):
                file.create_dataset(name, (case.shape[axis],), "f4").make_scale(name)
                var.dims[axis].attach_scale(file[name])


def write(case: Case, path: Path) -> None:
    """Write the data in the ordinary way."""
    netcdf = case.writer == "netCDF4"
    with netCDF4.Dataset(path, "r+") if netcdf else h5py.File(path, "r+") as file:
        if netcdf:
            file.set_auto_maskandscale(False)
        for number, region in enumerate(case.regions):
            file["v"][region] = case.block(number)


def write_raw(case: Case, path: Path) -> None:
    """Write the data raw, from another thread."""
    with (
        raw_targets(path, {"v": np.broadcast_to(0, case.shape)}, case.codec) as targets,
        ThreadPoolExecutor(1) as pool,  # in their order, as they may overlap
    ):
        for number, region in enumerate(case.regions):
            pool.submit(targets["v"].__setitem__, region, case.block(number)).result()


def differences_read(case: Case, path: Path, **options: Any) -> Iterator[str]:
    """Compare what the engine netcdf4 reads with what is read raw."""
    with (
        xr.open_dataset(path, engine="netcdf4", **options) as usual,
        xr.open_dataset(path, engine=RawEntrypoint, **options) as raw,
    ):
        for selection in (*case.selections, {}):
            yield from differences(usual.isel(selection).load(), raw.isel(selection).load())


def differences(one: xr.Dataset, other: xr.Dataset) -> Iterator[str]:
    """Compare two Datasets to the last bit and encoding, but for the names of their files."""
    if not one.identical(other):
        yield "values or attributes"
    for name in one.variables:
        x, y = one.variables[name], other.variables[name]
        if x.dtype != y.dtype:
            yield f"data type of {name}: {x.dtype}, {y.dtype}"
        elif x.dtype.kind != "O" and x.to_numpy().tobytes() != y.to_numpy().tobytes():
            yield f"bits of {name}"
        x, y = ({k: v for k, v in var.encoding.items() if k != "source"} for var in (x, y))
        if repr(x) != repr(y):
            yield f"encoding of {name}: {x}, {y}"


def differences_written(case: Case, usual: Path, raw: Path) -> Iterator[str]:
    """Compare a file written in the ordinary way with one written raw; at last append to both."""
    for engine in ("netcdf4", "h5netcdf"):
        with xr.open_dataset(usual, engine=engine) as one, xr.open_dataset(raw, engine=engine) as other:
            yield from (f"{engine}: {each}" for each in differences(one.load(), other.load()))
    with h5py.File(usual) as one, h5py.File(raw) as other:
        x, y = one["v"], other["v"]
        if x.shape != y.shape or x[...].tobytes() != y[...].tobytes():
            yield "h5py: values"
        if _filters(x) != _filters(y):
            yield f"h5py: filters {_filters(x)}, {_filters(y)}"
    found = [_appended(case, path) for path in (usual, raw)]
    if found[0] != found[1]:
        yield "after appending"


def _filters(dataset: Any) -> list[Any]:
    """The filters of a variable with their options."""
    made = dataset.id.get_create_plist()
    return [made.get_filter(number) for number in range(made.get_nfilters())]


def _appended(case: Case, path: Path) -> bytes:
    """Write into a file once more, also beyond its end where it is unlimited; return all values."""
    netcdf = not case.writer.startswith("h5py")  # netCDF-C appends only to files in which order is kept
    with netCDF4.Dataset(path, "a") if netcdf else h5py.File(path, "a") as file:
        if netcdf:
            file.set_auto_maskandscale(False)
        var = file["v"]
        if 0 not in var.shape:
            var[tuple(size // 2 for size in var.shape)] = 1
            if case.unlimited == 1 and case.writer == "netCDF4":
                var[var.shape[0]] = 2
    return _values(path)


def differences_for_tools(usual: Path, raw: Path, tools: Sequence[str]) -> Iterator[str]:
    """Compare two files as the tools of HDF5 and netCDF show and copy them."""
    for tool in tools:
        if tool == "nccopy":
            copies = [path.with_suffix(".copy.nc") for path in (usual, raw)]
            codes = [
                subprocess.run(["nccopy", path, copy], capture_output=True, check=False).returncode
                for path, copy in zip((usual, raw), copies, strict=True)
            ]
            shown = [_values(copy) if code == 0 else b"" for copy, code in zip(copies, codes, strict=True)]
        else:
            options = ["-n", "same"] if tool == "ncdump" else []
            runs = [
                subprocess.run([tool, *options, path], capture_output=True, check=False)
                for path in (usual, raw)
            ]
            codes = [each.returncode for each in runs]
            shown = [
                each.stdout.replace(bytes(path), b"") for each, path in zip(runs, (usual, raw), strict=True)
            ]
        if codes != [0, 0]:
            yield f"{tool}: ends with {codes}"
        elif shown[0] != shown[1]:
            yield f"{tool}: output"


def _values(path: Path) -> bytes:
    """All values of a file."""
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        values: bytes = file["v"][...].tobytes()
        return values


def run(cases: int, seed: int) -> Iterator[Outcome]:
    """Compare many generated files.

    Parameters
    ----------
    cases : int
        How many files of each kind.
    seed : int
        The same seed gives the same cases.

    Yields
    ------
    Outcome
        What came of each.
    """
    tools = [tool for tool in TOOLS if shutil.which(tool)]
    with tempfile.TemporaryDirectory() as folder, small_too(), warnings.catch_warnings():
        warnings.simplefilter("error")
        for words in REMARKS:
            warnings.filterwarnings("ignore", words)
        for number in range(cases):
            generator = np.random.default_rng([seed, number])
            case = make_case(lambda values, g=generator: values[int(g.integers(len(values)))])
            usual, raw = Path(folder) / "usual.nc", Path(folder) / "raw.nc"
            words = list[str]()
            try:
                found = list(_problems(case, usual, raw, tools, words))
            except Exception as error:
                found = [f"{type(error).__name__}: {error}"]
            said = [f"case {number} of seed {seed}: {each}; {case}" for each in found]
            yield Outcome("raw chunks", words, said)


def _problems(case: Case, usual: Path, raw: Path, tools: Sequence[str], words: list[str]) -> Iterator[str]:
    """Whatever differs in one case; take note of how it was read."""
    for path, fill in ((usual, write), (raw, write_raw)):
        lay_out(case, path)
        fill(case, path)
    words.append("read raw" if raw_variables(usual)["v"] is None else "read the ordinary way")
    for path, options in itertools.product((usual, raw), ({}, {"decode_cf": False})):
        yield from (f"read {path.name} {options}: {each}" for each in differences_read(case, path, **options))
    if case.writer != "h5py latest":  # which the tools need not know yet
        yield from differences_for_tools(usual, raw, tools)
        words += [f"shown by {tool}" for tool in tools]
    yield from differences_written(case, usual, raw)
