"""The command in children of a process that has imported everything: a trial takes a second, not three."""

from __future__ import annotations

import atexit
import mmap
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What a run does; the first is the fork, in which signals get lost.
PHASES = ("forking", "starting", "reading", "laying out", "writing", "publishing", "ending")


@dataclass
class Child:
    """A running `xgrad`."""

    pid: int
    stderr: Path
    memory: mmap.mmap
    began: float
    code: int | None = None
    seconds: float = 0.0  # from the signal that was to stop it to its end

    def poll(self) -> int | None:
        """Return the exit code if it has ended, negative for a signal."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def wait(self, seconds: float) -> int | None:
        """Wait for its end, but no longer than some seconds; return the exit code."""
        end = time.monotonic() + seconds
        while self.poll() is None and time.monotonic() < end:
            time.sleep(0.002)
        return self.code

    def finish(self, seconds: float = 120) -> int:
        """Wait for its end; it must come."""
        code = self.wait(seconds)
        if code is None:
            self.kill(signal.SIGKILL)
            self.wait(seconds)
            raise TimeoutError(f"xgrad has not ended within {seconds} s: {self.said()}")
        return code

    def kill(self, number: int) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def stop(self, number: int) -> None:
        """Send a signal, and wait for the end."""
        if self.poll() is None:
            self.kill(number)
            self.end(20)

    def end(self, seconds: float) -> None:
        """Wait for the end of what has been disturbed; what does not is killed, and has that exit code."""
        disturbed = time.monotonic()
        if self.wait(seconds) is None:
            self.kill(signal.SIGKILL)
            self.finish()
        self.seconds = time.monotonic() - disturbed

    def phase(self) -> str:
        """Return what it was doing last."""
        return PHASES[self.memory[0]]

    def said(self) -> str:
        """Return what it wrote to stderr."""
        return self.stderr.read_text(errors="replace")


def warm() -> None:
    """Import everything and compile the kernels, without a thread that a child would lack."""
    import distributed  # noqa: F401
    import h5netcdf  # noqa: F401
    import netCDF4  # noqa: F401
    import numpy as np
    import xarray as xr
    import zarr.storage  # noqa: F401

    import xgrad.cli

    field = xr.DataArray(np.ones((5, 6), np.float32), dims=("lat", "lon"))
    xgrad.compute(field.assign_coords(lat=np.arange(5.0), lon=np.arange(6.0)), ["lat", "lon"])
    if threading.active_count() > 1:
        raise RuntimeError(f"children would lack these threads: {threading.enumerate()}")


def start(arguments: Sequence[Any], stderr: Path, before: Callable[[], None] | None = None) -> Child:
    """Start `xgrad` with arguments.

    Parameters
    ----------
    arguments : sequence
        What comes after its name.
    stderr : pathlib.Path
        Where its messages go.
    before : callable, optional
        Called in the child.

    Returns
    -------
    Child
        The child.
    """
    memory = mmap.mmap(-1, 1)
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _be_xgrad([os.fspath(each) for each in arguments], stderr, memory, before)
    child = Child(pid, stderr, memory, began)
    while child.phase() == "forking" and child.poll() is None:
        time.sleep(0.001)
    return child


def spawn(command: Sequence[Any], output: Path) -> Child:
    """Start a process of its own, whose phases are not known."""
    began, words = time.monotonic(), [os.fspath(each) for each in command]
    to = [(os.POSIX_SPAWN_OPEN, 1, output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)]
    pid = os.posix_spawn(words[0], words, os.environ, file_actions=[*to, (os.POSIX_SPAWN_DUP2, 1, 2)])
    return Child(pid, output, mmap.mmap(-1, 1), began)


def apart(function: Callable[[], str]) -> str:
    """Return what a function says in a child: whatever a library leaves there is gone with it."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        try:
            said = function()
        except BaseException:
            said = traceback.format_exc()
        os.write(writer, said.encode()[:60_000])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        said = stream.read().decode()
    os.wait()
    return said


def _be_xgrad(
    arguments: list[str], stderr: Path, memory: mmap.mmap, before: Callable[[], None] | None
) -> None:
    """Become the command, which tells in which phase it is."""
    try:
        with open(os.devnull) as nothing, open(stderr, "wb") as messages:
            os.dup2(nothing.fileno(), 0)
            os.dup2(messages.fileno(), 1)
            os.dup2(messages.fileno(), 2)
        sys.stdin, sys.stdout, sys.stderr = os.fdopen(0, "r"), os.fdopen(1, "w"), os.fdopen(2, "w")
        atexit._clear()  # what would clean up after the parent
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        from xgrad import cli, storage
        from xgrad.storage import running, writing

        places = ((storage, "open"), (writing, "private_folder"), (running, "store"), (writing, "publish"))
        for phase, (module, name) in enumerate((*places, (cli, "end")), start=2):
            _mark(module, name, phase, memory)
        sys.argv = ["xgrad", *arguments]
        memory[0] = 1
        if before is not None:
            before()
        cli.main()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(99)


def _mark(module: Any, name: str, phase: int, memory: mmap.mmap) -> None:
    """Have a function tell that it was called."""
    function = getattr(module, name)

    def call(*args: Any, **options: Any) -> Any:
        memory[0] = max(phase, memory[0])
        return function(*args, **options)

    setattr(module, name, call)
