"""Private folders beside the target, in which files and stores are made; none outlives its use."""

from __future__ import annotations

import atexit
import errno
import hashlib
import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from xgrad.errors import TargetError

# They are named .TARGET.xgrad-RANDOM, or with the word instead of digits if they are kept.
_KEPT, _DIGITS = "resume", 16
_LONG = 100  # bytes of a name; longer ones stand there by their hash, for a name has 255 at most
_LOCK = "lock"
# In them: a store that is being replaced, and a sign with the inode of what is going to leave for the target.
FORMER, LEAVING = "former", "leaving-"
# How often, a tenth of a second apart, a lock is asked for, and what comes back is removed.
_TIMES = 20

_log = logging.getLogger("xgrad")
_private: dict[Path, Path] = {}  # what this process must not leave behind: folders with their targets


def sweep(target: Path, *, resume: bool = False) -> None:
    """Remove what killed runs left beside a target; never what a run still uses, nor what one may resume.

    Where a run was killed while it replaced a store without the help of the system, the former one returns.
    """
    name = re.compile(re.escape(_mark(target)) + rf"({_KEPT}|[0-9a-f]{{{_DIGITS}}})")
    found: list[Path] = []
    with suppress(PermissionError):  # who may write there may not always look
        found += [each for each in target.parent.iterdir() if name.fullmatch(each.name)]
    for folder in found:
        with suppress(OSError):  # in use, of somebody else, going at this moment, or where nothing is locked
            _sweep_one(folder, target, resume)


def _sweep_one(folder: Path, target: Path, resume: bool) -> None:
    """Look after a folder that may have been left behind."""
    lock = _locked(folder)
    try:
        _put_back(folder, target)
        if not folder.name.endswith(_KEPT) or _has_left(folder):
            _give_up(folder, target)
        elif not resume:
            _log.info("an unfinished run that --resume takes up is left alone: %s", folder)
    finally:
        os.close(lock)


@contextmanager
def private_folder(target: Path, *, kept: bool = False) -> Iterator[Path]:
    """Make a folder beside the target, on the same file system; afterwards it is gone, whatever happens.

    With `kept` it has a name of its own, is taken again if it is there, and stays unless the run succeeds.
    """
    folder = target.parent / f"{_mark(target)}{_KEPT}" if kept else _new(target)
    lock = None
    if not kept:
        _private[folder] = target  # before it is there, for a signal may come at any moment
    try:
        lock = _hold(folder, target)
        if kept:
            _clear(folder)
        try:
            yield folder
        finally:
            _put_back(folder, target)
        if kept:
            _give_up(folder, target)
    finally:
        if lock is not None:
            os.close(lock)  # first, for an open file cannot go from a network file system
        if folder in _private:
            _remove(folder)


@atexit.register
def abandon() -> None:
    """Remove the private folders of this process, which is about to end."""
    for folder, target in list(_private.items()):
        _put_back(folder, target)
        _remove(folder)


if hasattr(os, "register_at_fork"):  # they are no business of the children
    os.register_at_fork(after_in_child=_private.clear)


def _mark(target: Path) -> str:
    """Return what the names of private folders of a target begin with."""
    name = target.name
    if len(os.fsencode(name)) > _LONG:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
    return f".{name}.xgrad-"


def _new(target: Path) -> Path:
    """Return a new name for a private folder."""
    return target.parent / f"{_mark(target)}{secrets.token_hex(_DIGITS // 2)}"


def _hold(folder: Path, target: Path) -> int | None:
    """Make a folder if it is not there, and lock it; None on a file system without locks."""
    for _ in range(_TIMES):
        folder.mkdir(mode=0o700, exist_ok=True)
        try:
            return _locked(folder)
        except FileNotFoundError:  # removed at this very moment
            continue
        except BlockingIOError:  # a run that sweeps has it for a moment only
            time.sleep(0.1)
        except OSError:  # nobody will sweep here either
            return None
    raise TargetError(
        f"another run is writing {os.fspath(target)!r} at this moment, in {os.fspath(folder)!r}; wait for it"
    )


def _locked(folder: Path) -> int:
    """Lock a folder for as long as this process lives; BlockingIOError where another one has it."""
    try:
        import fcntl
    except ImportError:  # Windows
        raise OSError(errno.ENOTSUP, "no locks") from None
    handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(handle), os.stat(folder / _LOCK)):
            raise FileNotFoundError(errno.ENOENT, "made anew meanwhile", os.fspath(folder))
    except BaseException:
        os.close(handle)
        raise
    return handle


def _has_left(folder: Path) -> bool:
    """Whether what was made in a folder is published already: what lies there is then of no more use."""
    with os.scandir(folder) as found:
        inodes = {each.name: each.inode() for each in found}
    marks = [name for name in inodes if name.startswith(LEAVING)]
    return any(int(mark.removeprefix(LEAVING)) not in inodes.values() for mark in marks)


def _clear(folder: Path) -> None:
    """Take what has not been published out of its way there, and what has been out of the folder."""
    left = _has_left(folder)
    for each in list(folder.iterdir()):
        if each.name.startswith(LEAVING) or (left and each.is_file() and each.name != _LOCK):
            each.unlink()
        elif left and each.is_dir():
            shutil.rmtree(each)


def _put_back(folder: Path, target: Path) -> None:
    """Give a target back that had been moved into a private folder, if it was not replaced."""
    former = folder / FORMER
    if former.exists():
        if target.exists():
            shutil.rmtree(former, ignore_errors=True)
        else:
            os.rename(former, target)


def _give_up(folder: Path, target: Path) -> None:
    """Remove a locked folder, under another name first: a run that waits for the lock must not have it."""
    gone = _new(target)
    _private[gone] = target
    os.rename(folder, gone)
    _remove(gone)


def _remove(folder: Path) -> None:
    """Remove a folder, again if a thread that has not stopped yet makes its file anew meanwhile."""
    for _ in range(_TIMES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            break
        time.sleep(0.1)
    _private.pop(folder, None)
