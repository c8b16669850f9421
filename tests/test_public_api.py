"""The public names, and that functions and methods are called alike."""

from __future__ import annotations

import inspect
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xgrad
from xgrad import storage

X = np.arange(6.0)
ARRAY = xr.DataArray(X**2, dims="x", coords={"x": X}, name="f")
METHODS = [
    ("compute", xgrad.DataArrayGrad),
    ("compute", xgrad.DatasetGrad),
    ("compute", xgrad.DataTreeGrad),
    ("plan", xgrad.DataArrayGrad),
    ("plan", xgrad.DatasetGrad),
    ("plan", xgrad.DataTreeGrad),
    ("derivative", xgrad.DataArrayGrad),
]
OPTIONS = {
    "order": None,
    "edge_order": None,
    "skipna": True,
    "periodic": "auto",
    "spacing": None,
    "datetime_unit": "s",
}


def test_all_names_exist_and_are_all_there_is() -> None:
    assert len(set(xgrad.__all__)) == len(xgrad.__all__)
    public = {
        name
        for name in dir(xgrad)
        if not name.startswith("_") and not isinstance(getattr(xgrad, name), types.ModuleType)
    }
    assert public == set(xgrad.__all__)
    for name in xgrad.__all__:
        assert inspect.getdoc(getattr(xgrad, name)), name


def test_no_module_hides_behind_a_function() -> None:
    for name in ("compute", "derivative", "plan", "gradient", "open", "write"):
        assert inspect.isfunction(getattr(xgrad, name))


@pytest.mark.parametrize(("name", "accessor"), METHODS)
def test_methods_have_the_signatures_of_the_functions(name: str, accessor: Any) -> None:
    function = [*inspect.signature(getattr(xgrad, name)).parameters.values()]
    method = [*inspect.signature(getattr(accessor, name)).parameters.values()]
    assert method[0].name == "self"
    assert [(p.name, p.kind, p.default, p.annotation) for p in method[1:]] == [
        (p.name, p.kind, p.default, p.annotation) for p in function[1:]
    ]


def test_defaults_are_those_of_the_documentation() -> None:
    expected: dict[str, dict[str, Any]] = {
        "compute": {"dims": None, "n": 1, **OPTIONS, "geometry": None, "names": None},
        "plan": {"dims": None, "n": 1, **OPTIONS, "geometry": None, "names": None},
        "derivative": {"orders": None, **OPTIONS, "name": None},
    }
    for name, defaults in expected.items():
        parameters = list(inspect.signature(getattr(xgrad, name)).parameters.values())[1:]
        assert {p.name: p.default for p in parameters if p.kind != p.VAR_KEYWORD} == defaults
        assert [p.name for p in parameters if p.kind == p.POSITIONAL_OR_KEYWORD] == [*defaults][:1]
    gradient = inspect.signature(xgrad.gradient)
    assert str(gradient.replace(return_annotation=gradient.empty)).startswith("(f")
    assert {p.name: p.default for p in gradient.parameters.values() if p.default is not p.empty} == {
        "axis": None,
        "edge_order": 1,
        "order": 2,
        "periodic": False,
    }


def test_nothing_but_derivative_takes_any_keyword() -> None:
    for name in ("compute", "plan", "gradient", "derivative"):
        kinds = [p.kind for p in inspect.signature(getattr(xgrad, name)).parameters.values()]
        assert (inspect.Parameter.VAR_KEYWORD in kinds) == (name == "derivative")


@pytest.mark.parametrize("name", ["compute", "plan", "derivative"])
def test_misspelt_and_later_options_are_type_errors(name: str) -> None:
    arguments = ({"x": 1},) if name == "derivative" else ("x",)
    for option in ({"geometri": "sphere"}, {"skip_na": False}, {"ordre": "4"}):
        for call in (getattr(xgrad, name), getattr(xgrad.DataArrayGrad, name)):
            obj = ARRAY if call is getattr(xgrad, name) else ARRAY.grad
            (word,) = option
            with pytest.raises(TypeError, match=f"unexpected keyword argument '{word}'"):
                call(obj, *arguments, **option)
    with pytest.raises(TypeError, match="unexpected keyword argument 'geometry'"):
        xgrad.derivative(ARRAY, x=1, geometry="sphere")
    with pytest.raises(TypeError, match="did you mean 'skipna'"):
        xgrad.derivative(ARRAY, x=1, skip_na=False)


@pytest.mark.parametrize("function", [xgrad.compute, xgrad.plan, xgrad.derivative])
@pytest.mark.parametrize("wrong", [X, [1.0], ARRAY.variable, None, "f"])
def test_objects_that_are_not_of_xarray_are_refused(function: Any, wrong: Any) -> None:
    with pytest.raises(xgrad.XgradError, match=r"DataArray.* is needed, found"):
        function(wrong)


def test_documentation_of_methods_is_that_of_functions_without_the_object() -> None:
    for name, accessor in METHODS:
        doc = inspect.getdoc(getattr(accessor, name))
        whole = inspect.getdoc(getattr(xgrad, name))
        assert doc is not None
        assert whole is not None
        assert doc.splitlines()[0] == whole.splitlines()[0]
        first = next(iter(inspect.signature(getattr(xgrad, name)).parameters))
        assert f"\n{first} : " in whole
        assert f"\n{first} : " not in doc
        assert "skipna" in doc
        assert ">>>" not in doc
    assert "lazy" in (xgrad.compute.__doc__ or "").splitlines()[0]


def test_functions_serve_pipe_and_map() -> None:
    ds = ARRAY.to_dataset()
    expected = ds.grad.compute("x")
    xr.testing.assert_identical(ds.pipe(xgrad.compute, "x"), expected)
    xr.testing.assert_identical(ARRAY.pipe(xgrad.compute, "x"), expected)
    mapped = ds.map(xgrad.derivative, orders={"x": 1}).f  # map writes the old attributes over the new ones
    np.testing.assert_array_equal(mapped, ARRAY.grad.derivative(x=1))


def test_files_are_opened_and_written_by_functions_that_load_late() -> None:
    assert xgrad.open is storage.open
    assert xgrad.write is storage.write
    assert xgrad.Progress is storage.Progress
    assert {"open", "write", "Progress"} <= set(dir(xgrad))
    with pytest.raises(AttributeError, match="'opne'"):
        xgrad.opne  # noqa: B018
    code = "import sys, xgrad; print([name for name in sys.modules if name.startswith('xgrad.storage')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_derivative_of_a_file_is_written_to_a_file(tmp_path: Path) -> None:
    ARRAY.to_dataset().to_netcdf(tmp_path / "in.nc")
    told: list[xgrad.Progress] = []
    with xgrad.open(tmp_path / "in.nc", chunks={"x": 2}) as ds:
        result = ds.grad.compute("x")
        xgrad.write(result, tmp_path / "out.nc", inputs=[tmp_path / "in.nc"], progress=told.append)
    with xgrad.open(tmp_path / "out.nc") as found:
        np.testing.assert_array_equal(found["df_dx"], ARRAY.grad.compute("x")["df_dx"])
    assert [(each.written, each.blocks) for each in told] == [(count, 3) for count in range(4)]


def test_defaults_of_files_are_those_of_the_documentation() -> None:
    expected: dict[str, dict[str, Any]] = {
        "open": {"chunks": None, "chunk_bytes": 2**24},
        "write": {
            "inputs": (),
            "engine": "netcdf4",
            "codec": None,
            "complevel": None,
            "dtype": None,
            "zarr_format": 3,
            "overwrite": False,
            "resume": False,
            "history": None,
            "progress": False,
        },
    }
    for name, defaults in expected.items():
        parameters = inspect.signature(getattr(xgrad, name)).parameters.values()
        assert {p.name: p.default for p in parameters if p.kind == p.KEYWORD_ONLY} == defaults


def test_each_block_of_a_file_is_a_task(tmp_path: Path) -> None:
    """Blocks of one derivative all begin with the same file; that makes them no single task."""
    xr.Dataset({"f": (("t", "x"), np.ones((5, 6)))}, {"x": X}).to_netcdf(tmp_path / "in.nc")
    told: list[int] = []
    with xgrad.open(tmp_path / "in.nc", chunks={"t": 1}) as ds:
        result = ds.grad.compute("x")
        xgrad.write(result, tmp_path / "out.nc", progress=lambda progress: told.append(progress.written))
    assert told == [0, 1, 2, 3, 4, 5]
