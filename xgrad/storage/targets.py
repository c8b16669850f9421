"""Where results go: what may be written to, and how a finished file or store gets there in one step."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xgrad.errors import StorageError, TargetError, XgradError
from xgrad.storage.intact import is_remote

FORMATS = {".nc": "netCDF", ".nc4": "netCDF", ".cdf": "netCDF", ".zarr": "Zarr"}
# What a directory holds that is a Zarr store.
_OF_ZARR = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")
_MARK = ".xgrad-"
_KEPT = "resume"
_LOCK, _FORMER = "lock", "former"
# Of a private folder without a lock: it may be one that is just being made.
_YOUNG = 60.0
# linux/fs.h
_NOREPLACE, _EXCHANGE = 1, 2

_private: dict[Path, bool] = {}  # those of this process, and whether they are kept


def check_target(
    path: str | os.PathLike[str],
    *,
    inputs: Iterable[str | os.PathLike[str]] = (),
    overwrite: bool = False,
) -> Path:
    """Check that a file or store can be written, before anything is read.

    Parameters
    ----------
    path : str or os.PathLike
        What to write. Its suffix decides the format: netCDF-4 for ``.nc``, ``.nc4`` and ``.cdf``, Zarr for
        ``.zarr``.
    inputs : iterable of str or os.PathLike
        Files and stores that are read, none of which may be the target, under whatever name.
    overwrite : bool
        Whether an existing target is replaced.

    Returns
    -------
    pathlib.Path
        The target with symbolic links followed, so that a link stays a link to the new file.

    Raises
    ------
    TargetError
        If the target exists and `overwrite` is false, if it is not of its format's kind, or if it is one of
        the inputs, holds one or lies in one.
    StorageError
        If its folder is absent or not writable.
    XgradError
        If the suffix names no format that can be written, or the target is not on a file system.
    """
    shown = os.fspath(path)
    if is_remote(path):
        raise XgradError(
            f"{shown!r} is not on a file system, where results cannot take their place in one step; "
            "write to a local path and copy it"
        )
    if Path(path).suffix not in FORMATS:
        raise XgradError(
            f"{shown!r} has the suffix {Path(path).suffix!r}, which is not supported; "
            f"netCDF is written to .nc, .nc4, .cdf, and Zarr to .zarr"
        )
    target = Path(os.path.realpath(path))
    for source in inputs:
        _check_apart(shown, target, source)
    if target.exists():
        _check_replaceable(shown, target, overwrite)
    if not target.parent.is_dir():
        raise StorageError(f"the folder {os.fspath(target.parent)!r} does not exist; make it first")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise StorageError(f"the folder {os.fspath(target.parent)!r} is not writable")
    return target


def _check_apart(shown: str, target: Path, source: str | os.PathLike[str]) -> None:
    """Refuse a target that is an input, lies in one or holds one."""
    if is_remote(source) or not os.path.exists(source):
        return
    if target.exists() and os.path.samefile(source, target):
        raise TargetError(f"{shown!r} is the input {os.fspath(source)!r} itself; write to another file")
    real = Path(os.path.realpath(source))
    if target.is_relative_to(real) or real.is_relative_to(target):
        raise TargetError(
            f"{shown!r} and the input {os.fspath(source)!r} lie in one another; write elsewhere"
        )


def _check_replaceable(shown: str, target: Path, overwrite: bool) -> None:
    """Refuse to replace what must be kept, or what is of another kind."""
    if FORMATS[target.suffix] == "netCDF" and not target.is_file():
        raise TargetError(f"{shown!r} is not a file and cannot be replaced; write to another name")
    if FORMATS[target.suffix] == "Zarr":
        store = target.is_dir() and any((target / name).exists() for name in _OF_ZARR)
        if not store and not (target.is_dir() and not any(target.iterdir())):
            raise TargetError(f"{shown!r} is no Zarr store and is not replaced; write to another name")
    if not overwrite:
        raise TargetError(f"{shown!r} exists; overwrite=True or --overwrite replaces it")


def sweep(target: Path) -> None:
    """Remove what killed runs left beside a target; never what a run still uses, nor what one may resume.

    Where a run was killed while it replaced a store without the help of the system, the former one returns.
    """
    for folder in target.parent.iterdir():
        mark = f".{target.name}{_MARK}"
        if not folder.name.startswith(mark) or folder.name == mark + _KEPT or folder in _private:
            continue
        try:
            lock = _locked(folder, create=False)
        except FileNotFoundError:
            lock = None
            if time.time() - folder.stat().st_mtime < _YOUNG:
                continue
        except OSError:  # in use, or of somebody else
            continue
        if (folder / _FORMER).exists() and not target.exists():
            os.rename(folder / _FORMER, target)
        _remove(folder)
        if lock is not None:
            os.close(lock)


@contextmanager
def private_folder(target: Path, *, kept: bool = False) -> Iterator[Path]:
    """Make a folder beside the target, on the same file system; afterwards it is gone, whatever happens.

    With `kept` it has a name of its own, is taken again if it is there, and stays unless the run succeeds.
    """
    folder, lock = _kept_folder(target) if kept else _new_folder(target)
    _private[folder] = kept
    finished = False
    try:
        yield folder
        finished = True
    finally:
        if finished or not kept:
            _remove(folder)
        _private.pop(folder, None)
        if lock is not None:
            os.close(lock)


def abandon() -> None:
    """Remove the private folders of this process, which is about to end."""
    for folder, kept in list(_private.items()):
        if not kept:
            _remove(folder)


def _new_folder(target: Path) -> tuple[Path, int | None]:
    """Make a folder under a new name, and lock it."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}{_MARK}", dir=target.parent))
        try:
            lock = _locked(folder, create=True)
        except FileNotFoundError:  # swept at this very moment
            continue
        except OSError:  # a file system without locks: nobody will sweep here
            return folder, None
        if (folder / _LOCK).exists():
            return folder, lock


def _kept_folder(target: Path) -> tuple[Path, int | None]:
    """Make or take the folder of runs that may be resumed, and lock it."""
    folder = target.parent / f".{target.name}{_MARK}{_KEPT}"
    folder.mkdir(exist_ok=True)
    try:
        return folder, _locked(folder, create=True)
    except BlockingIOError:
        raise TargetError(
            f"another run is writing {os.fspath(target)!r} at this moment, in {os.fspath(folder)!r}; "
            "wait for it"
        ) from None
    except OSError:
        return folder, None


def _locked(folder: Path, *, create: bool) -> int:
    """Lock a folder for as long as this process lives; BlockingIOError where another one has it."""
    try:
        import fcntl
    except ImportError:  # Windows
        raise OSError(errno.ENOTSUP, "no locks") from None
    handle = os.open(folder / _LOCK, os.O_RDWR | (os.O_CREAT if create else 0), 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle


def publish(made: Path, target: Path, *, overwrite: bool) -> None:
    """Make a finished file or store the target in one step, and durably: first its content, then its name."""
    _sync(made)
    if made.is_dir():
        _publish_folder(made, target, overwrite)
    elif overwrite:
        os.replace(made, target)
    else:
        try:
            os.link(made, target)  # unlike a rename, this fails if the target has come into being meanwhile
        except FileExistsError:
            raise _intruder(target) from None
        except OSError:  # a file system without hard links
            check_target(target)
            os.replace(made, target)
    _sync(target.parent, inside=False)


def _publish_folder(made: Path, target: Path, overwrite: bool) -> None:
    """Rename a folder to the target, or exchange both; what was there then lies in the private folder."""
    if target.exists() and not overwrite:
        raise _intruder(target)
    try:
        if target.exists():
            _rename(made, target, _EXCHANGE)
        else:
            _rename(made, target, _NOREPLACE)
        return
    except FileExistsError:
        raise _intruder(target) from None
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
            raise
    if target.exists():  # the next run repairs it if this one is killed between the two
        os.rename(target, made.parent / _FORMER)
    os.rename(made, target)


def _intruder(target: Path) -> TargetError:
    """Return the error for a target that was made by somebody else meanwhile."""
    return TargetError(f"{os.fspath(target)!r} came into being during the run, and was kept")


def _rename(source: Path, target: Path, flags: int) -> None:
    """Rename with the flags of Linux; ENOSYS elsewhere."""
    library = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    function: Any = getattr(library, "renameat2", None)
    if function is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    here = -100  # AT_FDCWD
    if function(here, os.fsencode(source), here, os.fsencode(target), flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fspath(source), None, os.fspath(target))


def _sync(path: Path, *, inside: bool = True) -> None:
    """Have the system write a file, or a folder with all that is inside, to its disk."""
    if os.name == "nt" and path.is_dir():  # Windows opens no folders
        return
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        if inside and path.is_dir():
            _sync_file_system(handle)
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_file_system(handle: int) -> None:
    """Write all that a file system holds back: stores have too many files to ask for each."""
    library = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    if library is not None and hasattr(library, "syncfs"):
        library.syncfs(handle)
    elif hasattr(os, "sync"):
        os.sync()


def _remove(folder: Path) -> None:
    """Remove a folder, again if a thread that has not stopped yet makes its file anew meanwhile."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)
