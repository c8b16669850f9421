"""Runs that can be resumed: what they do, told by a fingerprint, and which blocks they have written."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import threading
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from xgrad.errors import TargetError
from xgrad.storage.graphs import Place
from xgrad.storage.targets import sync

_FINGERPRINT = "fingerprint.json"
_LINE = re.compile(r"([0-9,]*) (\".+\")\n")
# What is before this line is on the disk itself: said every so many seconds.
_SYNCED, _PERIOD = "synced\n", 30.0


class Journal:
    """The written blocks of a run, in a folder beside its store; each process has a file of its own there.

    A line counts once its end is there, and it is written after the block: what a kill cut off is done again.
    Where the system may have gone down since, it counts if it and the block had reached the disk.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._synced = time.monotonic()

    def __getstate__(self) -> Path:
        return self._folder

    def __setstate__(self, folder: Path) -> None:
        self.__init__(folder)  # type: ignore[misc]

    def note(self, name: str, place: Place) -> None:
        """Remember that a block is written."""
        self._add(f"{','.join(map(str, place))} {json.dumps(name)}\n")
        if time.monotonic() - self._synced > _PERIOD:
            self._synced = time.monotonic()
            sync(self._folder)
            self._add(_SYNCED)

    def _add(self, line: str) -> None:
        """Write a line; another end goes before it, for an earlier one may have been cut off."""
        path = self._folder / f"{_boot()}-{os.getpid()}.done"
        with self._lock, open(path, "a", encoding="utf-8") as file:
            file.write(f"\n{line}")

    def done(self) -> set[tuple[str, Place]]:
        """Return the blocks that are written."""
        found: set[tuple[str, Place]] = set()
        for path in self._folder.glob("*.done"):
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            if not path.name.startswith(_boot()):
                lines = lines[
                    : max((index for index, line in enumerate(lines) if line == _SYNCED), default=0)
                ]
            for line in lines:
                if match := _LINE.fullmatch(line):
                    place = tuple(int(number) for number in match[1].split(",") if number)
                    found.add((json.loads(match[2]), place))
        return found


@cache
def _boot() -> str:
    """Return what tells this start of this system from others; its name where nothing does."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return platform.node()


def begin(folder: Path, made: Path, fingerprint: Mapping[str, Any]) -> Journal:
    """Begin a run in a folder, or go on with the one that was begun there.

    Parameters
    ----------
    folder : pathlib.Path
        The folder of the run.
    made : pathlib.Path
        The store that is being made in it.
    fingerprint : mapping
        What decides the result, by what users call it.

    Returns
    -------
    Journal
        What it has written, and takes note of what it writes.

    Raises
    ------
    TargetError
        If a run with another fingerprint was begun there.
    """
    known = _read(folder / _FINGERPRINT) if made.exists() else None
    mine = json.loads(json.dumps(fingerprint))
    if known is None:  # at most a store that is not laid out
        shutil.rmtree(made, ignore_errors=True)
        for path in folder.glob("*.done"):
            path.unlink()
        return Journal(folder)
    differing = [key for key in {**known, **mine} if known.get(key) != mine.get(key)]
    if differing:
        raise TargetError(
            f"the unfinished run in {os.fspath(folder)!r} is another one: it differs in "
            f"{', '.join(differing)}; repeat it as it was, or remove that folder"
        )
    return Journal(folder)


def settle(folder: Path, fingerprint: Mapping[str, Any]) -> None:
    """Say that the store of a run is laid out: from now on its blocks count."""
    new = folder / f"{_FINGERPRINT}.new"
    new.write_text(json.dumps(fingerprint), encoding="utf-8")
    sync(folder)
    os.replace(new, folder / _FINGERPRINT)


def _read(path: Path) -> Any:
    """Return the fingerprint of the run that was begun, None if there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
