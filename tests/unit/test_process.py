"""Commands that hang, flood, do not listen, or leave a child behind: each ends, in time, with a message that helps."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tinygen.build import process
from tinygen.build.process import MAX_OUTPUT, SETTINGS, run
from tinygen.errors import ToolError


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(SETTINGS, "tell", lines.append)
    return lines


def sh(script: str, folder: Path, timeout: float = 30.0) -> process.RunResult:
    return run(("sh", "-c", script), folder, timeout, doing="compiling x.c")


def dead(pid: str) -> bool:
    """Gone within some seconds, or a zombie that nobody here can bury."""
    for _ in range(500):
        try:
            if Path(f"/proc/{int(pid)}/stat").read_text().split()[2] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


def wait_for(what: Path) -> str:
    end = time.monotonic() + 20
    while not what.is_file() or not what.read_text().endswith("\n"):
        assert time.monotonic() < end
        time.sleep(0.01)
    return what.read_text()


def test_a_result(tmp_path: Path) -> None:
    done = sh("echo out; echo err >&2; exit 3", tmp_path)
    assert done == process.RunResult(3, "out\n", "err\n")
    assert run(("sh", "-c", "echo out; echo err >&2"), tmp_path, 9.0, merge=True) == (
        process.RunResult(0, "out\nerr\n", "")
    )
    assert sh("kill -9 $$", tmp_path).exit_code == -signal.SIGKILL
    assert sh("exec >&- 2>&-; sleep 0.3; exit 4", tmp_path).exit_code == 4  # silent, but not at its end


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("echo hello; sleep 300", id="sleeps"),
        pytest.param("trap '' TERM INT HUP; echo hello; while :; do sleep 1; done", id="does not listen"),
        pytest.param("echo hello; exec >&- 2>&-; sleep 300", id="closes its streams"),
        pytest.param("echo hello; sleep 300 & echo $! > child; wait", id="waits for a child"),
    ],
)
def test_what_hangs_is_ended_and_named(script: str, tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(ToolError, match=r"sh did not end within 1 s \(compiling x.c\)") as error:
        sh(script, tmp_path, 1.0)
    assert time.monotonic() - start < 10
    assert "hello" in str(error.value)
    assert "--tool-timeout" in str(error.value)
    assert "TINYGEN_TOOL_TIMEOUT" in str(error.value)
    child = tmp_path / "child"
    assert not child.exists() or dead(child.read_text())


def test_the_users_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SETTINGS, "limit", 0.5)
    with pytest.raises(ToolError, match=r"within 0\.5 s"):
        sh("sleep 300", tmp_path)
    monkeypatch.setattr(SETTINGS, "limit", 30.0)
    assert sh("sleep 0.3", tmp_path, 0.1).exit_code == 0


def test_a_sign_of_life_now_and_then(tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "QUIET_S", 0.2)
    sh("sleep 1.2", tmp_path, 30.0)
    assert 2 <= len(told) <= 3  # after 0.2, 0.4 and 0.8 s
    assert all("sh (compiling x.c) runs for" in line and "at most 30" in line for line in told)
    told.clear()
    sh("echo quick", tmp_path)
    assert not told


@pytest.mark.parametrize("where", ["", " >&2"])
def test_a_flood_is_bounded(where: str, tmp_path: Path) -> None:
    script = f"while :; do echo {'x' * 4000}{where}; done"
    with pytest.raises(ToolError, match=r"sh wrote more than 16 MiB of text and was ended \(compiling x.c\)") as error:
        sh(script, tmp_path)
    assert len(str(error.value)) < 2000
    assert len(sh(f"head -c {MAX_OUTPUT // 2} /dev/zero", tmp_path).stdout) == MAX_OUTPUT // 2


def test_a_child_that_holds_the_pipe_open(tmp_path: Path) -> None:
    start = time.monotonic()
    done = sh("sleep 300 & echo $! > child; echo done", tmp_path)
    assert done == process.RunResult(0, "done\n", "")
    assert time.monotonic() - start < 10
    assert dead((tmp_path / "child").read_text())


def test_what_a_child_says_last_is_heard(tmp_path: Path) -> None:
    assert sh("(sleep 0.3; echo late) & echo first", tmp_path).stdout == "first\nlate\n"


@pytest.mark.skipif(sys.platform != "linux", reason="needs prlimit")
def test_nothing_computes_for_ever_if_we_are_killed(tmp_path: Path) -> None:
    assert sh("sleep 0.5; ulimit -t", tmp_path, 30.0).stdout == "250\n"


def test_no_such_program(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="no-such-program cannot be started"):
        run(("no-such-program",), tmp_path, 1.0)


STOPPED = """
import sys
from tinygen import stop
from tinygen.build.process import run
from tinygen.files import work_folder
stop.install()
with work_folder() as folder:
    script = f"trap '' TERM INT; sleep 300 & echo $$ $! {folder} > {sys.argv[1]}; wait"
    run(("sh", "-c", script), folder, 60.0)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_ends_the_group_and_clears_the_folder(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", STOPPED, str(tmp_path / "pids")]
    started = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    first, second, folder = wait_for(tmp_path / "pids").split()
    assert Path(folder).is_dir()
    started.send_signal(number)
    _, said = started.communicate(timeout=20)
    assert started.returncode == 128 + number
    assert said == "stopped: what was begun is cleared away.\n"
    assert dead(first)
    assert dead(second)
    assert not Path(folder).exists()


def test_ignored_signals_stay_ignored() -> None:
    """nohup, and the `&` of a script."""
    code = "import os\nfrom tinygen import stop\nstop.install()\nfor n in stop.SIGNALS[::2]: os.kill(os.getpid(), n)"
    ignore = lambda: [signal.signal(n, signal.SIG_IGN) for n in (signal.SIGINT, signal.SIGHUP)]  # noqa: E731
    assert subprocess.run([sys.executable, "-c", code], preexec_fn=ignore, check=False).returncode == 0
