"""Written files as the IOOS compliance checker sees them: no complaint that their input does not get."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

import xgrad
from xgrad import storage

Find = Callable[[str], Path]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of what the checker imports
    runner = pytest.importorskip("compliance_checker.runner")

FILES = {
    "A1B_north_america.nc": ("air_temperature", ["latitude", "longitude", "time"], "sphere"),
    "orca2_votemper.nc": ("votemper", ["dim0", "dim1"], "curvilinear"),
    "rotated_pole.nc": ("air_pressure_at_sea_level", ["grid_latitude", "grid_longitude"], "projected"),
    "lcc_tas.nc": ("tas", ["y", "x"], "auto"),
    "tmerc_tmean.nc": ("tmean", ["y", "x"], "projected"),
    "tas_CanESM5_gaussian_noleap.nc": ("tas", ["lat", "lon", "time"], "sphere"),
    "eraint_uvz.nc": ("u", ["latitude", "longitude"], "sphere"),
    "hybrid_height.nc": ("air_potential_temperature", None, xgrad.TerrainFollowing()),
    "SOI_Darwin.nc": ("SOI_Darwin", ["time"], None),
}


def complaints(path: Path, renamed: dict[str, str]) -> set[tuple[int, str]]:
    """All messages with their weight (3 are errors), results called as what they are derivatives of."""
    suite = runner.CheckSuite()
    suite.load_all_available_checkers()
    found: set[tuple[int, str]] = set()

    def collect(result: Any) -> None:
        for message in result.msgs or ():
            for name, source in renamed.items():
                message = message.replace(name, source)
            found.add((result.weight, f"{result.name}: {message}"))
        for child in result.children or ():
            collect(child)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checked = suite.load_dataset(str(path))
        for groups, _ in suite.run_all(checked, ["cf:1.11"], []).values():
            for group in groups:
                collect(group)
        checked.close()
    return found


@pytest.mark.parametrize("file", FILES)
def test_no_complaint_that_the_input_has_not(file: str, data_path: Find, tmp_path: Path) -> None:
    name, dims, geometry = FILES[file]
    path, target = data_path(file), tmp_path / "out.nc"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", xr.SerializationWarning)
        with storage.open(path) as ds:
            dropped = [each for each in ds.data_vars if each != name]
            storage.write(ds.drop_vars(dropped).grad.compute(dims, geometry=geometry), target)
    with xr.open_dataset(target, decode_times=False) as written:
        made = [str(each) for each in written.data_vars if re.match(rf"d{name}_d", str(each))]
        assert made
        assert written.attrs["Conventions"].startswith("CF-")
    before, after = complaints(path, {}), complaints(target, dict.fromkeys(made, name))
    # Recommended, and not told apart by the checker: rates of temperatures have no units_metadata.
    new = {message for weight, message in after - before if weight >= 2 and "units_metadata" not in message}
    assert not new
