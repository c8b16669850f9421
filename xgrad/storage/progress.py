"""How far a run is: for people at a terminal, for logs, for machines. What nobody reads never ends a run."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TextIO

from xgrad import display

_REDRAWN, _TOLD, _LOGGED = 0.1, 1.0, 60.0  # seconds
_FULL, _LEAST = 30, 5  # characters of the bar itself


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
            try:
                self._tell(progress, now - self.began)
            except OSError:  # a pipe that is closed, a terminal that is gone
                _abandon(self.stream)

    def _tell(self, progress: Progress, seconds: float) -> None:
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


@dataclass(slots=True)
class Bar(_Timed):
    """A bar on a terminal, drawn over itself; whoever else writes there does so through `above`."""

    drawn: str = ""
    lock: Any = field(default_factory=threading.Lock)

    period = _REDRAWN

    def _tell(self, progress: Progress, seconds: float) -> None:
        """Draw it, over all of what was there."""
        text = self._fitted(_words(self, progress, seconds), progress.written / progress.blocks)
        with self.lock:
            self.stream.write(f"\r{text.ljust(len(self.drawn))}")
            self.stream.flush()
            self.drawn = text

    def above(self, line: str) -> None:
        """Write a line where the bar is, which moves on below it with the next news.

        Parameters
        ----------
        line : str
            The line.
        """
        with self.lock:
            if self.drawn:
                self.stream.write(f"\r{' ' * len(self.drawn)}\r")
                self.drawn = ""
            self.stream.write(f"{line}\n")
            self.stream.flush()
            self.last = -1e9

    def close(self) -> None:
        """Leave the line."""
        with self.lock:
            if self.drawn:
                self.drawn = ""
                try:
                    self.stream.write("\n")
                    self.stream.flush()
                except OSError:
                    _abandon(self.stream)

    def _fitted(self, words: list[str], done: float) -> str:
        """Return what fits on one line: fewer words, and a shorter bar, on a narrow terminal."""
        room = _columns(self.stream) - 1  # a full line would wrap
        while len(words) > 1 and len(", ".join(words)) + (_LEAST + 3) * (len(words) > 2) > room:
            words.pop(1)  # the percentage and the time that is left stay longest, longer than the bar
        text = ", ".join(words)
        width = min(_FULL, room - len(text) - 3)
        if width < _LEAST:
            return text[:room]
        filled = int(width * done)
        return f"[{'#' * filled}{' ' * (width - filled)}] {text}"


class Lines(_Timed):
    """A line a minute, for logs."""

    period = _LOGGED

    def _tell(self, progress: Progress, seconds: float) -> None:
        """Write it; short runs have nothing to tell."""
        if seconds >= _LOGGED:
            self.stream.write(f"xgrad: {', '.join(_words(self, progress, seconds))}\n")
            self.stream.flush()


class Events(_Timed):
    """A JSON object a line, for machines."""

    period = _TOLD

    def _tell(self, progress: Progress, seconds: float) -> None:
        """Write it."""
        rate, left = self.rate(progress, seconds)
        self.event(
            "progress",
            written=progress.written,
            blocks=progress.blocks,
            seconds=round(seconds, 3),
            bytes_per_second=round(rate),
            seconds_left=None if left is None else round(left, 3),
        )

    def event(self, kind: str, **facts: Any) -> None:
        """Write an event of any kind.

        Parameters
        ----------
        kind : str
            What it is called.
        **facts
            What it has to say.
        """
        try:
            self.stream.write(json.dumps({"event": kind, **facts}, allow_nan=False) + "\n")
            self.stream.flush()
        except OSError:
            _abandon(self.stream)


def bar() -> Bar:
    """Make a bar on stderr.

    Returns
    -------
    Bar
        To be called with each `Progress`, and closed.
    """
    return Bar(sys.stderr)


def _abandon(stream: TextIO) -> None:
    """Let what is written to a stream go nowhere, as nobody reads it any more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _words(report: _Timed, progress: Progress, seconds: float) -> list[str]:
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
    return words


def _columns(stream: TextIO) -> int:
    """Return the width of the terminal: what COLUMNS says, else the terminal itself."""
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said) > 0:
        return int(said)
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):  # no terminal, or no file at all
        return 80


def _clock(seconds: float) -> str:
    """Return a time span as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
