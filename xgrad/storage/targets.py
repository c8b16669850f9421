"""Where results go: what may be written to, and how a finished file gets there in one step."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from xgrad.errors import ChangedInputError, StorageError, TargetError, XgradError

SUFFIXES = (".nc", ".nc4", ".cdf")


def check_target(
    path: str | os.PathLike[str],
    *,
    inputs: Iterable[str | os.PathLike[str]] = (),
    overwrite: bool = False,
) -> Path:
    """Check that a file can be written, before anything is read.

    Parameters
    ----------
    path : str or os.PathLike
        The file to write. Its suffix decides the format: netCDF-4 for ``.nc``, ``.nc4`` and ``.cdf``.
    inputs : iterable of str or os.PathLike
        Files that are read, none of which may be the target, under whatever name.
    overwrite : bool
        Whether an existing file is replaced.

    Returns
    -------
    pathlib.Path
        The target with symbolic links followed, so that a link stays a link to the new file.

    Raises
    ------
    TargetError
        If the target exists and `overwrite` is false, if it is no file, or if it is one of the inputs.
    StorageError
        If its folder is absent or not writable.
    XgradError
        If the suffix names no format that can be written.
    """
    if Path(path).suffix not in SUFFIXES:
        raise XgradError(
            f"{os.fspath(path)!r} has the suffix {Path(path).suffix!r}, which is not supported; "
            f"netCDF is written to {', '.join(SUFFIXES)}"
        )
    target = Path(os.path.realpath(path))
    if target.exists():
        for source in inputs:
            if os.path.exists(source) and os.path.samefile(source, target):
                raise TargetError(
                    f"{os.fspath(path)!r} is the input {os.fspath(source)!r} itself; write to another file"
                )
        if not target.is_file():
            raise TargetError(
                f"{os.fspath(path)!r} is not a file and cannot be replaced; write to another name"
            )
        if not overwrite:
            raise TargetError(f"{os.fspath(path)!r} exists; overwrite=True or --overwrite replaces it")
    if not target.parent.is_dir():
        raise StorageError(f"the folder {os.fspath(target.parent)!r} does not exist; make it first")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise StorageError(f"the folder {os.fspath(target.parent)!r} is not writable")
    return target


def state(inputs: Iterable[str | os.PathLike[str]]) -> dict[str, tuple[int, ...]]:
    """Size, time of change and identity of each input, which differ once a file is changed or replaced."""
    found: dict[str, tuple[int, ...]] = {}
    for source in inputs:
        status = os.stat(source)
        found[os.fspath(source)] = (status.st_size, status.st_mtime_ns, status.st_ino)
    return found


def check_unchanged(before: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse to publish what was computed from inputs that changed meanwhile."""
    for source, known in before.items():
        if not os.path.exists(source) or state([source])[source] != known:
            raise ChangedInputError(
                f"the input {source!r} changed while it was read, so nothing was written; run it again"
            )


@contextmanager
def private_folder(target: Path) -> Iterator[Path]:
    """A new folder beside the target, on the same file system; gone afterwards, whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.xgrad-", dir=target.parent))
    try:
        yield folder
    finally:
        _remove(folder)


def publish(made: Path, target: Path, *, overwrite: bool) -> None:
    """Make a finished file the target in one step, and durably: first its content, then its name."""
    _sync(made)
    if overwrite:
        os.replace(made, target)
    else:
        try:
            os.link(made, target)  # unlike a rename, this fails if the target has come into being meanwhile
        except FileExistsError:
            raise TargetError(f"{os.fspath(target)!r} came into being during the run, and was kept") from None
        except OSError:  # a file system without hard links
            check_target(target)
            os.replace(made, target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    """Have the system write a file or a folder to its disk."""
    if path.is_dir() and os.name == "nt":  # Windows opens no folders
        return
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(folder: Path) -> None:
    """Remove a folder, again if a thread that has not stopped yet makes its file anew meanwhile."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)
