"""What is decided before anything is computed, and how each coordinate is read once."""

from __future__ import annotations

import logging
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from untouchable import holding

import xgrad
from xgrad import CoordinateError, XgradError, candidates, planning
from xgrad.axes import reading
from xgrad.options import Options, names_of

X = np.array([0.0, 1, 3, 4, 7, 8, 9])
LON = np.arange(0.0, 360, 30)
LATITUDES = {"units": "degrees_north", "standard_name": "latitude"}


def world(**extra: Any) -> xr.DataArray:
    coords = {
        "time": ("time", np.datetime64("2000-01-01", "ns") + np.arange(5) * np.timedelta64(1, "D")),
        "lat": ("lat", [80.0, 40, 10, -20], LATITUDES),
        "lon": ("lon", LON, {"units": "degrees_east"}),
    }
    dims = {"time": 5, "lat": 4, "lon": 12}
    return holding("dask", dims, coords, dtype="f4", name="sst", units="degC").assign_coords(**extra)


def test_a_plan_holds_every_decision() -> None:
    plan = xgrad.plan(world(), ["lon", "lat", "time"], datetime_unit="D", order=4, edge_order=1)
    (field,) = plan.fields
    assert (field.name, field.units, field.dims, field.shape) == (
        "sst",
        "degC",
        ("time", "lat", "lon"),
        (5, 4, 12),
    )
    assert field.chunks == world().chunks
    assert (field.dtype, field.result_dtype) == (np.float32, np.float32)
    assert [output.name for output in field.outputs] == ["dsst_dlon", "dsst_dlat", "dsst_dtime"]
    assert [output.attrs["units"] for output in field.outputs] == ["K degree-1", "K degree-1", "K day-1"]
    lon, lat, time = (output.steps[0] for output in field.outputs)
    assert lon.axis.ring
    assert lon.axis.kind == "uniform"
    assert any("global longitudes" in note for note in lon.axis.notes)
    assert lat.axis.descending
    assert lat.axis.kind == "stretched"
    assert lat.axis.spacing == (30.0, 40.0)
    assert time.axis.time
    assert [step.partial.axis for step in (lon, lat, time)] == [2, 1, 0]
    assert (plan.options.order, plan.options.at_edges) == (4, 1)
    assert plan.left_out == ()


def test_a_plan_shows_every_decision() -> None:
    text = repr(xgrad.plan(world(), order=4, edge_order=1))
    title, head, time, lat, lon, note = text.splitlines()
    assert title == "sst (time: 5, lat: 4, lon: 12) float32 [degC]"
    for word in (
        "result",
        "units",
        "along",
        "coordinate",
        "points",
        "spacing",
        "stencil",
        "halo",
        "boundary",
    ):
        assert word in head
    assert "time, uniform" in time
    assert "86400 s" in time
    assert "K s-1" in time
    assert "stretched, descending" in lat
    assert "30 to 40 degrees_north" in lat
    assert "5 points, 2 at ends" not in lat  # four points: edges alone
    assert "4, 1 at ends" in lat
    assert "5 points" in lon
    assert "ring" in lon
    assert "global longitudes, gap 30" in lon
    # 3 x 2 x 6 chunks of at most 2 x 2 x 2 float32 with three results each; 3 x 240 x 4 bytes in all
    assert note == "  (lazy, 36 chunks; one with its results 128 B; results float32, 2.88 kB)"


def test_memory_of_other_kinds_of_results() -> None:
    coords = {"x": X}
    assert "in memory; results float64, 56 B" in repr(
        xgrad.plan(xr.DataArray(np.zeros(7, "i1"), dims="x", coords=coords))
    )
    lazy = xr.DataArray(da.zeros(7, dtype="i1", chunks=-1), dims="x", coords=coords)
    assert "lazy, 1 chunk; one with its results 63 B; results float64, 56 B" in repr(xgrad.plan(lazy))


@pytest.mark.parametrize("obj", ["DataArray", "Dataset", "DataTree"])
def test_plans_survive_pickling(obj: str) -> None:
    array = world()
    target: Any = {
        "DataArray": array,
        "Dataset": array.to_dataset(),
        "DataTree": xr.DataTree.from_dict({"/a": array.to_dataset()}),
    }[obj]
    plan = xgrad.plan(target, spacing={"lat": 1.0})
    again = pickle.loads(pickle.dumps(plan))
    assert repr(again) == repr(plan)
    assert again._repr_html_() == plan._repr_html_()


def test_plans_are_deterministic_and_equal_what_is_computed() -> None:
    array = world()
    assert repr(xgrad.plan(array)) == repr(xgrad.plan(array))
    assert [output.name for output in xgrad.plan(array).fields[0].outputs] == list(xgrad.compute(array))
    ds = xr.Dataset({"a": array, "b": array.isel(lon=0), "c": ("k", X)})
    plan = xgrad.plan(ds, "lat")
    assert [output.name for field in plan.fields for output in field.outputs] == list(
        xgrad.compute(ds, "lat")
    )
    assert plan.left_out == (("c", "it has no dimension 'lat'"),)


def test_each_coordinate_is_read_once() -> None:
    ds = xr.Dataset({f"v{i}": world() for i in range(4)})
    read = planning.axis_from_coordinate
    with mock.patch.object(planning, "axis_from_coordinate", side_effect=read) as reader:
        xgrad.compute(ds)
        assert [call.args[1] for call in reader.call_args_list] == ["time", "lat", "lon"]
        reader.reset_mock()
        repr(ds.grad)
        assert len(reader.call_args_list) == 3


def test_what_is_left_out_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    ds = xr.Dataset(
        {"f\x1b[2J": ("x", X), "mask": ("x", X > 2), "k": ("y", X[:1])}, coords={"x": X, "y": [1.0]}
    )
    tree = xr.DataTree.from_dict({"/a": ds, "/b": xr.Dataset({"g": ("z", X)}, coords={"z": X})})
    with caplog.at_level(logging.INFO, "xgrad"):
        xgrad.compute(ds)
    assert "mask is left out: it has dtype bool" in caplog.text
    assert "k is left out: no dimension of it has a usable coordinate: 'y': it has size 1" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO, "xgrad"):
        xgrad.compute(tree, "x")
        xgrad.compute(ds.rename({"f\x1b[2J": "a\x1b[2J"})[["a\x1b[2J"]].expand_dims(y=[1.0, 2, 3]), "y")
    assert "b/g is left out: its node has no dimension or coordinate 'x'" in caplog.text
    assert "\x1b" not in caplog.text
    caplog.clear()
    repr(ds.grad)
    assert not caplog.text


def test_plans_refuse_what_compute_refuses() -> None:
    for options in ({"dims": "q"}, {"names": {"q": "g"}}, {"order": 8, "dims": "lat"}, {"n": 7}):
        with pytest.raises(XgradError) as planned:
            xgrad.plan(world(), **options)
        with pytest.raises(XgradError) as computed:
            xgrad.compute(world(), **options)
        assert str(planned.value) == str(computed.value)


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ("x", ["x"]),
        (["x", "y"], ["x", "y"]),
        (("a", 1), [("a", 1)]),  # a known name
        (("x", "y"), ["x", "y"]),
        ([("a", 1), "x"], [("a", 1), "x"]),
        (7, [7]),
        (b"x", [b"x"]),
        ((name for name in "yx"), ["y", "x"]),
        ({"y", "x", "w"}, ["x", "y", "w"]),
    ],
)
def test_names(asked: Any, names: list[Any]) -> None:
    assert names_of(asked, ["x", "y", ("a", 1)]) == names


def test_periodic_in_all_its_forms() -> None:
    assert Options.of(2, None, True, "auto", None, "s").period_of("x", "d") == "auto"
    for value in (True, False, np.True_):
        assert Options.of(2, None, True, value, None, "s").period_of("x", "d") is bool(value)
    for value in ("x", "d", ["x"], ("d",), iter(["q", "x"]), {"x"}, np.array(["d"])):
        options = Options.of(2, None, True, value, None, "s")
        assert options.period_of("x", "d") is True
        assert options.period_of("x", "d") is True  # a generator is read once and kept
        assert options.period_of("y", "e") is False
    options = Options.of(2, None, True, {"x": 1.5, "e": True}, None, "s")
    assert [options.period_of(*pair) for pair in (("x", "d"), ("y", "e"), ("z", "z"))] == [1.5, True, False]


def test_periodic_reaches_the_axes() -> None:
    f = xr.DataArray(np.zeros((7, 12)), dims=("x", "lon"), coords={"x": X, "lon": world().lon}, name="f")

    def rings(**options: Any) -> list[bool]:
        return [output.steps[0].axis.ring for output in xgrad.plan(f, **options).fields[0].outputs]

    assert rings() == [False, True]
    assert rings(periodic=False) == [False, False]
    assert rings(periodic={"x": 10.0}) == [True, False]
    assert rings(periodic={"x": 10.0, "lon": "auto"}) == [True, True]
    assert rings(periodic=["lon"]) == [False, True]
    depth = f.assign_coords(depth=("x", X**2))
    assert xgrad.plan(depth, "depth", periodic={"x": 100.0}).fields[0].outputs[0].steps[0].axis.ring
    assert xgrad.plan(depth, "depth", periodic={"depth": 100.0}).fields[0].outputs[0].steps[0].axis.ring
    with pytest.raises(CoordinateError, match="'x' is not uniform"):
        xgrad.plan(f, periodic=True)


def test_choices_do_not_depend_on_data() -> None:
    coords = {"x": X, "y": X}
    plans = [
        repr(xgrad.plan(xr.DataArray(values, dims=("y", "x"), coords=coords, name="f")))
        for values in (
            np.zeros((7, 7)),
            np.full((7, 7), np.nan),
            np.random.default_rng(0).normal(size=(7, 7)),
        )
    ]
    assert len(set(plans)) == 1


def test_survey_tells_of_everything_and_raises_nothing() -> None:
    ds = xr.Dataset(
        {
            "good": (("y", "x"), np.zeros((3, 7))),
            "words": ("x", list("abcdefg")),
            "flags": ("x", np.zeros(7, int), {"flag_values": [0]}),
            "half": (("x", "none"), np.zeros((7, 2))),
        },
        coords={"x": X, "y": [0.0, 0.0, 1.0]},
    )
    plan = planning.survey(ds)
    assert [output.name for field in plan.fields for output in field.outputs] == ["dgood_dx", "dhalf_dx"]
    assert "duplicate" in dict(plan.fields[0].left_out)["y"]
    assert "no coordinate" in dict(plan.fields[1].left_out)["none"]
    assert [name for name, _ in plan.left_out] == ["words", "flags"]
    with mock.patch.object(planning, "axis_from_coordinate", side_effect=RuntimeError("the file is closed")):
        plan = planning.survey(ds)
        assert dict(plan.fields[0].left_out)["y"] == "RuntimeError: the file is closed"
        assert "RuntimeError: the file is closed" in repr(plan)
    with mock.patch.object(candidates, "check_data", side_effect=RuntimeError("the file is closed")):
        assert "RuntimeError: the file is closed" in repr(planning.survey(ds.good))


def test_equal_coordinates_are_decided_once_and_changed_ones_anew() -> None:
    """What is remembered is found by content: not by the object, and not by equality across types."""

    def planned(x: np.ndarray, **attrs: Any) -> Any:
        array = xr.DataArray(np.zeros(x.size), dims="x", coords={"x": ("x", x, attrs)}, name="f")
        return xgrad.plan(array, "x").fields[0].outputs[0].steps[0].axis

    x = np.array([0.0, 1.0, 3.0, 7.0])
    first = planned(x, units="m")
    assert planned(x.copy(), units="m") is first
    x[1] = 2.0
    assert planned(x, units="m").spacing == (1.0, 4.0)
    assert first.spacing == (1.0, 4.0)
    assert list(first.points.sum(axis=0)) == [0.0, 1.0, 3.0, 7.0]
    assert not first.points.flags.writeable
    x[1] = 1.0
    assert planned(x, units="km").units == "km"
    assert planned(x.astype("f4"), units="m") is not first
    assert planned(x.astype("M8[s]")).scale == planned(x.astype("M8[ms]")).scale == 1.0
    assert planned(x.astype("M8[ms]")).spacing == (0.001, 0.004)
    assert planned(x.view("i8")).spacing != first.spacing
    assert planned(x).units is None


def test_remembering_has_a_bound() -> None:
    """Long coordinates are not kept, and short ones only so many."""
    reading._remembered.cache_clear()
    xgrad.plan(xr.DataArray(np.zeros(5000), dims="x", coords={"x": np.arange(5000.0) ** 1.5}, name="f"))
    assert reading._remembered.cache_info().currsize == 0
    for step in range(1, 100):
        xgrad.plan(xr.DataArray(np.zeros(9), dims="x", coords={"x": np.arange(9.0) * step}, name="f"))
    assert reading._remembered.cache_info().currsize <= 64


def test_threads_may_plan_at_once() -> None:
    arrays = [
        xr.DataArray(np.arange(9.0), dims="x", coords={"x": np.arange(9.0) * (k + 1)}, name="f")
        for k in range(200)
    ]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda array: xgrad.compute(array, "x").df_dx.values, arrays * 3))
    for k, values in enumerate(found):
        assert np.array_equal(values, np.full(9, values[0]))
        assert values[0] == pytest.approx(1 / (k % 200 + 1), rel=1e-14)
