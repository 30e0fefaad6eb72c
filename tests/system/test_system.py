"""tinygen/system.py where it is not Linux: locks of bytes, stops without pthread_kill, Windows' processes, places."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_process import dead, wait_for
from tinygen import system
from tinygen.build import discover, process
from tinygen.build.toolchain import find_host, find_toolchain
from tinygen.errors import ToolError
from tinygen.files import work_folder
from tinygen.profile.counter import plugin
from tinygen.targets.cores import get_core

ROOT = Path(__file__).resolve().parents[2]


def begin(code: str, place: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(place / "cache"), "TMPDIR": str(place)}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=place, env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


# -- stopped -----------------------------------------------------------------------------------------------------------

STOPPED = """
import sys
from tests.system import elsewhere
elsewhere.strip(*sys.argv[2:])
from tinygen import stop, system
from tinygen.build.process import run
from tinygen.files import work_folder
assert not system.WAKES_MAIN_THREAD
stop.install()
with work_folder() as folder:
    run(("sh", "-c", f"echo $$ {folder} > {sys.argv[1]}; exec sleep 300"), folder, 60.0)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("more", [(), ("set_wakeup_fd",)], ids=["told", "deaf"])
def test_a_stop_ends_the_command_and_clears_the_folder(tmp_path: Path, number: int, more: tuple[str, ...]) -> None:
    started = begin(STOPPED, tmp_path, str(tmp_path / "pids"), *more)
    child, folder = wait_for(tmp_path / "pids").split()
    started.send_signal(number)
    _, said = started.communicate(timeout=20)
    assert said == "stopped: what was begun is cleared away.\n"
    assert started.returncode == 128 + number
    assert dead(child)
    assert not Path(folder).exists()


WAITS = """
import signal, sys, threading, time
from tests.system import elsewhere
elsewhere.strip()
from tinygen import stop
stop.install("all of it.")
if sys.argv[1] == "held":  # the signal comes in a block that must not be cut in two, in another thread
    def other():
        with stop.hold():
            signal.raise_signal(signal.SIGINT)
            time.sleep(1.0)
            print("whole", flush=True)
else:
    def other():
        time.sleep(0.3)
        signal.raise_signal(signal.SIGINT)
threading.Thread(target=other, daemon=True).start()
lock = threading.Lock()
lock.acquire()
lock.acquire()  # on Windows nothing ends this
"""


@pytest.mark.parametrize("how", ["free", "held"])
def test_a_stop_while_the_main_thread_waits_for_a_lock(tmp_path: Path, how: str) -> None:
    started = begin(WAITS, tmp_path, how)
    out, said = started.communicate(timeout=20)
    assert (started.returncode, said) == (130, "stopped: all of it.\n")
    assert out == ("whole\n" if how == "held" else "")


# -- locks -------------------------------------------------------------------------------------------------------------

LOCKS = """
import sys
from pathlib import Path
from tests.system import elsewhere
elsewhere.windows()
from tinygen.system import Lock
locks = {}
for line in sys.stdin:
    verb, name = line.split()
    if verb == "close":
        locks.pop(name).close()
        print("closed", flush=True)
    else:
        if name not in locks:
            locks[name] = Lock(Path(name))
        print(locks[name].take(shared=verb == "shared", wait=verb == "wait"), flush=True)
"""


class Other:
    """A process that takes locks as Windows has them."""

    def __init__(self, place: Path) -> None:
        self._process = begin(LOCKS, place)

    def say(self, words: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(words + "\n")
        self._process.stdin.flush()

    def hear(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def ask(self, words: str) -> str:
        self.say(words)
        return self.hear()

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


def test_locks_of_bytes(tmp_path: Path) -> None:
    """As flock: of a folder, whatever it is called; alone or shared; gone with their process."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    a, b = Other(tmp_path), Other(tmp_path)
    try:
        assert a.ask("alone folder") == "True"
        assert b.ask("alone folder") == "False"
        assert b.ask("shared link") == "False"  # the same folder
        assert a.ask("close folder") == "closed"
        assert b.ask("shared folder") == "True"
        assert a.ask("shared folder") == "True"
        assert a.ask("close folder") == "closed"
        assert a.ask("alone folder") == "False"
        a.say("wait folder")
        time.sleep(0.2)
        b.kill()
        assert a.hear() == "True"
        (tmp_path / "folder").rename(tmp_path / "moved")  # nobody has it open
        assert len(list((tmp_path / "cache" / "tinygen" / "locks").iterdir())) == 1
        assert a.ask("close folder") == "closed"
        assert not list((tmp_path / "cache" / "tinygen" / "locks").iterdir())
    finally:
        a.kill()
        b.kill()


def test_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "_fcntl", None)
    lock = system.Lock(tmp_path)
    assert lock.take() is None
    lock.close()
    with pytest.raises(FileNotFoundError):
        system.Lock(tmp_path / "no")


# -- what Windows does, by stand-ins -----------------------------------------------------------------------------------


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "WINDOWS", True)
    monkeypatch.setattr(system, "_GROUPS", False)


@pytest.mark.usefixtures("windows")
def test_children_are_ended_by_taskkill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the process still there, whose children are found by it; not for a process that has ended."""
    script = f"echo $* >> {tmp_path}/asked; kill -9 $4 $(cat /proc/$4/task/$4/children)"
    (tmp_path / "taskkill").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "taskkill").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    started = subprocess.Popen(("sh", "-c", "sleep 300 & echo $!; wait"), stdout=subprocess.PIPE)
    assert started.stdout is not None
    child = started.stdout.readline().decode()
    assert system.group_options() == {"creationflags": 0x200}
    system.kill_group(started)
    assert started.wait(5) == -signal.SIGKILL
    assert dead(child)
    system.kill_group(started)
    assert (tmp_path / "asked").read_text() == f"/F /T /PID {started.pid}\n"


@pytest.mark.usefixtures("windows")
def test_without_taskkill_the_process_itself_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = subprocess.Popen(("sleep", "300"))
    monkeypatch.setenv("PATH", str(tmp_path))
    system.kill_group(started)
    assert started.wait(5) == -signal.SIGKILL


@pytest.mark.usefixtures("windows")
def test_nobody_is_killed_by_a_question() -> None:
    """os.kill(pid, 0) is Ctrl-C there."""
    started = subprocess.Popen(("sleep", "300"))
    assert system.alive(started.pid) is None
    assert system.alive(os.getpid()) is True
    assert started.poll() is None
    started.kill()
    started.wait()


def test_who_is_alive_here() -> None:
    started = subprocess.Popen(("sleep", "300"))
    assert system.alive(started.pid) is True
    started.kill()
    started.wait()
    assert system.alive(started.pid) is False


@pytest.mark.usefixtures("windows")
def test_disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder cannot be opened; a file is replaced and a folder is not; what somebody looks at is tried again."""
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "old").write_bytes(b"old")
    (tmp_path / "folder").mkdir()
    (tmp_path / "other").mkdir()
    real_open, real_rename = os.open, Path.rename
    flags: list[int] = []
    refused = 3

    def open_file(path: Any, flag: int) -> int:
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, "Permission denied")
        flags.append(flag)
        return real_open(path, flag)

    def rename(source: Path, target: Path) -> Path:
        nonlocal refused
        if refused:
            refused -= 1
            raise PermissionError(errno.EACCES, "Permission denied")
        if target.exists():
            raise FileExistsError(errno.EEXIST, "File exists")
        return real_rename(source, target)

    monkeypatch.setattr(os, "open", open_file)
    monkeypatch.setattr(Path, "rename", rename)
    system.sync(tmp_path)
    system.sync(tmp_path / "new")
    assert flags == [os.O_RDWR]
    system.rename(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old").read_bytes() == b"new"
    with pytest.raises(FileExistsError):
        system.rename(tmp_path / "folder", tmp_path / "other")
    assert refused == 0
    system.rename(tmp_path / "folder", tmp_path / "moved")
    refused = 1000
    with pytest.raises(PermissionError):
        system.rename(tmp_path / "moved", tmp_path / "again")


@pytest.mark.parametrize("refused", [False, True])
def test_on_a_mac_the_drive_is_asked_to_sync_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    asked: list[int] = []

    def control(number: int, command: int) -> None:
        asked.append(command)
        if refused:
            raise OSError(errno.ENOTSUP, "Operation not supported")

    synced: list[int] = []
    monkeypatch.setattr(system, "_fcntl", types.SimpleNamespace(F_FULLFSYNC=51, fcntl=control))
    monkeypatch.setattr(os, "fsync", synced.append)
    system.sync(tmp_path)
    assert asked == [51]
    assert len(synced) == refused


def test_lines_end_in_one_character(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = ("printf", "a\\r\\nb\\n")
    assert process.run(script, tmp_path, 9.0).stdout == "a\r\nb\n"
    monkeypatch.setattr(system, "WINDOWS", True)
    assert system.text(b"a\r\nb\n") == "a\nb\n"


# -- places and streams ------------------------------------------------------------------------------------------------


def test_where_caches_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert system.cache_home() == Path("/x")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert system.cache_home() == Path("/home/me/.cache")
    monkeypatch.setattr(system, "MACOS", True)
    assert system.cache_home() == Path("/home/me/Library/Caches")
    monkeypatch.setattr(system, "WINDOWS", True)
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    assert system.cache_home() == Path("/home/me/AppData/Local")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert system.cache_home() == Path("/local")


def test_compilers_are_told_where_to_put_what_they_make(monkeypatch: pytest.MonkeyPatch) -> None:
    assert process.with_temporary(Path("/t"))["TMPDIR"] == "/t"
    monkeypatch.setattr(system, "TEMPORARY", ("TMP", "TEMP"))
    assert {process.with_temporary(Path("/t"))[name] for name in ("TMP", "TEMP")} == {"/t"}


def test_what_a_pipe_cannot_encode(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe on Windows takes the characters of one code page."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="cp1252"))
    monkeypatch.setattr(sys, "stderr", None)  # as pythonw has it
    system.show_what_cannot_be_encoded()
    print("±ネ", flush=True)
    assert raw.getvalue() == b"\xb1\\u30cd\n"


def test_programs_for_windows_have_no_weak_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The linker would not find them; firmware keeps its own."""
    monkeypatch.setattr(system, "HOST_CFLAGS", ("-Dweak=unused",))
    monkeypatch.setattr(discover, "find", lambda tool: ("cc",))
    assert find_host().cflags[-1] == "-Dweak=unused"
    assert "-Dweak=unused" not in find_toolchain(get_core("cortex-m4")).cflags


def test_counting_on_windows_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "PLUGIN_FLAGS", None)
    with pytest.raises(ToolError, match=r"instructions cannot be counted there\. Profile the folder in WSL"):
        plugin()


def test_a_thread_that_reads_a_pipe_ends_with_it(tmp_path: Path) -> None:
    """And closes it: a build runs hundreds of commands."""
    before = len(os.listdir("/proc/self/fd"))
    with work_folder() as folder:
        for _ in range(20):
            process.run(("sh", "-c", "echo x; echo y >&2"), folder, 9.0)
    assert len(os.listdir("/proc/self/fd")) <= before + 2
