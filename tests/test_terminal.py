"""Every line of the documentation that calls xgrad, run by a shell in a terminal.

A process that has imported everything forks for each call, so that hundreds of them take seconds. It lends
nothing to them but its imports: they have the terminal, the folder and the environment of their caller. That
the installed command does the same is tested too.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import iris_sample_data
import numpy as np
import pytest
import xarray as xr

import xgrad
from xgrad.cli import completing
from xgrad.cli.commands import command

fcntl = pytest.importorskip("fcntl")
pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = 80
# Suffix of the command, and what follows it.
VARIANTS = {
    "plain": ("", None),
    "cat": ("", "| cat | tee .stdout"),
    "null": ("2>/dev/null", ""),
    "both": ("2>&1", "| cat"),
}
SCHEDULER = re.compile(r"tcp://[^ ]+:8786")

SERVER = """
import json, os, socket, sys
import cf_xarray, distributed, h5netcdf, isal.isal_zlib, pyproj, zarr
import xgrad.cli

path, folder, source = sys.argv[1:]
# What is compiled and imported once serves all. Not Zarr, whose thread would not be there after a fork.
for arguments in (["-d", "lat"], ["-d", "lat,lon", "--geometry", "auto"], ["-d", "time"]):
    call = ["compute", source, "-o", f"{folder}/warm.nc", "--overwrite", *arguments]
    assert xgrad.cli.run(call) == 0

def serve(caller):
    message, inherited, _, _ = socket.recv_fds(caller, 1 << 20, 3)
    asked = json.loads(message)
    child = os.fork()
    if child:
        caller.send(bytes([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]))
        os._exit(0)
    for number, descriptor in enumerate(inherited):
        os.dup2(descriptor, number)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = ["xgrad", *asked["arguments"]]
    sys.stdout = open(1, "w", closefd=False)
    sys.stderr = open(2, "w", buffering=1, closefd=False)
    xgrad.cli.main()

with socket.socket(socket.AF_UNIX) as server:
    server.bind(path)
    server.listen()
    while True:
        caller, _ = server.accept()
        if os.fork() == 0:
            serve(caller)
        caller.close()
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
"""

CALLER = """
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({path!r})
    asked = dict(arguments=sys.argv[1:], folder=os.getcwd(), environment=dict(os.environ))
    socket.send_fds(server, [json.dumps(asked).encode()], [0, 1, 2])
    answer = server.recv(1)
sys.exit(answer[0] if answer else 99)
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory, files) -> Iterator[Path]:
    """A folder with a command `xgrad` that a process stands by to run."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "server.py").write_text(SERVER)
    caller = folder / "xgrad"
    path = os.fspath(folder / "s")
    caller.write_text(f"#!{sys.executable} -IS\n{CALLER.format(path=path)}")
    caller.chmod(0o755)
    (folder / "python").symlink_to(sys.executable)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, folder / "server.py", path, folder, files / "in.nc"]
    with subprocess.Popen(arguments, env=environment) as server:
        while not os.path.exists(path):
            assert server.poll() is None
            time.sleep(0.02)
        yield folder
        server.terminate()


def sst(year: int) -> xr.Dataset:
    """A year of a small sea surface."""
    shape = (12, 6, 8)
    values = np.random.default_rng(year).normal(290, 5, shape).astype("f4")
    return xr.Dataset(
        {"sst": (("time", "lat", "lon"), values, {"units": "K"})},
        {
            "time": xr.date_range(f"{year}-01-01", periods=12, freq="MS"),
            "lat": ("lat", np.linspace(-50, 50, 6), {"units": "degrees_north"}),
            "lon": ("lon", np.arange(0.0, 360.0, 45), {"units": "degrees_east"}),
        },
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """The files of which the documentation speaks."""
    folder = tmp_path_factory.mktemp("files")
    for year in (2001, 2002):
        sst(year).to_netcdf(folder / f"{year}.nc")
    for copy in ("in.nc", "era5.nc"):
        shutil.copy(folder / "2001.nc", folder / copy)
    for name, copy in (
        ("orca2_votemper", "ocean"),
        ("hybrid_height", "levels"),
        ("A1B_north_america", "air"),
    ):
        shutil.copy(Path(iris_sample_data.path) / f"{name}.nc", folder / f"{copy}.nc")
    (folder / ".config" / "fish" / "completions").mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """The address of a cluster on this machine, which stands in for those of the documentation."""
    import distributed

    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, protocol="tcp", dashboard_address=":0"
    ) as cluster:
        yield cluster.scheduler_address


class Screen(NamedTuple):
    """What a terminal got, and how the command in it ended."""

    text: str
    code: int


def terminal(line: str, folder: Path, programs: Path, **environment: str) -> Screen:
    """Run a line in a shell that has a terminal; `.status` holds the exit code of the command itself."""
    ours, theirs = os.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    kept = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    kept |= {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder), "TERM": "xterm"}
    # A leader of a session that opens a terminal gets it for its own.
    script = f"exec <>{os.ttyname(theirs)} >&0 2>&1\n{line}"
    got = b""
    with subprocess.Popen(
        ["/bin/sh", "-c", script],
        cwd=folder,
        env=kept | environment,
        start_new_session=True,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as shell:
        os.close(theirs)
        until = time.monotonic() + 120
        while time.monotonic() < until and select.select([ours], [], [], 120)[0]:
            try:
                part = os.read(ours, 1 << 16)
            except OSError:  # everyone who wrote there has ended
                break
            if not part:
                break
            got += part
    os.close(ours)
    return Screen(got.decode().replace("\r\n", "\n"), shell.returncode)


# What the documentation says


def fences(page: str) -> Iterator[str]:
    """The blocks of code of a page that are no Python."""
    for kind, text in re.findall(r"^```([^\n]*)\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        if "python" not in kind or text.lstrip().startswith("%%bash"):
            yield text


def calls(text: str) -> Iterator[str]:
    """The lines that call xgrad."""
    for line in text.replace("\\\n", " ").splitlines():
        if inner := re.search(r"\$\((xgrad [^)]*)\)", line):
            yield inner[1]
        elif re.match(r"\s*(\$ )?xgrad ", line):
            yield re.sub(r"\s+#.*", "", line.strip().removeprefix("$ "))


def helped() -> str:
    """All texts of --help."""
    with command.make_context("xgrad", [], resilient_parsing=True) as context:
        return command.get_help(context)


PAGES = {
    str(path.relative_to(ROOT)): [line for block in fences(path.read_text()) for line in calls(block)]
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if "_build" not in path.parts
}
PAGES["--help"] = list(calls(helped()))
PAGES = {name: lines for name, lines in PAGES.items() if lines}


def test_lines_are_found():
    assert {"README.md", "docs/how-to/command-line.md", "docs/how-to/out-of-core.md", "--help"} <= set(PAGES)
    assert len(PAGES["--help"]) >= 3
    said = " ".join(line for lines in PAGES.values() for line in lines)
    for option in ("--plan", "--json", "--memory", "--resume", "--scheduler", "--geometry", "--complevel"):
        assert option in said, option


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("page", PAGES)
def test_documented_lines(page, variant, files, programs, tmp_path, request):
    folder = tmp_path / "folder"
    shutil.copytree(files, folder)
    if page.endswith("command-line.md"):
        shutil.copy(folder / "air.nc", folder / "in.nc")
    for line in PAGES[page]:
        if SCHEDULER.search(line):
            line = SCHEDULER.sub(request.getfixturevalue("scheduler"), line)
        check(line, variant, folder, programs)
    assert not [path for path in folder.iterdir() if ".xgrad-" in path.name]


def check(line: str, variant: str, folder: Path, programs: Path) -> None:
    """Run a line as it is or in a pipe, and look at all that it leaves on the screen."""
    head, separator, rest = re.fullmatch(r"(.*?)(?:( \|\| | \| | > )(.*))?", line).groups(default="")
    suffix, pipe = VARIANTS[variant]
    tail = f"{separator}{rest}" if pipe is None else pipe
    if variant == "null" and "||" in separator:
        tail = "|| true"
    screen = terminal(
        f"{{ {head} {suffix}; code=$?; echo $code >.status; (exit $code); }} {tail}", folder, programs
    )
    code = int((folder / ".status").read_text())
    context = f"{line!r} as {variant}: {screen}"
    assert (code != 0) == ("||" in separator), context
    assert code in (0, 2, 3, 4, 5, 6, 7), context
    assert screen.code == 0, context

    computes = head.startswith("xgrad compute") and not re.search(r"--(plan|json|quiet)\b| -q\b", head)
    if variant == "null":  # stdout alone
        assert bool(screen.text) == (code == 0 and not computes), context
        if "--json" in head:
            for text in screen.text.splitlines():
                json.loads(text)
    else:
        if variant == "cat":
            assert bool((folder / ".stdout").read_text()) == (code == 0 and not computes), context
        drawn = re.search(r"\r\[#+ *\] ", screen.text) is not None
        assert drawn == (computes and code == 0 and variant != "both"), context
        assert ("error: " in screen.text) == (code != 0), context
    if variant == "both":
        assert "\r" not in screen.text, context
    for text in screen.text.split("\n"):
        if "\r[" in text:
            assert max(map(len, text.split("\r"))) < COLUMNS, context
    assert "\x1b" not in screen.text, context
    assert "Traceback" not in screen.text, context


# The command itself


@pytest.fixture
def installed() -> Path:
    """The folder of the command as it is installed."""
    folder = Path(sys.executable).parent
    if not (folder / "xgrad").exists():
        pytest.skip("xgrad is not installed beside Python")
    return folder


def test_installed_command(files, installed, programs, tmp_path):
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    lines = ["xgrad compute in.nc -o {}.nc -d lat --chunks time:1", "xgrad compute in.nc -o in.nc -d lat"]
    for line in lines:
        own = terminal(line.format("own"), tmp_path, installed)
        other = terminal(line.format("other"), tmp_path, programs)
        assert own.code == other.code
        words = [re.sub(r"\d[\d.:]* [kM]?B/s, \d:\d\d", "", text.split("\r")[-1]) for text, _ in (own, other)]
        assert words[0] == words[1]
    with xr.open_dataset(tmp_path / "own.nc") as one, xr.open_dataset(tmp_path / "other.nc") as two:
        xr.testing.assert_equal(one, two)


def test_narrow_terminal(files, programs, tmp_path):
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    for columns in (10, 30, 200):
        line = f"xgrad compute in.nc -o {columns}.nc -d lat --chunks time:1"
        screen = terminal(line, tmp_path, programs, COLUMNS=str(columns))
        assert screen.code == 0
        drawn = screen.text.removesuffix("\n").split("\r")
        assert max(map(len, drawn)) < columns
        assert "100 %" in drawn[-1]


def test_messages_do_not_collide_with_the_bar(files, programs, tmp_path):
    with xr.open_dataset(files / "in.nc") as ds:
        ds["sst"].attrs["units"] = "furlongs per wink"
        ds.to_netcdf(tmp_path / "odd.nc")
    screen = terminal("xgrad compute odd.nc -o out.nc -d lat --chunks time:1", tmp_path, programs)
    assert screen.code == 0
    first, *_, last = screen.text.removesuffix("\n").split("\n")
    assert first.split("\r")[-1].startswith("xgrad: warning: units 'furlongs per wink'")
    assert "100 %" in last


SLOW = """
import time, numpy as np, xarray as xr, dask.array, xgrad
from xgrad.cli import main

def slowly(block):
    time.sleep(0.1)
    {}
    return block

def compute(ds, **options):
    data = dask.array.zeros((1000, 10), chunks=(1, 10)).map_blocks(slowly, meta=np.empty((0, 0)))
    return xr.Dataset({{"slow": (("x", "y"), data)}})

xgrad.compute = compute
main()
"""


def test_failing_run_leaves_the_cursor_on_a_new_line(files, tmp_path, installed):
    shutil.copy(files / "in.nc", tmp_path)
    (tmp_path / "slow.py").write_text(SLOW.format("raise MemoryError('of the test')"))
    line = f"PYTHONPATH={ROOT} {sys.executable} slow.py compute in.nc -o out.nc --chunks time:1"
    screen = terminal(line, tmp_path, installed)
    assert screen.code == 6
    *_, bar, message, end = screen.text.split("\n")
    assert "0 of 1000 blocks" in bar
    assert message == "xgrad: error: of the test"
    assert end == ""


def test_ctrl_c_at_the_terminal(files, tmp_path, installed):
    """The key, not the signal: the terminal sends it to all that run there."""
    shutil.copy(files / "in.nc", tmp_path)
    (tmp_path / "slow.py").write_text(
        SLOW.format("import os, signal; os.killpg(os.getpgrp(), signal.SIGINT)")
    )
    line = f"trap : INT; PYTHONPATH={ROOT} {sys.executable} slow.py compute in.nc -o out.nc; echo $? >.status"
    screen = terminal(line, tmp_path, installed)
    assert (tmp_path / ".status").read_text() == f"{128 + signal.SIGINT}\n"
    assert screen.text.endswith("\nxgrad: stopped by SIGINT\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".status", "in.nc", "slow.py"]


# Completion


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_completion_in_bash(files, programs, tmp_path):
    shutil.copy(files / "in.nc", tmp_path)
    script = r"""
        eval "$(xgrad completion bash)"
        compopt() { :; }  # it is for the line editor
        complete_it() {
            COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
            _xgrad_completion xgrad 2>&1
            echo "${COMPREPLY[*]}"
        }
        complete_it xgrad comp
        complete_it xgrad compute --mem
        complete_it xgrad compute in.nc -v ""
        complete_it xgrad compute in.nc -o out.nc --dims "time,l"
        complete_it xgrad compute none.nc -v ""
        complete_it xgrad compute --geometry cu
        complete_it xgrad compute --codec ""
        complete_it xgrad compute in.nc --codec = i
        complete_it xgrad compute in.nc --dims =
    """
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "completion compute",
        "--memory",
        "sst",
        "time,lat time,lon",
        "",
        "curvilinear",
        "isal zlib hdf5",
        "isal",
        "time lat lon",
    ]


@pytest.mark.parametrize(
    ("words", "word", "values"),
    [
        ("xgrad comp", "comp", ["completion", "compute"]),
        ("xgrad compute in.nc --dims time,l", "time,l", ["time,lat", "time,lon"]),
        ("xgrad compute in.nc --dims=time,l", "--dims=time,l", ["time,lat", "time,lon"]),
        ("xgrad compute in.nc --codec ", "", ["isal", "zlib", "hdf5"]),
    ],
)
def test_answers_for_zsh_and_fish(files, programs, words, word, values):
    """What their scripts get; what they make of it has been seen in zsh 5.9 and fish 3.6."""

    def answer(**variables: str) -> list[str]:
        done = subprocess.run(
            [programs / "xgrad"], cwd=files, env=os.environ | variables, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    zsh = answer(_XGRAD_COMPLETE="zsh_complete", COMP_WORDS=words, COMP_CWORD=str(words.count(" ")))
    assert list(zip(zsh[::3], zsh[1::3], strict=True)) == [("plain", value) for value in values]
    fish = answer(_XGRAD_COMPLETE="fish_complete", COMP_WORDS=words, COMP_CWORD=word)
    assert [line.split("\t")[0] for line in fish] == [f"plain,{value}" for value in values]


def test_scripts_for_zsh_and_fish():
    """What click's own got wrong: values behind an equals sign, with commas in them, and below "~"."""
    zsh = completing.script(command, "zsh")
    before, _, after = zsh.partition("[[ $PREFIX == --*=* ]] && compset -P 1 '*='\n")
    assert before.endswith("return 1\n\n    ")
    assert after.startswith("    response=(")
    assert "compadd -V unsorted -a completions\n" in after
    assert "-U -V" not in after
    fish = completing.script(command, "fish")
    assert "string split --max 1 , $answer" in fish
    assert "printf '%s\\n' \"$option$parts[2]\"" in fish
    assert "complete --do-complete \"'' $word\"" in fish
    assert fish.endswith('complete --no-files --command xgrad --arguments "(_xgrad_completion)"\n')


def test_version_of_the_command(programs, tmp_path):
    assert terminal("xgrad --version", tmp_path, programs) == (f"xgrad {xgrad.__version__}\n", 0)
