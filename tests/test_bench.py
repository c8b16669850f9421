"""The benchmarks: every case runs at toy size, and goals are judged. No time decides anything."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from benchmarks import command, contest, fields, files, goals, lazy, report
from benchmarks.contest import Case, Contest, Result, disagreements, timed
from benchmarks.goals import GOALS, Goal, judge

ROOT = Path(__file__).resolve().parent.parent


# Cold runs are the warm ones with the caches of the system dropped before, which toys leave alone.
@pytest.mark.parametrize(
    "case",
    [case for case in command.CASES if not case.name.endswith("cold")],
    ids=lambda case: f"{case.group}: {case.name}",
)
def test_case(case: Case, tmp_path: Path) -> None:
    result = case.run("toy", 1)
    assert not result.left_out
    assert result.reference in result.values
    assert len(result.values) >= 2
    for measured in result.values.values():
        for metric, values in measured.items():
            assert len(values) == 1
            assert 0 < values[0] < math.inf, metric
    for metric in result.metrics():
        for name in result.values:
            assert 0 < result.ratio(metric, name, result.reference) < math.inf

    verdicts = [judge(goal, [result]) for goal in GOALS]
    report.save(tmp_path / "run.json", command.describe_machine("toy", 1), [result], verdicts)
    about, (loaded,) = report.load(tmp_path / "run.json")
    assert loaded == result
    assert {"cpu", "cores", "memory", "system", "python", "packages", "date", "size"} <= set(about)
    assert about["packages"]["numpy"] == np.__version__
    text = "\n".join([*report.case(loaded), *report.summary([loaded]), *report.machine(about)])
    assert all(name in text for name in result.values)


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.text)
def test_goal_names_cases_and_contestants_that_exist(goal: Goal, tmp_path: Path) -> None:
    named = [
        case
        for case in command.CASES
        if case.group == goal.group and goals.fnmatchcase(case.name, goal.cases)
    ]
    assert named
    for case in named:
        contestants = case.make("toy", tmp_path).measures
        assert any(goals.fnmatchcase(name, goal.of) for name in contestants)
        assert goal.over is None or goal.over in contestants


def made_up(**seconds: list[float]) -> Result:
    """Seconds of some contestants."""
    return Result("group", "case", "work", "xgrad", {name: {"s": values} for name, values in seconds.items()})


def test_ratio_is_the_median_of_the_ratios_of_rounds() -> None:
    # A slow second round slows both; the ratio of the medians would be 2.
    result = made_up(xgrad=[1.0, 10.0, 2.0], xarray=[3.0, 40.0, 4.0])
    assert result.ratio("s", "xarray", "xgrad") == 3.0


@pytest.mark.parametrize(
    ("bound", "of", "over", "measured", "word"),
    [
        ("≥ 5", "xarray", "xgrad", 6.0, "met"),
        ("≥ 6", "xarray", "xgrad", 6.0, "met"),
        ("≥ 9", "xarray", "xgrad", 6.0, "missed by 50%"),
        ("≤ 0.2", "xgrad", "xarray", 1 / 6, "met"),
        ("≤ 0.1", "xgrad", "xarray", 1 / 6, "missed by 67%"),
        ("≤ 2.5", "xgrad", None, 2.0, "met"),
        ("≤ 1", "xgrad", None, 2.0, "missed by 100%"),
    ],
)
def test_verdict(bound: str, of: str, over: str | None, measured: float, word: str) -> None:
    sign, _, number = bound.partition(" ")
    goal = Goal("faster", "group", "c*", of, over, sign, float(number))
    verdict = judge(goal, [made_up(xgrad=[1.0, 2.0, 3.0], xarray=[6.0, 12.0, 18.0])])
    assert verdict.bound == bound
    assert verdict.measured == pytest.approx(measured)
    assert verdict.word == word


def test_the_worst_case_decides() -> None:
    results = [made_up(xgrad=[1.0], xarray=[slow]) for slow in (7.0, 3.0, 5.0)]
    goal = Goal("faster", "group", "*", "xarray", "xgrad", "≥", 2)
    assert judge(goal, results).measured == 3.0
    assert judge(goal, []).word == "not measured"
    elsewhere = Goal("faster", "other", "*", "xarray", "xgrad", "≥", 2)
    assert judge(elsewhere, results).word == "not measured"


def test_who_computes_something_else_is_left_out() -> None:
    truth = np.arange(100.0).reshape(10, 10)
    edge, inside, gaps = truth.copy(), truth.copy(), truth.copy()
    edge[0], inside[5, 5], gaps[3:9] = -1, -1, np.nan
    calls = {
        "truth": lambda: [truth],
        "other edges": lambda: [edge],
        "other inside": lambda: [inside],
        "mostly gaps": lambda: [gaps],
        "other shape": lambda: [truth[1:]],
        "one missing": lambda: [],
    }
    wrong = disagreements(calls, "truth", margin=1, tolerance=1e-12)
    assert set(wrong) == set(calls) - {"truth", "other edges"}
    assert "other edges" in disagreements(calls, "truth", margin=0, tolerance=1e-12)

    left = Case(
        "group", "case", lambda size, folder: Contest(work="", measures=timed(calls), reference="truth")
    )
    checked = Contest(work="", measures=timed(calls), disagreements=lambda: wrong, reference="truth")
    assert set(left.run("toy", 1).values) == set(calls)
    result = Case("group", "case", lambda size, folder: checked).run("toy", 3)
    assert set(result.values) == {"truth", "other edges"}
    assert result.left_out == wrong
    assert "Left out: other inside" in "\n".join(report.case(result))


def test_contestants_take_turns() -> None:
    order: list[str] = []
    measures = {name: lambda name=name: order.append(name) or {"s": float(len(order))} for name in "ab"}
    case = Case("group", "case", lambda size, folder: Contest(work="", measures=measures, reference="a"))
    result = case.run("toy", 3)
    assert "".join(order) == "baabbaab"[:8]
    assert result.values == {"a": {"s": [3.0, 6.0, 7.0]}, "b": {"s": [4.0, 5.0, 8.0]}}  # not the first round


def test_floor_copies_everything() -> None:
    source = np.random.default_rng(0).standard_normal((300, 301))
    outs = [np.zeros_like(source) for _ in range(3)]
    fields.copy(source, outs)
    for out in (*outs, *fields.fresh(source, 2)):
        assert np.array_equal(out, source)


def test_coasts_leave_a_fifth_out() -> None:
    missing = np.isnan(fields.field("2-D float64", "small", gaps=True).values)
    assert missing.mean() == pytest.approx(0.2, abs=0.01)
    ends = (missing[:, 1:] != missing[:, :-1]).sum()
    assert 0 < ends < 0.1 * missing.sum()  # blobs, not noise


def test_cost_counts_memory() -> None:
    cost = contest.alone(contest.cost, hold, "full")
    assert cost["MiB"] == pytest.approx(64, rel=0.1)


def hold(size: str) -> None:
    """Hold 64 MiB for a moment."""
    held = np.ones((64 if size == "full" else 1) << 17)
    lazy.time.sleep(0.1)
    held.sum()


@pytest.mark.parametrize("work", files._WORKS)
def test_files_hold_the_derivatives(work: str, tmp_path: Path) -> None:
    make, suffix, contestants = files._WORKS[work]
    make(tmp_path / "toy.nc", "toy", 1)
    with xr.open_dataset(tmp_path / "toy.nc") as source:
        f = source["t"].load().astype(float)
    for name in contestants:
        files._job("toy", tmp_path, work, name, False)
        how = {"engine": "zarr", "consolidated": False} if suffix == ".zarr" else {}
        with xr.open_dataset(tmp_path / f"out{suffix}", **how) as made:
            for dim in ("lat", "lon") if not name.startswith("copy") else ():
                inside = {dim: slice(1, -1)}
                found, expected = made[f"dt_d{dim}"].isel(inside), f.differentiate(dim).isel(inside)
                np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * float(abs(expected).max()))
            for each in made if name.startswith("copy") else ():
                np.testing.assert_array_equal(made[each].astype(float), f)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "run.json"
    command.main(["small", "--size", "toy", "--repeats", "2", "--json", str(path)])
    printed = capsys.readouterr().out
    assert "| xarray" in printed
    run = json.loads(path.read_text())
    assert {result["group"] for result in run["results"]} == {"small"}
    assert all(len(values["s"]) == 2 for values in run["results"][0]["values"].values())
    judged = {goal["text"]: goal for goal in run["goals"]}
    assert len(judged) == len(GOALS)
    assert judged["40 × 60, two dims: xgrad / xarray"]["measured"] > 0

    command.main(["--report", str(path)])
    assert "| goal" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        command.main(["eagre"])
    assert "there are eager, small, geometry, kernel" in capsys.readouterr().err


def test_script_is_the_command() -> None:
    script = (ROOT / "ci" / "bench").read_text()
    assert "-m benchmarks" in script
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--help"],
        cwd=ROOT / "ci",
        capture_output=True,
        text=True,
        check=True,
    )
    assert "out_of_core" in done.stdout
