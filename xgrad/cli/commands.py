"""The commands themselves: each opens, calls the function of the same name, and writes."""

from __future__ import annotations

import platform
import shlex
import sys
import warnings
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import click
import xarray as xr

import xgrad
from xgrad import errors, storage
from xgrad.cli.options import Geometry, Names, Pairs, Periodic, talk
from xgrad.cli.process import Call, invoke
from xgrad.labels import plain
from xgrad.plot import panels
from xgrad.units import UnitsWarning

# What show-versions tells of: everything that can change a result, a file or its speed.
PACKAGES = (
    *("xarray", "numpy", "dask", "netCDF4", "cftime", "numba", "cf-xarray", "click", "pandas"),
    *("distributed", "h5netcdf", "h5py", "isal", "matplotlib", "pint-xarray", "pyproj", "scipy", "zarr"),
)
PATH = click.Path(path_type=Path)


def _version(distribution: str) -> str:
    """The version of an installed distribution."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(xgrad.__version__, message="xgrad %(version)s")
def command() -> None:
    """Derivatives of gridded data along named coordinates."""


@command.command("compute")
@click.argument("source", metavar="IN", type=PATH)
@click.option("-o", "--output", required=True, type=PATH, help="The file to write: .nc, .nc4 or .cdf.")
@click.option("-v", "--variables", type=Names(), help="What to differentiate; all variables if not given.")
@click.option("-d", "--dims", type=Names(), help="Along which dimensions; all usable ones if not given.")
@click.option("--n", type=int, default=1, help="Which derivative: 1 to 4.")
@click.option("--order", type=int, help="Order of accuracy: 2, 4, 6 or 8; 2 if not given.")
@click.option("--edge-order", type=int, help="Order at the ends of an axis; as --order if not given.")
@click.option("--skipna/--no-skipna", default=True, help="Make do with the valid points near missing ones.")
@click.option("--periodic", type=Periodic(), metavar=Periodic.name, default="auto", help="Which are rings.")
@click.option(
    "--geometry", type=Geometry(), help="Eastward and northward, per metre: auto, sphere, projected, ..."
)
@click.option("--spacing", type=Pairs(float, "step"), help="Steps that replace or stand in for coordinates.")
@click.option("--datetime-unit", default="s", help="Time derivatives are per this: s, m, h, D, W, ms, ...")
@click.option("--names", type=Pairs(str, "name"), help="Names of results, by dimension.")
@click.option("--chunks", type=Pairs(int, "n"), help="Chunk sizes; up to 16 MiB a chunk if not given.")
@click.option("--complevel", type=click.IntRange(0, 9), default=0, help="Compression of the output.")
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
@click.option("--strict", is_flag=True, help="Refuse units that cannot be understood.")
@talk
@click.pass_obj
def _compute(
    call: Call,
    /,
    source: Path,
    output: Path,
    variables: list[str] | None,
    chunks: dict[Any, int] | None,
    complevel: int,
    overwrite: bool,
    strict: bool,
    **options: Any,
) -> None:
    """Differentiate the variables of a netCDF file, chunk by chunk, and write a new file."""
    storage.check_target(output, inputs=[source], overwrite=overwrite)
    with storage.open(source, chunks=chunks) as ds:
        storage.write(
            _derivatives(
                _selected(ds, variables), complete=variables is not None, strict=strict, options=options
            ),
            output,
            inputs=[source],
            complevel=complevel,
            overwrite=overwrite,
            history=plain(f"xgrad {xgrad.__version__}: xgrad {shlex.join(call.arguments)}"),
            progress=sys.stderr.isatty() and not call.quiet,
        )


def _derivatives(ds: xr.Dataset, *, complete: bool, strict: bool, options: dict[str, Any]) -> xr.Dataset:
    """The derivatives: of every variable if it is to be complete, with every unit if strict."""
    if complete:
        left_out = [f"{name}: {reason}" for name, reason in xgrad.plan(ds, **options).left_out]
        if left_out:
            raise errors.XgradError(f"not all of these can be differentiated: {'; '.join(left_out)}")
    if not strict:
        return xgrad.compute(ds, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnitsWarning)
        try:
            return xgrad.compute(ds, **options)
        except UnitsWarning as warning:
            raise errors.CoordinateError(f"{warning} (refused, as --strict says)") from None


def _selected(ds: xr.Dataset, variables: list[str] | None) -> xr.Dataset:
    """The Dataset with the named data variables only, and with all its coordinates, bounds among them."""
    for name in variables or ():
        if name not in ds.data_vars:
            advice = errors.suggestion(name, ds.data_vars)
            raise errors.XgradError(f"the file has no data variable {name!r}; {advice}")
    return ds if variables is None else ds.drop_vars([name for name in ds.data_vars if name not in variables])


@command.command("info")
@click.argument("source", metavar="IN", type=PATH)
@click.option("--geometry", type=Geometry(), help="Show what this geometry makes of it: auto, sphere, ...")
@talk
def _info(source: Path, geometry: Any) -> None:
    """Say what can be differentiated in a netCDF file, and how."""
    with storage.open(source) as ds:
        click.echo(repr(ds.grad if geometry is None else ds.grad.plan(geometry=geometry)))


@command.command("demo")
@click.option("--output", type=PATH, default="demo-output", help="The folder to write to.")
@talk
@click.pass_obj
def _demo(call: Call, /, output: Path) -> None:
    """Differentiate a real file: air temperature over North America, 1860 to 2099."""
    try:
        import iris_sample_data
    except ImportError:
        raise errors.MissingExtraError("xgrad demo", "demo") from None
    source = Path(iris_sample_data.path) / "A1B_north_america.nc"
    output.mkdir(parents=True, exist_ok=True)
    made, picture = output / "A1B_gradient.nc", output / "A1B_gradient.png"
    arguments = ("compute", str(source), "-o", str(made), "-d", "longitude,latitude", "--chunks", "time:24")
    inner = replace(call, arguments=(*arguments, "--overwrite"))
    inner.note(f"running: xgrad {shlex.join(inner.arguments)}")
    invoke(command, inner)
    with xr.open_dataset(made, decode_cf=False) as stored:
        stored.info(sys.stdout)
    with storage.open(source) as ds, storage.open(made) as result:
        last = {"time": -1}
        figure = panels(ds["air_temperature"].isel(last), result.isel(last))
        figure.suptitle(
            f"Air temperature over North America in {ds['time'].dt.year.values[-1]}, scenario A1B"
        )
        figure.savefig(picture, dpi=120)
    click.echo(f"\n{made}\n{picture}")


@command.command("show-versions")
def _show_versions() -> None:
    """Say the versions of xgrad and of what it works with, for a bug report."""
    click.echo(f"xgrad {xgrad.__version__}")
    click.echo(f"Python {platform.python_version()} on {platform.platform()}")
    for name in PACKAGES:
        click.echo(f"{name} {_version(name)}")
