"""Where results go: what may be written to, and how a finished file or store gets there in one step."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from xgrad.errors import StorageError, TargetError, XgradError
from xgrad.storage.folders import FORMER, LEAVING
from xgrad.storage.intact import is_remote, local

FORMATS = {".nc": "netCDF", ".nc4": "netCDF", ".cdf": "netCDF", ".zarr": "Zarr"}
# What a directory holds that is a Zarr store.
_OF_ZARR = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")
# linux/fs.h
_NOREPLACE, _EXCHANGE = 1, 2
# What a file system says that knows no such renames.
_UNKNOWN = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)


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
    try:
        os.fspath(target).encode()
    except UnicodeEncodeError:
        raise XgradError(
            f"{os.fspath(target)!r} holds bytes that are no text; write to another name"
        ) from None
    for source in inputs:
        _check_apart(shown, target, source)
    if os.path.lexists(target):
        _check_replaceable(shown, target)
        if not overwrite:
            raise TargetError(f"{shown!r} exists; overwrite=True or --overwrite replaces it")
    if not target.parent.is_dir():
        raise StorageError(f"the folder {os.fspath(target.parent)!r} does not exist; make it first")
    for folder in (target.parent, target):  # a folder that is read-only cannot be moved
        if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
            raise StorageError(f"the folder {os.fspath(folder)!r} is not writable")
    return target


def _check_apart(shown: str, target: Path, source: str | os.PathLike[str]) -> None:
    """Refuse a target that is an input, lies in one or holds one."""
    path = local(source)
    if path is None or not os.path.exists(path):
        return
    if target.exists() and os.path.samefile(path, target):
        raise TargetError(f"{shown!r} is the input {os.fspath(source)!r} itself; write to another file")
    real = Path(os.path.realpath(path))
    if target.is_relative_to(real) or real.is_relative_to(target):
        raise TargetError(
            f"{shown!r} and the input {os.fspath(source)!r} lie in one another; write elsewhere"
        )


def _check_replaceable(shown: str, target: Path) -> None:
    """Refuse to replace what is of another kind."""
    if FORMATS[target.suffix] == "netCDF" and not target.is_file():
        raise TargetError(f"{shown!r} is not a file and cannot be replaced; write to another name")
    if FORMATS[target.suffix] == "Zarr":
        store = target.is_dir() and any((target / name).exists() for name in _OF_ZARR)
        if not store and not (target.is_dir() and not any(target.iterdir())):
            raise TargetError(f"{shown!r} is no Zarr store and is not replaced; write to another name")


def publish(made: Path, target: Path, *, overwrite: bool) -> None:
    """Make a finished file or store the target in one step, and durably: first its content, then its name."""
    sync(made)
    (made.parent / f"{LEAVING}{made.stat().st_ino}").touch()
    if overwrite:
        if os.path.lexists(target):
            _check_replaceable(os.fspath(target), target)  # it may have become something else
            _resemble(made, target)
        (_replace_store if made.is_dir() else os.replace)(made, target)
    else:
        _publish_new(made, target)
    with suppress(OSError):  # not every file system knows this of folders; the name is right in any case
        sync(target.parent, inside=False)


def _publish_new(made: Path, target: Path) -> None:
    """Rename to a target that is not there, and has not come into being meanwhile."""
    try:
        _rename(made, target, _NOREPLACE)
    except FileExistsError:
        raise _intruder(target) from None
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise
    else:
        return
    try:
        if made.is_file():
            os.link(made, target)  # unlike a rename, this fails if the target is there
            return
    except FileExistsError:
        raise _intruder(target) from None
    except OSError:  # a file system without hard links
        pass
    if os.path.lexists(target):
        raise _intruder(target)
    os.rename(made, target)


def _replace_store(made: Path, target: Path) -> None:
    """Put a store in the place of a target; what was there then lies in the private folder."""
    try:
        while True:
            try:
                return _rename(made, target, _EXCHANGE if os.path.lexists(target) else _NOREPLACE)
            except (FileNotFoundError, FileExistsError):  # it came or went at this very moment
                if not made.exists():
                    raise
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise
    with suppress(FileNotFoundError):
        os.rename(target, made.parent / FORMER)  # killed from here on, the next run puts it back
    os.rename(made, target)


def _resemble(made: Path, target: Path) -> None:
    """Give what is made the permissions and, where that is allowed, the owner of what it replaces."""
    status = os.stat(target)
    with suppress(OSError):
        os.chown(made, status.st_uid, status.st_gid)
    os.chmod(made, stat.S_IMODE(status.st_mode))


def _intruder(target: Path) -> TargetError:
    """Return the error for a target that was made by somebody else meanwhile."""
    return TargetError(f"{os.fspath(target)!r} came into being during the run, and was kept")


def _rename(source: Path, target: Path, flags: int) -> None:
    """Rename with the flags of Linux; ENOSYS elsewhere."""
    function: Any = getattr(_libc(), "renameat2", None)
    if function is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    here = -100  # AT_FDCWD
    if function(here, os.fsencode(source), here, os.fsencode(target), flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fspath(source), None, os.fspath(target))


def sync(path: Path, *, inside: bool = True) -> None:
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
    function: Any = getattr(_libc(), "syncfs", None)
    if function is None:
        os.sync()
    elif function(handle) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _libc() -> Any:
    """Return the C library, None but on Linux."""
    return ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
