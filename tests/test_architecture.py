"""The house: which module may know which, and what an import costs."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import xgrad

PACKAGE = Path(xgrad.__file__).parent
ROOT = PACKAGE.parent
MODULES = sorted(PACKAGE.rglob("*.py"))
HEAVY = (
    *("numba", "llvmlite", "dask", "distributed", "pyproj", "matplotlib", "netCDF4", "h5py", "h5netcdf"),
    *("zarr", "pint", "pint_xarray", "cf_xarray", "click", "scipy", "sympy"),
)

with (ROOT / "pyproject.toml").open("rb") as file:
    PYPROJECT = tomllib.load(file)


def modules_after(*imports):
    """The top-level packages that a new process has loaded after some imports."""
    code = "; ".join([*(f"import {name}" for name in imports), "import sys", "print(*sys.modules)"])
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_import_loads_nothing_heavy():
    added = modules_after("xarray", "xgrad") - modules_after("xarray")
    assert "xgrad" in added
    assert not added & set(HEAVY)


def test_command_line_loads_nothing_heavy_but_click():
    added = modules_after("xarray", "xgrad.cli") - modules_after("xarray")
    assert added & set(HEAVY) == {"click"}


def test_layers():
    """The contract in pyproject.toml: imports point down only, and every module has its place."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_layers_name_only_modules_that_exist():
    (layers,) = (each for each in PYPROJECT["tool"]["importlinter"]["contracts"] if each["type"] == "layers")
    named = {name for layer in layers["layers"] for name in layer.replace("|", " ").split()}
    there = {path.stem for path in PACKAGE.glob("*.py")} | {
        path.parent.name for path in PACKAGE.glob("*/__init__.py")
    }
    assert named == there - {"__init__"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_chunks_and_files_know_dask(path):
    allowed = {"chunks.py", "storage", "cli"}
    if path.relative_to(PACKAGE).parts[0] not in allowed:
        tree = ast.parse(path.read_text())
        named = [
            alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        ]
        named += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        assert not [name for name in named if name.partition(".")[0] in ("dask", "distributed")]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_have_one_reason_to_exist(path):
    assert path.stem not in ("utils", "common", "core", "helpers", "base")
    assert path.stem not in xgrad.__all__  # a module must not hide a function of its name


def test_public_names_exist():
    assert len(xgrad.__all__) == len(set(xgrad.__all__))
    for name in xgrad.__all__:
        found = getattr(xgrad, name)
        assert found.__doc__, name
        if isinstance(found, type):
            methods = [
                each for each in vars(found) if not each.startswith("_") and callable(getattr(found, each))
            ]
            assert all(getattr(found, each).__doc__ for each in methods), name


def test_package_is_typed():
    assert (PACKAGE / "py.typed").exists()


def test_extra_all_holds_every_extra_for_users():
    extras = PYPROJECT["project"]["optional-dependencies"]
    (everything,) = (Requirement(text) for text in extras["all"])
    assert everything.extras == set(extras) - {"all", "bench", "demo", "docs", "test"}


def test_version_is_that_of_the_project():
    assert xgrad.__version__ == PYPROJECT["project"]["version"]


def test_example_of_the_readme_is_true(capsys):
    _, code, rest = (ROOT / "README.md").read_text().partition("```python\n")
    code, _, rest = rest.partition("```\n")
    _, _, shown = rest.partition("```\n")
    exec(code, {})
    assert capsys.readouterr().out == shown.partition("```\n")[0]
