"""How far a run is: for people at a terminal, for logs, for machines."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TextIO

from xgrad import display

_REDRAWN, _LOGGED = 0.1, 60.0  # seconds
_WIDTH = 30


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Attributes
    ----------
    written, blocks : int
        Blocks that are written, and all.
    nbytes : int
        What all of them hold, without compression.
    """

    written: int
    blocks: int
    nbytes: int


Report = Callable[[Progress], None]


@dataclass(slots=True)
class _Timed:
    """What all reports share: the clock, and where a resumed run began."""

    stream: TextIO
    began: float = field(default_factory=time.monotonic)
    first: int | None = None
    last: float = -1e9

    period = 0.0

    def __call__(self, progress: Progress) -> None:
        """Take the news, and tell them if it is time."""
        if self.first is None:
            self.first = progress.written
        now = time.monotonic()
        ended = progress.written == progress.blocks
        if now - self.last >= self.period or ended:
            self.last = now
            self.tell(progress, now - self.began)

    def tell(self, progress: Progress, seconds: float) -> None:
        """Tell them."""
        raise NotImplementedError

    def close(self) -> None:
        """End; nothing more will come."""

    def rate(self, progress: Progress, seconds: float) -> tuple[float, float | None]:
        """Return bytes a second, and the seconds that are left, if that can be known."""
        here = progress.written - (self.first or 0)
        if not here or seconds <= 0:
            return 0.0, None
        share = progress.nbytes / progress.blocks
        return here * share / seconds, (progress.blocks - progress.written) * seconds / here


class Bar(_Timed):
    """A bar on a terminal, drawn over itself."""

    period = _REDRAWN
    _open = False

    def tell(self, progress: Progress, seconds: float) -> None:
        """Draw it."""
        filled = _WIDTH * progress.written // progress.blocks
        text = f"[{'#' * filled}{' ' * (_WIDTH - filled)}] {_said(self, progress, seconds)}"
        self.stream.write(f"\r{text}\x1b[K")
        self.stream.flush()
        self._open = True

    def close(self) -> None:
        """Leave the line."""
        if self._open:
            self.stream.write("\n")
            self.stream.flush()
            self._open = False


class Lines(_Timed):
    """A line a minute, for logs."""

    period = _LOGGED

    def tell(self, progress: Progress, seconds: float) -> None:
        """Write it; short runs have nothing to tell."""
        if seconds >= _LOGGED:
            self.stream.write(f"xgrad: {_said(self, progress, seconds)}\n")
            self.stream.flush()


class Events(_Timed):
    """A JSON object a line, for machines."""

    period = 1.0

    def tell(self, progress: Progress, seconds: float) -> None:
        """Write it."""
        rate, left = self.rate(progress, seconds)
        event: dict[str, Any] = {
            "event": "progress",
            "written": progress.written,
            "blocks": progress.blocks,
            "seconds": round(seconds, 3),
            "bytes_per_second": round(rate),
            "seconds_left": None if left is None else round(left, 3),
        }
        self.stream.write(json.dumps(event) + "\n")
        self.stream.flush()


def bar() -> Bar:
    """Return a bar on stderr."""
    return Bar(sys.stderr)


def _said(report: _Timed, progress: Progress, seconds: float) -> str:
    """Return the news in words."""
    rate, left = report.rate(progress, seconds)
    percent = 100 * progress.written // progress.blocks
    words = [f"{percent:3d} %", f"{progress.written} of {progress.blocks} blocks"]
    if rate:
        words.append(f"{display.size(rate)}/s")
    if progress.written == progress.blocks:
        words.append(f"{_clock(seconds)} in all")
    elif left is not None:
        words.append(f"{_clock(left)} left")
    return ", ".join(words)


def _clock(seconds: float) -> str:
    """Return a time span as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
