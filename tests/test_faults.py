"""The campaigns of faults, in short: each runs, finds nothing wrong, and would say so if it did."""

from __future__ import annotations

import mmap
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from campaigns import command, jobs
from campaigns.children import Child, spawn
from campaigns.jobs import Job
from campaigns.outcomes import Outcome

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
    for kind in jobs.KINDS:
        for number in jobs.SIGNALS:
            assert re.search(rf"^{kind} +{number.name} +1 trials: 0 problems", done.stdout, re.MULTILINE)


def test_a_problem_is_a_failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = [Outcome("Zarr", ["old"], []), Outcome("Zarr", ["old"], ["a torn target"], 1.5)]
    monkeypatch.setattr(command, "CAMPAIGNS", {"kills": (lambda trials, seed: wrong, 300, 1)})
    monkeypatch.setattr(command.children, "warm", lambda: None)
    with pytest.raises(SystemExit, match="failed: kills"):
        command.main(["kills"])
    said = capsys.readouterr().out
    assert re.search(r"^Zarr +2 trials: 1 problems, old 2, stopped within 1.50 s\n", said, re.MULTILINE)
    assert "  Zarr: a torn target\n" in said
    assert "kills: FAILED, 1 problems" in said


def dated(path: Path, seed: int, sign: float = 1.0) -> Path:
    """A file with a date, and with a zero in it."""
    ds = jobs.dataset(2, seed).assign_attrs(history=path.name)
    ds["t"][0, 0, 0] = sign * 0.0
    ds.to_netcdf(path)
    return path


def test_judges_know_torn_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new, again = (dated(tmp_path / f"{at}.nc", seed) for at, seed in enumerate((0, 1, 1)))
    assert jobs.differences(again, new) == ""
    assert jobs.differences(old, new).startswith("torn")
    assert jobs.differences(dated(tmp_path / "minus.nc", 1, -1.0), new).startswith("torn")
    monkeypatch.setattr(jobs, "undisturbed", lambda *_, **__: (new, 1.0))
    job = Job("netCDF4", tmp_path / "here", tmp_path, old)
    job.reset()
    assert job.target_is() == "old"
    job.target.unlink()
    assert job.target_is() == "torn: the old target is gone"
    (job.folder / ".out.nc.xgrad-1").mkdir()
    assert job.left() == [".out.nc.xgrad-1"]


def test_judges_find_what_is_wrong(tmp_path: Path) -> None:
    job = Job("Zarr", tmp_path / "here", tmp_path)
    stderr = tmp_path / "stderr"
    stderr.write_text("xgrad: stopped by SIGINT\n")

    def wrong(code: int, **options: Any) -> list[str]:
        child = Child(0, stderr, mmap.mmap(-1, 1), 0.0, code, seconds=1.0)
        return job.judged(child, jobs.ends(signal.SIGINT, False), **options)[1]

    assert wrong(130) == []
    assert wrong(143) == ["exit code 143, and it said 'xgrad: stopped by SIGINT\\n'"]
    assert wrong(130, failed=("old",)) == ["exit code 130, and the target is absent"]
    assert wrong(130, within=0.5) == ["stopped after 1.00 s"]
    assert wrong(0)[0] == "exit code 0, and the target is absent"
    (job.folder / "more").mkdir()
    assert wrong(130) == ["left behind: ['more']"]
    assert wrong(130, kept=("more",)) == []
    stderr.write_text("Traceback\nxgrad: stopped by SIGINT\n")
    assert wrong(130)[0].startswith("exit code 130, and it said 'Traceback")


def test_what_does_not_end_is_killed(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('on', flush=True); time.sleep(60)"
    child = spawn((sys.executable, "-c", code), tmp_path / "output")
    while child.said() != "on\n":
        assert child.wait(0.01) is None
    child.kill(signal.SIGTERM)
    child.end(0.2)
    assert child.code == -signal.SIGKILL
    assert child.seconds >= 0.2
