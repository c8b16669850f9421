"""The campaigns of faults, in short: each runs, finds nothing wrong, and would say so if it did."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from campaigns import command, jobs
from campaigns.jobs import Job

ROOT = Path(__file__).resolve().parent.parent


def test_short_campaigns() -> None:
    """In a process of its own: it forks, and this one may have threads."""
    done = subprocess.run(
        [sys.executable, "-m", "campaigns", "--short"],
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'ci'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert re.findall(r"^(\w+): passed", done.stdout, re.MULTILINE) == list(command.CAMPAIGNS)
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        assert len(re.findall(rf"{name.name} +1 kills: 0 problems", done.stdout)) == len(jobs.KINDS)


def test_a_problem_is_a_failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(command, "CAMPAIGNS", {"kills": (lambda trials, seed: ["a torn target"], 300, 1)})
    monkeypatch.setattr(command.children, "warm", lambda: None)
    with pytest.raises(SystemExit, match="failed: kills"):
        command.main(["kills"])
    said = capsys.readouterr().out
    assert "  a torn target\n" in said
    assert "kills: FAILED, 1 problems" in said


def test_judges_know_torn_targets(tmp_path: Path) -> None:
    jobs.make_source(tmp_path / "old.nc", 2)
    jobs.make_source(tmp_path / "new.nc", 2, seed=1)
    for name in ("old", "new"):
        with jobs.xr.open_dataset(tmp_path / f"{name}.nc") as ds:
            ds.assign_attrs(history=name).to_netcdf(tmp_path / f"{name} dated.nc")
    assert jobs.differences(tmp_path / "new dated.nc", tmp_path / "new dated.nc") == ""
    assert jobs.differences(tmp_path / "old dated.nc", tmp_path / "new dated.nc").startswith("torn")
    job = Job("netCDF4", tmp_path / "here", tmp_path, tmp_path / "old dated.nc")
    job.reset()
    assert job.target_is(tmp_path / "new dated.nc") == "old"
    job.target.unlink()
    assert job.target_is(tmp_path / "new dated.nc") == "torn: the old target is gone"
    (job.folder / ".out.nc.xgrad-1").mkdir()
    assert job.left() == [".out.nc.xgrad-1"]
