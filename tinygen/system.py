"""All that differs between operating systems: signals, process groups, locks, disks, places and streams.

The only file that asks which system this is, and the only one that names what not every system has. What is missing is
missing when it is used, not when tinygen is imported, and each function says what is done without it. Linux is what
the tests run on; the other branches are tested with the names taken away, and with stand-ins for Windows' own.
"""

from __future__ import annotations

import errno
import importlib
import io
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from subprocess import Popen

WINDOWS = os.name == "nt"
MACOS = sys.platform == "darwin"
NAME = "windows" if WINDOWS else "macos" if MACOS else "linux"  # the last is also what is like it


def _module(name: str) -> Any:
    """A module of the standard library, None where Python does not have it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


_fcntl, _msvcrt, _resource = _module("fcntl"), _module("msvcrt"), _module("resource")
#: The same modules as `os` and `signal`, for what mypy knows not to be there on every system (`make lint` asks it).
_os: Any = os
_signal: Any = signal

# -- signals ---------------------------------------------------------------------------------------------------------

#: What ends a command from outside: Ctrl-C, `kill`, a closed terminal; on Windows Ctrl-Break and a closed window.
SIGNALS: tuple[signal.Signals, ...] = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)

#: Whether a signal can be sent to the main thread itself, which then stops waiting for a lock. Not on Windows.
WAKES_MAIN_THREAD = hasattr(signal, "pthread_kill")


def send_to_main_thread(number: int) -> None:
    """Have the signal's handler run in the main thread: at once, or when it next runs Python where it is not woken."""
    if WAKES_MAIN_THREAD:
        _signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        signal.raise_signal(number)


def listener() -> Callable[[], int] | None:
    """A function that waits, in whatever thread, until a signal comes, and returns it; None where nobody can tell."""
    if not hasattr(signal, "set_wakeup_fd"):
        return None
    read, write = os.pipe()
    if hasattr(os, "set_blocking"):  # Windows before Python 3.12 has no such pipes, and asks for none
        os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))
    return lambda: os.read(read, 1)[0]


@contextmanager
def left_out() -> Iterator[None]:
    """Processes started in this block do not get the terminal's Ctrl-C: we end them. On Windows they do get it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # it lets SIGINT through again where it is started; Windows has none
    before = _signal.pthread_sigmask(_signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, before)


# -- processes -------------------------------------------------------------------------------------------------------

_GROUPS = hasattr(os, "killpg") and hasattr(os, "setsid")


def group_options() -> dict[str, Any]:
    """What `Popen` is told for a process that ends with its children, and does not get the terminal's Ctrl-C."""
    if _GROUPS:
        return {"start_new_session": True}
    return {"creationflags": 0x200} if WINDOWS else {}  # CREATE_NEW_PROCESS_GROUP


def kill_group(process: Popen[bytes]) -> None:
    """Kill a process that was started with `group_options`, and its children.

    On Windows children are found by their parents: those of one that has ended go on.
    """
    with suppress(ProcessLookupError, PermissionError):
        if _GROUPS:
            _os.killpg(process.pid, _signal.SIGKILL)
        elif process.poll() is None:  # nobody else has its number as long as we have not taken note of its end
            if WINDOWS:
                _kill_tree(process.pid)
            process.kill()


def _kill_tree(pid: int) -> None:
    import subprocess

    nobody = subprocess.DEVNULL
    command = ("taskkill", "/F", "/T", "/PID", str(pid))
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(command, stdin=nobody, stdout=nobody, stderr=nobody, timeout=5.0, check=False)


def limit_cpu(pid: int, seconds: float) -> None:
    """Seconds of computing after which the system itself ends a process. Linux only; nothing elsewhere."""
    if _resource is None or not hasattr(_resource, "prlimit"):
        return
    with suppress(OSError, ValueError, OverflowError):  # it has ended already, or that is for ever
        most = _resource.getrlimit(_resource.RLIMIT_CPU)[1]
        wanted = math.ceil(seconds)
        if most == _resource.RLIM_INFINITY or wanted < most:
            _resource.prlimit(pid, _resource.RLIMIT_CPU, (wanted, wanted))


def alive(pid: int) -> bool | None:
    """Whether a process of this computer still runs; None on Windows, where to ask with a signal would kill it."""
    if pid == os.getpid():
        return True
    if WINDOWS:
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


# -- locks -----------------------------------------------------------------------------------------------------------

#: What file systems answer that cannot sync a folder, or that keep no locks (some network and FUSE file systems).
_NOT_HERE = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.ENOLCK)

#: How many can read under a shared lock at a time where locks are bytes of a file.
_SLOTS = 64


class Lock:
    """An advisory lock on a file or folder: gone with the process that holds it, and nothing to clear away.

    On POSIX it is flock's. Windows has none for folders, and neither moves nor removes what is open: there bytes are
    locked of an empty file in the cache, named by the identity of what is meant; all bytes alone, one of them shared.
    """

    def __init__(self, path: Path) -> None:
        """OSError where there is nothing at `path`."""
        self._name: Path | None = None
        self._mine: tuple[int, int] | None = None
        self._number: int | None = None
        if _fcntl is not None:
            self._number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
            return
        found = path.stat()
        if _msvcrt is not None and found.st_ino:
            with suppress(OSError, RuntimeError):  # no cache, no locks
                folder = cache_home() / "tinygen" / "locks"
                folder.mkdir(parents=True, exist_ok=True)
                self._name = folder / f"{found.st_dev:x}-{found.st_ino:x}"
                self._number = os.open(self._name, os.O_RDWR | os.O_CREAT)

    def take(self, *, shared: bool = False, wait: bool = False) -> bool | None:
        """Whether it is ours now, which it always is after a `wait`; None where nobody keeps locks."""
        if self._number is None:
            return None
        if _fcntl is None:
            while not (mine := self._take_bytes(shared)) and wait:
                time.sleep(0.05)
            return mine
        try:
            kind = _fcntl.LOCK_SH if shared else _fcntl.LOCK_EX
            _fcntl.flock(self._number, kind if wait else kind | _fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as e:
            if e.errno in _NOT_HERE:
                return None
            raise
        return True

    def _take_bytes(self, shared: bool) -> bool:
        for start, count in [(slot, 1) for slot in range(_SLOTS)] if shared else [(0, _SLOTS)]:
            with suppress(OSError):  # somebody else's
                self._bytes(_msvcrt.LK_NBLCK, start, count)
                self._mine = start, count
                return True
        return False

    def _bytes(self, mode: int, start: int, count: int) -> None:
        assert self._number is not None
        os.lseek(self._number, start, os.SEEK_SET)
        _msvcrt.locking(self._number, mode, count)

    def close(self) -> None:
        if self._mine is not None:
            with suppress(OSError):
                self._bytes(_msvcrt.LK_UNLCK, *self._mine)
        if self._number is not None:
            os.close(self._number)
        if self._mine is not None and self._name is not None:
            with suppress(OSError):  # Windows keeps it for others who have it open
                self._name.unlink()


# -- disks -----------------------------------------------------------------------------------------------------------


def sync(path: Path) -> None:
    """What a file holds, or which names a folder has, survives a power cut from now on. Windows has no folders to sync
    (NTFS keeps its own journal of names), and syncs only what could be written."""
    if WINDOWS and path.is_dir():
        return
    number = os.open(path, os.O_RDWR if WINDOWS else os.O_RDONLY)
    try:
        _flush(number)
    except OSError as e:
        if e.errno not in _NOT_HERE:
            raise
    finally:
        os.close(number)


def _flush(number: int) -> None:
    full = getattr(_fcntl, "F_FULLFSYNC", None)
    if full is not None:  # macOS, whose fsync leaves it in the drive's own cache
        with suppress(OSError):  # a file system that knows only fsync
            _fcntl.fcntl(number, full)
            return
    os.fsync(number)


def rename(source: Path, target: Path) -> None:
    """In one step, with a file that has that name replaced. FileExistsError, or on POSIX ENOTEMPTY, where a folder is
    to replace one that holds something."""
    if not WINDOWS:
        source.rename(target)
        return
    for attempt in range(10):
        try:
            (source.rename if source.is_dir() else source.replace)(target)
        except PermissionError:  # a virus scanner or an indexer looks at it just now
            if attempt == 9:
                raise
            time.sleep(0.02 * (attempt + 1))
        else:
            return


# -- places ----------------------------------------------------------------------------------------------------------

#: Where the system and its programs are.
ROOT = Path(os.environ.get("SYSTEMDRIVE", "C:") + "/" if WINDOWS else "/")

#: What programs of this computer are compiled with: weak functions of Windows' object files are not found by others.
HOST_CFLAGS = ("-Dweak=unused",) if WINDOWS else ()

#: What makes a library that a program loads and that calls the program; None where it needs more than its own source.
PLUGIN_FLAGS: tuple[str, ...] | None = (
    None if WINDOWS else ("-bundle", "-Wl,-undefined,dynamic_lookup") if MACOS else ("-shared", "-fPIC")
)

#: The variables by which compilers find the folder for temporary files.
TEMPORARY = ("TMP", "TEMP") if WINDOWS else ("TMPDIR",)


def cache_home() -> Path:
    """Where programs keep what they can make again: $XDG_CACHE_HOME on every system, else ~/.cache, on macOS
    ~/Library/Caches, on Windows %LOCALAPPDATA%. RuntimeError where nobody says where home is."""
    if named := os.environ.get("XDG_CACHE_HOME"):
        return Path(named)
    if WINDOWS:
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    return Path.home() / "Library" / "Caches" if MACOS else Path.home() / ".cache"


# -- streams ---------------------------------------------------------------------------------------------------------

#: What a write to a pipe answers that nobody reads any more.
NOBODY_READS = (errno.EPIPE, errno.EINVAL) if WINDOWS else (errno.EPIPE,)

#: Written before the last line on a terminal: a clean line, and the cursor back. Windows' older ones would show it.
CLEAN_LINE = "\r" if WINDOWS else "\r\x1b[K\x1b[?25h"


def text(said: bytes | bytearray) -> str:
    """What a program said; Windows' end their lines in two characters."""
    found = bytes(said).decode("utf-8", "replace")
    return found.replace("\r\n", "\n") if WINDOWS else found


def show_what_cannot_be_encoded() -> None:
    r"""Characters that standard output cannot encode are written as `\u2248`, as standard error does: a pipe on Windows
    takes only some 250 of them."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
