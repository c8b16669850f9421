"""What makes a well-behaved process of a command: exit codes, one-line messages, signals."""

from __future__ import annotations

import atexit
import ctypes
import json
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn, TextIO

import click

from xgrad import errors
from xgrad.labels import plain
from xgrad.storage import folders, progress

# The first that fits.
EXIT_CODES: tuple[tuple[type[Exception], int], ...] = (
    (errors.InputError, 3),
    (errors.CoordinateError, 4),
    (errors.TargetError, 5),
    (errors.StorageError, 6),
    (errors.ChangedInputError, 7),
    (errors.XgradError, 2),
    (errors.MissingExtraError, 2),
    (OSError, 6),
    (MemoryError, 6),
)

# What ends a program in an orderly way: Ctrl-C, a batch system, a terminal that is gone.
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
# So many seconds has the main thread for that, before another one does it.
GRACE = 1.5
_MOMENT = 0.01
# malloc.h of the GNU C library
_ARENA_MAX = -8


class Stopped(BaseException):
    """A signal that ends the program; no Exception, so that nothing but clean-up sees it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@dataclass(slots=True)
class Call:
    """One call of the command: its arguments, how much it says on stderr, and if machines read stdout."""

    arguments: tuple[str, ...]
    quiet: bool = False
    debug: bool = False
    json: bool = False
    bar: progress.Bar | None = None

    def say(self, text: object) -> None:
        """Write one line, with everything in it that could steer a terminal left out."""
        line = f"xgrad: {plain(text)}"
        with suppress(OSError):  # a reader that is gone
            if self.bar is not None:
                self.bar.above(line)
            else:
                click.echo(line, err=True)

    def note(self, text: object) -> None:
        """Say something that -q silences."""
        if not self.quiet:
            self.say(text)

    def fail(self, code: int, text: object, word: str = "error: ") -> int:
        """Say what ends the call, to machines too, and return its exit code."""
        self.say(f"{word}{text}")
        if self.json:
            with suppress(OSError):
                click.echo(json.dumps({"event": "failed", "exit_code": code, "message": plain(text)}))
        return code


def exit_code(command: click.Command, args: Sequence[str] | None) -> int:
    """Run a command; whatever ends it becomes an exit code and at most one line."""
    call = Call(tuple(sys.argv[1:] if args is None else args))
    with _unraisable_unsaid(call), warnings.catch_warnings():
        try:
            with _signals_raised() as caught:
                return _outcome(command, call, caught)
        except Stopped as error:
            number = error.number
            warnings.simplefilter("ignore")  # coroutines of zarr, which nobody will await
        return call.fail(128 + number, _stopped(number), word="")


def _outcome(command: click.Command, call: Call, caught: Sequence[int]) -> int:
    """Run a command and return its exit code; signals pass."""
    try:
        with _warnings_said(call), _log_said(call):
            invoke(command, call)
        return 0
    except click.exceptions.Exit as error:  # --help and --version
        return error.exit_code
    except click.UsageError as error:
        hint = f" (see '{error.ctx.command_path} --help')" if error.ctx else ""
        return call.fail(2, f"{error.format_message()}{hint}")
    except BrokenPipeError:  # whoever reads our output has enough of it
        return 128 + signal.SIGPIPE
    except Exception as error:
        if caught:  # a library made another error of it
            raise
        if call.debug:
            traceback.print_exc()
        return _reported(error, call)


def _stopped(number: int) -> str:
    """Return what is said when a signal came."""
    return f"stopped by {signal.Signals(number).name}"


def invoke(command: click.Command, call: Call) -> None:
    """Run a command; click's own `main` would turn signals and closed pipes into exit code 1."""
    with command.make_context("xgrad", list(call.arguments), obj=call) as context:
        command.invoke(context)


def end(code: int) -> NoReturn:
    """End the process with an exit code, past all that could change it.

    An ordinary exit waits for threads, and C libraries have crashed in it.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        code = 128 + signal.SIGPIPE
    except OSError as error:  # a file on a full disk
        code = _reported(error, Call(()))
    if code == 0:  # after a failure a library may hold files that it cannot close
        with suppress(Exception):  # they have said it
            atexit._run_exitfuncs()
    os._exit(code)


def _reported(error: Exception, call: Call) -> int:
    """Say what went wrong in one line, and return the exit code for it."""
    for kind, code in EXIT_CODES:
        if isinstance(error, kind):
            return call.fail(code, error or type(error).__name__)
    return call.fail(1, f"this is a bug in xgrad; please report it with the output of --debug: {error!r}")


@contextmanager
def _signals_raised() -> Iterator[Sequence[int]]:
    """Signals as exceptions, so that clean-up runs; a second one does not disturb it.

    Those that whoever started us wants ignored (nohup, a shell's &) stay ignored.
    """
    handlers = {each: signal.getsignal(each) for each in SIGNALS}
    former = {each: handler for each, handler in handlers.items() if handler is not signal.SIG_IGN}
    caught: list[int] = []
    repeated: list[threading.Timer] = []

    def stop(number: int, frame: FrameType | None) -> None:
        for each in former:
            signal.signal(each, signal.SIG_IGN)
        caught.append(number)
        raise Stopped(number)

    def unraisable(found: sys.UnraisableHookArgs) -> None:
        if isinstance(found.exc_value, Stopped):  # it met a destructor, as imports have many; a moment later
            signal.signal(caught[0], stop)
            repeated.append(threading.Timer(_MOMENT, os.kill, (os.getpid(), caught[0])))
            repeated[-1].start()
        else:
            hook(found)

    for each in former:
        signal.signal(each, stop)
    hook, sys.unraisablehook = sys.unraisablehook, unraisable
    try:
        yield caught
    finally:
        for timer in repeated:
            timer.cancel()
        if caught:
            folders.abandon()
        sys.unraisablehook = hook
        for each, handler in former.items():
            signal.signal(each, handler)
        if caught:  # whatever became of it on its way
            raise Stopped(caught[0]) from None


@contextmanager
def _unraisable_unsaid(call: Call) -> Iterator[None]:
    """What cannot be raised is not said either, unless to debug; HDF5 has such on a full disk."""
    hook = sys.unraisablehook
    if not call.debug:
        sys.unraisablehook = lambda _: None
    try:
        yield
    finally:
        sys.unraisablehook = hook


def share_memory() -> None:
    """Have all threads take memory from one place, and find there what others gave back.

    The GNU C library gives each thread a place of its own. How much a run took at most then varied by a tenth
    from run to run, and now by a hundredth.
    """
    if sys.platform == "linux":
        with suppress(AttributeError):  # another C library
            ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)


def watch() -> None:
    """End the process soon after a signal, even if its threads or its main thread's C code go on and on."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback before and after the command
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    # Python writes there at once when a signal comes, whatever its main thread does.
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader, writer), name="xgrad-watch", daemon=True).start()


def _watch(reader: socket.socket, writer: socket.socket) -> None:
    """Wait for a signal, give the main thread its time, and end the process in its stead."""
    while (number := reader.recv(1)[0]) not in SIGNALS:
        pass
    time.sleep(GRACE)
    folders.abandon()
    with suppress(OSError):
        if select.select([], [2], [], 0)[1]:  # a full pipe must not keep us
            os.write(2, f"xgrad: {_stopped(number)}\n".encode())
    os._exit(128 + number)


@contextmanager
def _warnings_said(call: Call) -> Iterator[None]:
    """Warnings as lines like all other messages, each said once."""
    said: set[str] = set()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if str(message) not in said:
            said.add(str(message))
            call.note(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


class _Notes(logging.Handler):
    """The log as lines like all other messages; what is decided twice is said once."""

    def __init__(self, call: Call) -> None:
        super().__init__()
        self._call = call
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text not in self._said:
            self._said.add(text)
            self._call.note(text)


@contextmanager
def _log_said(call: Call) -> Iterator[None]:
    """What xgrad writes to its log, on stderr: above all what is left out."""
    log, notes = logging.getLogger("xgrad"), _Notes(call)
    level = log.level
    log.addHandler(notes)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(level)
        log.removeHandler(notes)
