"""The errors that xgrad raises. Each message says what was asked, what was found and what to do."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Hashable, Iterable
from typing import Any


class XgradError(ValueError):
    """A call that cannot be carried out as asked; raised before any data are read."""


class CoordinateError(XgradError):
    """A coordinate, spacing or unit with which no derivative can be formed."""


class InputError(XgradError):
    """An input file that cannot be read, or that is damaged."""


class TargetError(XgradError):
    """An output that exists already, or that is one of the inputs."""


class StorageError(XgradError):
    """Reading or writing failed: no space left, or an I/O error."""


class ChangedInputError(XgradError):
    """An input changed while it was being read."""


class PrecisionWarning(UserWarning):
    """The input limits the accuracy of results more than the method does."""


class MissingExtraError(ImportError):
    """An optional dependency is not installed; the message names the extra to install."""

    def __init__(self, need: str, extra: str) -> None:
        super().__init__(f"{need} needs an optional dependency: pip install 'xgrad[{extra}]'")
        self._asked = (need, extra)

    def __reduce__(self) -> tuple[Any, ...]:  # errors come from other processes, too
        return type(self), self._asked


def suggestion(name: Hashable, known: Iterable[Hashable]) -> str:
    """Return what may have been meant."""
    known = list(known)
    words = [str(key) for key in known]
    near = difflib.get_close_matches(str(name), words, n=1)
    near += [word for word in words if str(name) and word.lower().startswith(str(name).lower())]
    return f"did you mean {near[0]!r}?" if near else f"there are {known!r}"


def caller_level() -> int:
    """Return the `stacklevel` with which a warning of the calling function names the user's own line."""
    package = os.path.dirname(__file__) + os.sep
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(package):
        level, frame = level + 1, frame.f_back
    return level
