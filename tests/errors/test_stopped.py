"""Ctrl-C, SIGTERM and SIGHUP at any instant: one line, the signal's exit code, and nothing left behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.errors import models as m
from tests.errors.cases import Command, Place, contents, make_place
from tests.errors.test_no_harm import ROOT
from tinygen import stop

#: What `main` does first; what Python itself does before it (some 20 ms) is not ours.
START = "import os; from tinygen import stop; stop.install(); os.write(1, b'!'); from tinygen.cli import main; main()"
LINE = "stopped: what was begun is cleared away.\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return make_place(tmp_path, monkeypatch)


def begin(command: Command) -> subprocess.Popen[bytes]:
    """The command as a process that has just reached its first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", START, *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.read(1) == b"!"
    return process


def still_there(place: Place) -> list[str]:
    """Command lines of living processes that were given this place's folder for temporary files."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"TMPDIR={place.folder}/tmp".encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:  # gone, or not ours to read
            continue
    return found


def orphans(place: Place) -> list[str]:
    """Those that still live after some time: who was killed takes a moment to die."""
    for _ in range(100):
        if not (found := still_there(place)):
            return []
        time.sleep(0.02)
    return found


def stop_often(place: Place, command: Command, count: int, seed: int) -> Counter[str]:
    """Stop a command at random instants; a count of how it ended."""
    rng = random.Random(seed)
    start = time.monotonic()
    process = begin(command)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    whole = time.monotonic() - start
    new = contents(place.folder)
    ended: Counter[str] = Counter()
    for i in range(count):
        number = stop.SIGNALS[i % len(stop.SIGNALS)]
        other = place.build(place.model(m.dense(layer=f"/layer{i}"), "other.onnx"), "--name", "net", verify="board")
        ours, start = begin(other), time.monotonic()
        time.sleep(rng.random() * whole)
        ours.send_signal(number)
        out, err = ours.communicate(timeout=300)
        text = err.decode()
        assert "Traceback" not in text, text
        assert orphans(place) == []
        after = contents(place.folder)
        after.pop("other.onnx")
        if ours.returncode == 0:
            ended["finished"] += 1
            whole = min(whole, time.monotonic() - start)  # another one was slower because the computer was busy
        else:
            assert ours.returncode == 128 + number, text
            assert text.endswith(LINE)
            assert not out
            ended["stopped" if after == new else "stopped after the swap"] += 1
        if after != new:
            changed = {k.split("/")[0] for k in after.keys() | new.keys() if after.get(k) != new.get(k)}
            assert changed == {"out"}, sorted(after.keys() ^ new.keys())
            assert f"/layer{i}" in (place.out / "plan.json").read_text()
            assert not [k for k in after if ".tinygen-" in k]
            new = after
    return ended


@pytest.mark.parametrize("count", [10, pytest.param(300, marks=pytest.mark.slow)])
def test_a_build_stopped_at_any_instant(place: Place, require_tool: Callable[[str], None], count: int) -> None:
    for tool in ("gcc", "arm-none-eabi-gcc", "qemu-system-arm"):
        require_tool(tool)
    ended = stop_often(place, place.build(place.model(), verify="board"), count, seed=count)
    print(dict(ended))
    assert ended["stopped"] >= count // 4


def test_stopped_again_and_again(place: Place) -> None:
    """Impatience changes nothing."""
    process = begin(place.build(place.model()))
    time.sleep(0.3)
    for _ in range(20):
        process.send_signal(signal.SIGINT)
        time.sleep(0.002)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.decode() == LINE


def test_a_terminal_gets_its_cursor_back(place: Place) -> None:
    """Ctrl-C on a real terminal, where bars are shown."""
    pid, terminal = os.forkpty()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", START, *place.build(place.model())])
    said = b""
    deadline = time.monotonic() + 60
    while b"calibrating" not in said and b"Wrote" not in said:
        assert time.monotonic() < deadline
        said += os.read(terminal, 4096)
    os.write(terminal, b"\x03")
    while True:
        try:
            data = os.read(terminal, 4096)
        except OSError:  # closed at the other end
            break
        if not data:
            break
        said += data
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) in (0, 130)
    assert b"Traceback" not in said
    assert said.count(b"\x1b[?25l") <= said.count(b"\x1b[?25h")


def test_a_search_by_several_processes(place: Place) -> None:
    """The terminal's Ctrl-C goes to all of them: one line, no traceback of a worker, no worker left."""
    pytest.importorskip("optuna")
    digits = ROOT / "examples" / "digits"
    process = subprocess.Popen(
        [sys.executable, "-c", START, "fit", str(digits / "digits.onnx"), "--data", str(digits / "digits_calib.npz"),
         "--board", "nucleo_f446re", "--trials", "1000", "--epochs", "0", "--jobs", "2", "-o", str(place.out)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while len(still_there(place)) < 4:  # ours, two workers, and multiprocessing's own
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    time.sleep(random.Random(1).random())
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in err
    assert err.decode().splitlines()[-1].startswith("stopped: the trials so far are kept on sqlite:///")
    assert orphans(place) == []
    assert not list((place.folder / "tmp").iterdir())


UNSEEN = """
import signal, threading, time
from tinygen import stop
stop.install("all of it.")
def other():
    time.sleep(0.3)
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)
threading.Thread(target=other, daemon=True).start()
lock = threading.Lock()
lock.acquire()
lock.acquire()
"""


def test_a_signal_that_the_main_thread_does_not_see_is_sent_again() -> None:
    """As when it comes in the moment between looking for signals and waiting for a lock."""
    done = subprocess.run([sys.executable, "-c", UNSEEN], capture_output=True, text=True, timeout=30)
    assert done.returncode == 130
    assert done.stderr == "stopped: all of it.\n"
