"""The command `xgrad` and its smaller commands; `xgrad compute` is in `computing`."""

from __future__ import annotations

import json
import platform
import shlex
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import click
import xarray as xr

import xgrad
from xgrad import errors, storage
from xgrad.cli import completing
from xgrad.cli.computing import compute
from xgrad.cli.options import PATH, Geometry, machine, talk
from xgrad.cli.process import Call, invoke
from xgrad.planning import survey
from xgrad.plot import panels

# What show-versions tells of: everything that can change a result, a file or its speed.
PACKAGES = (
    *("xarray", "numpy", "dask", "netCDF4", "cftime", "numba", "cf-xarray", "click", "pandas"),
    *("distributed", "h5netcdf", "h5py", "isal", "matplotlib", "pint-xarray", "pyproj", "scipy", "zarr"),
)


def _version(distribution: str) -> str:
    """The version of an installed distribution."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


EXAMPLES = """\b
Examples:
  xgrad info in.nc
  xgrad compute in.nc -o out.nc -v sst -d lat,lon --geometry sphere
  xgrad compute 2001.nc 2002.nc -o out.zarr -d time --memory 2GB --resume
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True}, epilog=EXAMPLES)
@click.version_option(xgrad.__version__, message="xgrad %(version)s")
def command() -> None:
    """Derivatives of gridded data along named coordinates."""


command.add_command(compute)


@command.command("info", short_help="Say what can be differentiated, and how.")
@click.argument("sources", metavar="IN...", type=PATH, nargs=-1, required=True)
@click.option("--geometry", type=Geometry(), help="Show what this geometry makes of it: auto, sphere, ...")
@machine("The same as a JSON object.")
@talk
@click.pass_obj
def _info(call: Call, /, sources: tuple[str, ...], geometry: Any) -> None:
    """Say what can be differentiated in netCDF files or Zarr stores, and how.

    Several inputs are one series: they are put together by their coordinates.
    """
    with storage.open(sources) as ds:
        found = survey(ds) if geometry is None else xgrad.plan(ds, geometry=geometry)
        click.echo(json.dumps(found.to_dict(), allow_nan=False) if call.json else repr(found))


@command.command("demo", short_help="Differentiate a real file.")
@click.option(
    "--output", type=click.Path(path_type=Path), default="demo-output", help="The folder to write to."
)
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


@command.command("show-versions", short_help="Say all versions, for a bug report.")
def _show_versions() -> None:
    """Say the versions of xgrad and of what it works with, for a bug report."""
    click.echo(f"xgrad {xgrad.__version__}")
    click.echo(f"Python {platform.python_version()} on {platform.platform()}")
    for name in PACKAGES:
        click.echo(f"{name} {_version(name)}")


@command.command("completion", short_help="Print a script for completion in a shell.")
@click.argument("shell", type=click.Choice(completing.SHELLS))
def _completion(shell: str) -> None:
    """Print the script with which a shell completes xgrad's commands, options, files and names.

    \b
    bash: add to ~/.bashrc                  eval "$(xgrad completion bash)"
    zsh:  add to ~/.zshrc, below compinit   eval "$(xgrad completion zsh)"
    fish: save as                           ~/.config/fish/completions/xgrad.fish
    """
    click.echo(completing.script(command, shell), nl=False)
