"""Targets: what may be replaced, how it is replaced in one step, and what is swept away."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from xgrad import storage
from xgrad.errors import StorageError, TargetError, XgradError
from xgrad.storage import folders, targets
from xgrad.storage.folders import private_folder, sweep
from xgrad.storage.targets import check_target, publish

SUFFIXES = (".nc", ".zarr")


def tree(path):
    """All that is at a path: contents by name."""
    if path.is_file():
        return path.read_bytes()
    return {os.fspath(each.relative_to(path)): tree(each) for each in path.iterdir()}


def names(folder):
    return sorted(os.listdir(folder))


def values(path):
    with storage.open(path) as ds:
        return float(ds["t"][0])


@pytest.fixture
def make():
    """Make a small file or store that holds a number."""

    def make(path, number=1.0, **options):
        storage.write(xr.Dataset({"t": ("x", np.full(3, number))}), path, **options)

    return make


@pytest.fixture
def no_exchange(monkeypatch):
    """A system without renameat2."""

    def rename(source, target, flags):
        raise OSError(errno.ENOSYS, "not there")

    monkeypatch.setattr(targets, "_rename", rename)


# What may be a target


@pytest.mark.parametrize(
    "path", ["s3://bucket/a.zarr", "https://b/a.nc", Path("gs://b/a.zarr"), "zip::s3://b.nc"]
)
def test_remote_targets_are_refused(path):
    with pytest.raises(XgradError, match="not on a file system"):
        check_target(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("overwrite", [True, False])
def test_input_under_any_name_is_refused(tmp_path, make, monkeypatch, suffix, overwrite):
    """By a link, a linked folder, a relative path, a URL; if it is a file, by its other name."""
    (tmp_path / "here").mkdir()
    source = tmp_path / "here" / f"a{suffix}"
    make(source)
    (tmp_path / "there").symlink_to(tmp_path / "here")
    (tmp_path / f"link{suffix}").symlink_to(source)
    (tmp_path / f"chain{suffix}").symlink_to(tmp_path / f"link{suffix}")
    monkeypatch.chdir(tmp_path / "here")
    under = [source, f"a{suffix}", f"../here/../here/./a{suffix}", tmp_path / "there" / f"a{suffix}"]
    under += [tmp_path / f"link{suffix}", tmp_path / f"chain{suffix}"]
    if suffix == ".nc":
        (tmp_path / "hard.nc").hardlink_to(source)
        under.append(tmp_path / "hard.nc")
    before = tree(source)
    for target in under:
        for given in (*under, f"file://{source}"):
            with pytest.raises(TargetError, match=r"is the input .* itself"):
                check_target(target, inputs=["elsewhere.nc", given], overwrite=overwrite)
    assert tree(source) == before


def test_input_within_target_and_target_within_input_are_refused(tmp_path, make):
    make(tmp_path / "a.zarr")
    for target, source in [
        ("a.zarr/b.nc", "a.zarr"),
        ("a.zarr", "a.zarr/t"),
        ("a.zarr/new.zarr", "a.zarr"),
    ]:
        with pytest.raises(TargetError, match="lie in one another"):
            check_target(tmp_path / target, inputs=[tmp_path / source], overwrite=True)
    assert check_target(tmp_path / "a.zarr2.zarr", inputs=[tmp_path / "a.zarr"])


def test_folder_that_is_no_store_is_not_replaced(tmp_path, make):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "thesis.tex").write_text("precious")
    with pytest.raises(TargetError, match="is no Zarr store"):
        make(tmp_path / "a.zarr", overwrite=True)
    (tmp_path / "b.zarr").write_text("precious")
    with pytest.raises(TargetError, match="is no Zarr store"):
        make(tmp_path / "b.zarr", overwrite=True)
    assert (tmp_path / "a.zarr" / "thesis.tex").read_text() == (tmp_path / "b.zarr").read_text() == "precious"


def test_link_that_leads_nowhere(tmp_path, make):
    (tmp_path / "a.nc").symlink_to(tmp_path / "b.nc")
    (tmp_path / "b.nc").symlink_to(tmp_path / "a.nc")
    with pytest.raises(TargetError, match="not a file"):
        check_target(tmp_path / "a.nc", overwrite=True)
    (tmp_path / "c.nc").symlink_to(tmp_path / "new.nc")
    make(tmp_path / "c.nc")
    assert (tmp_path / "c.nc").is_symlink()
    assert values(tmp_path / "new.nc") == 1


def test_read_only_folder(tmp_path, make, monkeypatch):
    make(tmp_path / "a.zarr")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(StorageError, match=f"{tmp_path.name}' is not writable"):
        check_target(tmp_path / "b.nc")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).suffix != ".zarr")
    with pytest.raises(StorageError, match=r"a.zarr' is not writable"):
        check_target(tmp_path / "a.zarr", overwrite=True)


# Names and permissions

ODD = [
    "a b",
    "new\nline",
    "größe-温度",
    "-v",
    'it\'s "so"',
    "*[a]?",
    "a#mode=zarr",
    "100%20",
    "$HOME;",
]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", [*ODD, "x" * 200, "ü" * 120])
def test_odd_names(tmp_path, make, suffix, name):
    target = tmp_path / name / f"{name}{suffix}"
    target.parent.mkdir()
    make(target)
    make(target, 2, overwrite=True)
    assert names(target.parent) == [target.name]
    assert values(target) == 2


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_names_that_are_no_text_are_refused(tmp_path, suffix):
    with pytest.raises(XgradError, match=r"\\udcff.* holds bytes that are no text"):
        check_target(tmp_path / f"\udcff{suffix}")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_longest_name(tmp_path, make, suffix):
    target = tmp_path / f"{'x' * (255 - len(suffix))}{suffix}"
    make(target)
    make(target, 2, overwrite=True, resume=suffix == ".zarr")
    assert names(tmp_path) == [target.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_relative_target_stays_where_it_is(tmp_path, monkeypatch, suffix):
    """Also if the process moves on meanwhile."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def move(block):
        os.chdir(tmp_path)
        return block

    ds = xr.Dataset({"t": ("x", np.ones(3))}).chunk()
    storage.write(ds.map_blocks(move, template=ds), f"a{suffix}")
    assert names(tmp_path) == ["here"]
    assert names(tmp_path / "here") == [f"a{suffix}"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077])
def test_permissions_are_those_of_what_is_made_otherwise(tmp_path, make, suffix, mask):
    former = os.umask(mask)
    try:
        make(tmp_path / f"a{suffix}")
        (tmp_path / "file").touch()
        (tmp_path / "folder").mkdir()
    finally:
        os.umask(former)
    modes = {each: stat.S_IMODE(os.stat(tmp_path / each).st_mode) for each in names(tmp_path)}
    assert modes[f"a{suffix}"] == modes["file" if suffix == ".nc" else "folder"]
    if suffix == ".zarr":
        for folder, _, files in os.walk(tmp_path / "a.zarr"):
            assert stat.S_IMODE(os.stat(folder).st_mode) == modes["folder"]
            for file in files:
                assert stat.S_IMODE(os.stat(Path(folder, file)).st_mode) == modes["file"]


@pytest.mark.parametrize(
    ("suffix", "mode"), [(".nc", 0o640), (".nc", 0o664), (".nc", 0o444), (".zarr", 0o750)]
)
def test_permissions_of_what_is_replaced_are_kept(tmp_path, make, suffix, mode):
    target = tmp_path / f"a{suffix}"
    make(target)
    target.chmod(mode)
    make(target, 2, overwrite=True)
    assert stat.S_IMODE(target.stat().st_mode) == mode
    assert values(target) == 2


# Publication


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("renames", [True, False])
def test_target_is_replaced_whole(tmp_path, make, request, suffix, renames):
    if not renames:
        request.getfixturevalue("no_exchange")
    target = tmp_path / f"a{suffix}"
    storage.write(xr.Dataset({"t": ("x", np.ones(3)), "old": ("x", np.ones(3))}), target)
    make(target, 2, overwrite=True)
    with storage.open(target) as ds:
        assert set(ds) == {"t"}
    if suffix == ".zarr":
        assert not (target / "old").exists()
    assert names(tmp_path) == [target.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("renames", [True, False])
@pytest.mark.parametrize("links", [True, False])
def test_target_that_comes_into_being_is_kept(tmp_path, make, request, monkeypatch, suffix, renames, links):
    if not renames:
        request.getfixturevalue("no_exchange")
    target, link = tmp_path / f"a{suffix}", os.link

    def no_link(old, new):
        if new == target:
            raise PermissionError("no links here")
        link(old, new)

    if not links:
        monkeypatch.setattr(os, "link", no_link)

    def intrude(block):
        if not target.exists():
            (tmp_path / "other").mkdir()
            make(tmp_path / "other" / target.name, 7)
            os.rename(tmp_path / "other" / target.name, target)
            (tmp_path / "other").rmdir()
        return block

    ds = xr.Dataset({"t": ("x", np.ones(3))}).chunk()
    with pytest.raises(TargetError, match="came into being during the run, and was kept"):
        storage.write(ds.map_blocks(intrude, template=ds), target)
    assert values(target) == 7
    assert names(tmp_path) == [target.name]


def test_what_became_another_thing_meanwhile_is_kept(tmp_path, make):
    target = tmp_path / "a.zarr"
    make(target)

    def meddle(block):
        if (target / "zarr.json").exists():
            shutil.rmtree(target)
            target.mkdir()
            (target / "thesis.tex").write_text("precious")
        return block

    ds = xr.Dataset({"t": ("x", np.ones(3))}).chunk()
    with pytest.raises(TargetError, match="is no Zarr store"):
        storage.write(ds.map_blocks(meddle, template=ds), target, overwrite=True)
    assert names(target) == ["thesis.tex"]
    assert names(tmp_path) == ["a.zarr"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_target_that_is_gone_meanwhile(tmp_path, make, suffix):
    target = tmp_path / f"a{suffix}"
    make(target)

    def meddle(block):
        if target.exists():
            shutil.rmtree(target) if target.is_dir() else target.unlink()
        return block

    ds = xr.Dataset({"t": ("x", np.full(3, 2.0))}).chunk()
    storage.write(ds.map_blocks(meddle, template=ds), target, overwrite=True)
    assert values(target) == 2
    assert names(tmp_path) == [target.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_content_is_on_the_disk_before_its_name(tmp_path, make, monkeypatch, suffix):
    make(tmp_path / f"a{suffix}")
    order = []

    def noted(function, word):
        def call(*args):
            order.append(word(*args))
            return function(*args)

        return call

    monkeypatch.setattr(os, "fsync", noted(os.fsync, lambda handle: os.readlink(f"/proc/self/fd/{handle}")))
    monkeypatch.setattr(targets, "_sync_file_system", noted(targets._sync_file_system, lambda handle: "all"))
    monkeypatch.setattr(os, "replace", noted(os.replace, lambda old, new: f"-> {Path(new).name}"))
    monkeypatch.setattr(targets, "_rename", noted(targets._rename, lambda old, new, _: f"-> {new.name}"))
    make(tmp_path / f"a{suffix}", 2, overwrite=True)
    at = order.index(f"-> a{suffix}")
    assert Path(order[at - 1]).name == f"a{suffix}"
    assert ("all" in order[:at]) == (suffix == ".zarr")
    assert order[at + 1] == os.fspath(tmp_path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_disk_that_fails_at_the_end_is_an_error(tmp_path, make, monkeypatch, suffix):
    """Disks with delayed allocation, and network ones, may say only then that they are full."""
    make(tmp_path / f"a{suffix}")

    def fail(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if suffix == ".nc" else (targets, "_sync_file_system")), fail)
    with pytest.raises(StorageError, match="No space left"):
        make(tmp_path / f"a{suffix}", 2, overwrite=True)
    monkeypatch.undo()
    assert values(tmp_path / f"a{suffix}") == 1
    assert names(tmp_path) == [f"a{suffix}"]


@pytest.mark.skipif(sys.platform != "linux", reason="a call of Linux")
def test_failure_of_the_system_to_sync_is_told(monkeypatch):
    with pytest.raises(OSError, match="Bad file descriptor"):
        targets._sync_file_system(12345)


# A run may end anywhere


class Ended(BaseException):
    """What a signal raises."""


def _run(target, kept):
    """What a run does with its target, with text for a result."""
    with private_folder(target, kept=kept) as folder:
        made = folder / target.name
        if target.suffix == ".zarr":
            made.mkdir(exist_ok=True)
            (made / "zarr.json").write_text("new")
        else:
            made.write_text("new")
        publish(made, target, overwrite=True)


def _unlock():
    for each in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.path.basename(os.readlink(f"/proc/self/fd/{each}").removesuffix(" (deleted)")) == "lock":
                os.close(int(each))


def _content(target):
    return (target / "zarr.json" if target.suffix == ".zarr" else target).read_text()


# Ended in the very line that leaves a `with`, it is not left.
@pytest.mark.filterwarnings("ignore:.*ScandirIterator:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("renames", [True, False])
@pytest.mark.parametrize("old", [True, False])
def test_ended_at_any_line(tmp_path, request, suffix, kept, renames, old):
    """Whichever line of the two modules is the last: the target is old or new, and nothing is left."""
    if not renames:
        request.getfixturevalue("no_exchange")
    target, ours = tmp_path / f"a{suffix}", {folders.__file__, targets.__file__, __file__}
    seen = set()
    for last in range(1, 400):
        if target.exists():
            shutil.rmtree(target) if target.is_dir() else target.unlink()
        if old and suffix == ".zarr":
            target.mkdir()
        if old:
            (target / "zarr.json" if suffix == ".zarr" else target).write_text("old")
        count = 0

        def trace(frame, event, argument):
            nonlocal count
            if frame.f_code.co_filename not in ours:
                return None
            if event == "line":
                count += 1
                if count == last:  # noqa: B023
                    sys.settrace(None)
                    raise Ended
            return trace

        former = sys.gettrace()
        try:
            sys.settrace(trace)
            _run(target, kept)
        except Ended:
            folders.abandon()  # as the command does
            _unlock()  # as the end of the process does
            ended = True
        else:
            ended = False
        finally:
            sys.settrace(former)
        content = _content(target) if target.exists() else None
        assert content in (["old", "new"] if old else [None, "new"]), last
        seen.add(content)
        left = [name for name in names(tmp_path) if name != target.name]
        assert left == [] or (kept and left == [f".{target.name}.xgrad-resume"])
        if not ended:
            break
    assert not ended
    assert last > 30
    assert content == "new"
    assert left == []
    assert len(seen) == 2
    assert folders._private == {}


@pytest.mark.parametrize("kept", [False, True])
def test_killed_between_two_renames(tmp_path, make, no_exchange, kept):
    """The next run puts the former store back, before it looks at what is there."""
    target = tmp_path / "a.zarr"
    make(target)
    folder = tmp_path / f".a.zarr.xgrad-{'resume' if kept else '0123456789abcdef'}"
    folder.mkdir()
    os.rename(target, folder / "former")
    with pytest.raises(TargetError, match="exists"):
        make(target, 2)
    assert values(target) == 1
    make(target, 2, overwrite=True)
    assert values(target) == 2


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_finished_run_is_not_taken_for_one_to_resume(tmp_path, make, monkeypatch, suffix):
    """Killed after the exchange, its folder holds the former store: published, it would come back."""
    target = tmp_path / "a.zarr"
    make(target)
    ds = xr.Dataset({"t": ("x", np.full(3, 2.0))}).chunk()
    monkeypatch.setattr(folders, "_remove", lambda *_: None)
    monkeypatch.setattr(os, "rename", lambda *_: (_ for _ in ()).throw(Ended()))
    with pytest.raises(Ended):
        storage.write(ds, target, overwrite=True, resume=True)
    monkeypatch.undo()
    assert values(target) == 2
    assert names(tmp_path) == [".a.zarr.xgrad-resume", "a.zarr"]
    if suffix == ".nc":  # any run
        sweep(target)
        assert names(tmp_path) == ["a.zarr"]
    storage.write(ds, target, overwrite=True, resume=True)
    assert values(target) == 2
    assert names(tmp_path) == ["a.zarr"]


# Sweeping


def test_sweep_takes_what_killed_runs_left_and_nothing_else(tmp_path, make, caplog):
    caplog.set_level(logging.INFO, "xgrad")
    digits = "0123456789abcdef"
    stale = [f".a.nc.xgrad-{digits}", f".a.nc.xgrad-{digits[::-1]}"]
    others = [
        f".b.nc.xgrad-{digits}",
        ".a.nc.xgrad-mine",
        f"a.nc.xgrad-{digits}",
        ".a.nc.xgrad-resume",
        ".a.nc",
    ]
    others += [f".a.nc.xgrad-b.nc.xgrad-{digits}", f".xa.nc.xgrad-{digits}", f".a_nc.xgrad-{digits}"]
    for name in stale + others:
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").write_text("x")
    (tmp_path / stale[1] / "lock").touch()
    (tmp_path / f".a.nc.xgrad-{digits[:-1]}0").write_text("a file")
    with private_folder(tmp_path / "a.nc") as used:
        make(tmp_path / "a.nc")
        assert used.exists()
        assert set(names(tmp_path)) == {*others, used.name, f".a.nc.xgrad-{digits[:-1]}0", "a.nc"}
    (said,) = caplog.messages
    assert "--resume" in said
    assert ".a.nc.xgrad-resume" in said


def test_what_tasks_of_a_killed_run_made_anew_is_swept_at_the_end(tmp_path):
    """A cluster ends the task at hand of a client that is gone; zarr makes the folders that it needs."""
    target, anew = tmp_path / "a.zarr", tmp_path / ".a.zarr.xgrad-0123456789abcdef" / "a.zarr" / "t" / "c"
    ds = xr.Dataset({"t": ("x", np.arange(4.0))}).chunk(x=2)
    storage.write(ds, target, progress=lambda news: anew.mkdir(parents=True, exist_ok=True))
    assert names(tmp_path) == ["a.zarr"]


def test_folder_of_another_process_is_not_swept(tmp_path):
    script = (
        "import sys; from pathlib import Path; from xgrad.storage.folders import private_folder\n"
        "with private_folder(Path(sys.argv[1])) as folder: print(folder, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, tmp_path / "a.nc"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        folder = Path(other.stdout.readline().rstrip("\n"))
        sweep(tmp_path / "a.nc")
        assert folder.exists()
        other.kill()
        other.wait()
    assert folder.exists()
    sweep(tmp_path / "a.nc")
    assert not folder.exists()


def test_runs_at_once_do_not_sweep_each_other(tmp_path):
    """Threads stand for processes: locks are of open files."""
    target, lost, ended = tmp_path / "a.nc", [], []

    def run():
        for _ in range(100):
            sweep(target)
            with private_folder(target) as folder:
                (folder / "a.nc").write_text("x" * 1000)
                if not (folder / "lock").exists():
                    lost.append(folder)
                publish(folder / "a.nc", target, overwrite=True)
        ended.append(True)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ended) == 6
    assert lost == []
    assert names(tmp_path) == ["a.nc"]


def test_second_run_to_resume_is_refused(tmp_path):
    with private_folder(tmp_path / "a.zarr", kept=True) as folder:
        (folder / "half").write_text("x")
        second = private_folder(tmp_path / "a.zarr", kept=True)
        with pytest.raises(TargetError, match=r"another run is writing .*a\.zarr.* wait for it"), second:
            pytest.fail("it is in use")
        assert (folder / "half").exists()
        sweep(tmp_path / "a.zarr")
        assert folder.exists()


def test_file_system_without_locks(tmp_path, make, monkeypatch):
    import fcntl

    def fail(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fail)
    stale = tmp_path / ".a.nc.xgrad-0123456789abcdef"
    stale.mkdir()
    make(tmp_path / "a.nc")
    assert names(tmp_path) == [stale.name, "a.nc"]  # it may be in use


def test_folder_that_may_not_be_listed(tmp_path, make, monkeypatch):
    monkeypatch.setattr(
        Path, "iterdir", lambda self: (_ for _ in ()).throw(PermissionError(errno.EACCES, "no"))
    )
    make(tmp_path / "a.nc")
    assert names(tmp_path) == ["a.nc"]


def test_forked_process_leaves_the_folders_of_its_parent(tmp_path):
    script = (
        "import os, sys; from pathlib import Path; from xgrad.storage import folders\n"
        "with folders.private_folder(Path(sys.argv[1])) as folder:\n"
        "    if os.fork() == 0: folders.abandon(); sys.exit()\n"
        "    os.wait(); assert folder.exists()"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path / "a.nc"], check=True)
    assert names(tmp_path) == []


def test_interpreter_that_ends_takes_its_folders_along(tmp_path):
    """As when a second Ctrl-C disturbs what the first one began."""
    script = (
        "import sys; from pathlib import Path; from xgrad.storage import folders\n"
        "folders._remove, remove = None, folders._remove\n"
        "try:\n"
        "    with folders.private_folder(Path(sys.argv[1])): pass\n"
        "except TypeError: folders._remove = remove"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path / "a.nc"], check=True)
    assert names(tmp_path) == []


def test_kept_folder_is_taken_again(tmp_path):
    target = tmp_path / "a.zarr"
    with contextlib.suppress(ZeroDivisionError), private_folder(target, kept=True) as folder:
        (folder / "half").write_text("x")
        raise ZeroDivisionError
    folders.abandon()
    with private_folder(target, kept=True) as again:
        assert again == folder
        assert (again / "half").read_text() == "x"
    assert names(tmp_path) == []
