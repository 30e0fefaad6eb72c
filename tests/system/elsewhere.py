"""Python as it is on other systems, as far as this one can play it. Run in a process of its own, before tinygen.

What tinygen uses has its own ways on every system, so the standard library and other packages keep what they have taken
already: the names are only gone for whoever asks from now on.
"""

from __future__ import annotations

import errno
import glob
import importlib
import os
import platform
import shutil
import signal
import struct
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

#: What tinygen imports, and what that imports late.
OTHERS = (
    "numpy", "onnx", "onnxruntime", "onnx.numpy_helper", "onnx.version_converter", "google.protobuf.message",
    "click", "rich.console", "rich.progress", "rich.table", "jinja2", "elftools.elf.elffile", "serial",
    "serial.tools.list_ports", "tempfile", "concurrent.futures", "multiprocessing.context",
    "multiprocessing.resource_tracker", "socket", "selectors", "zipfile",
)  # fmt: skip

MODULES = ("fcntl", "resource", "msvcrt", "pwd", "grp", "termios", "tty", "pty")

OS = (
    "killpg", "setsid", "getsid", "getpgid", "getpgrp", "setpgid", "fork", "forkpty", "register_at_fork",
    "posix_spawn", "posix_spawnp", "wait", "wait3", "wait4", "waitid", "WNOHANG", "WUNTRACED", "WIFEXITED",
    "WIFSIGNALED", "WEXITSTATUS", "WTERMSIG", "O_NONBLOCK", "O_NOCTTY", "O_NOFOLLOW", "O_DIRECTORY", "O_SYNC",
    "O_DSYNC", "O_CLOEXEC", "getuid", "geteuid", "getgid", "getegid", "getgroups", "setuid", "setgid", "chown",
    "lchown", "fchown", "fchmod", "fchdir", "chroot", "mkfifo", "mknod", "nice", "getpriority", "sched_getaffinity",
    "sched_setaffinity", "sched_yield", "sysconf", "confstr", "statvfs", "fstatvfs", "sync", "fdatasync", "pipe2",
    "pread", "pwrite", "readv", "writev", "sendfile", "lockf", "openpty", "ttyname", "ctermid", "getloadavg",
    "tcgetpgrp", "getxattr", "setxattr",
)  # fmt: skip

SIGNAL = (
    "SIGHUP", "SIGKILL", "SIGQUIT", "SIGPIPE", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGCHLD", "SIGCONT", "SIGSTOP",
    "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGWINCH", "pthread_kill", "pthread_sigmask", "sigwait", "sigwaitinfo",
    "sigtimedwait", "sigpending", "siginterrupt", "alarm", "setitimer", "getitimer", "pause", "SIG_BLOCK",
    "SIG_UNBLOCK", "SIG_SETMASK",
)  # fmt: skip


def strip(*more: str) -> None:
    """Take away what POSIX alone has, and `more` names of `signal`."""
    assert not any(name.split(".")[0] == "tinygen" for name in sys.modules)
    for name in OTHERS:
        importlib.import_module(name)
    platform.uname()
    for module in (subprocess, shutil):  # which here go on as they are
        for name in {"os", "signal"} & set(vars(module)):
            setattr(module, name, types.SimpleNamespace(**vars(getattr(module, name))))
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment] # an ImportError from now on
    for name in OS:
        vars(os).pop(name, None)
    for name in (*SIGNAL, *more):
        vars(signal).pop(name, None)


def refuse_what_is_open(path: Any) -> None:
    """PermissionError where somebody has a file open that is to be moved or removed, or one in such a folder."""
    ours = os.path.abspath(os.fsdecode(path))
    for link in glob.iglob("/proc/[0-9]*/fd/*"):
        try:
            what = os.readlink(link)
        except OSError:  # closed meanwhile
            continue
        if f"{what}/".startswith(f"{ours}/"):
            raise PermissionError(errno.EACCES, "Permission denied", ours)


def windows() -> None:
    """What Windows refuses, and its own kind of locks, under names that are taken away. tinygen.system believes it."""
    import fcntl

    set_lock, exclusive, nothing = fcntl.F_OFD_SETLK, fcntl.F_WRLCK, fcntl.F_UNLCK
    control, real_open, real_rename, real_unlink = fcntl.fcntl, os.open, os.rename, os.unlink

    def locking(number: int, mode: int, count: int) -> None:
        """Bytes from where the file stands, for whoever opened it; PermissionError where one is another's."""
        start = os.lseek(number, 0, os.SEEK_CUR)
        kind = nothing if mode == 0 else exclusive
        try:
            control(number, set_lock, struct.pack("hhqqi", kind, os.SEEK_SET, start, count, 0))
        except OSError as e:
            raise PermissionError(errno.EACCES, "Permission denied") from e

    def open_file(path: Any, *arguments: Any, **named: Any) -> int:
        if "dir_fd" not in named and os.path.isdir(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real_open(path, *arguments, **named)

    def rename(source: Any, target: Any) -> None:
        refuse_what_is_open(source)
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "File exists", str(source))
        real_rename(source, target)

    def replace(source: Any, target: Any) -> None:
        refuse_what_is_open(source)
        if os.path.lexists(target):
            refuse_what_is_open(target)
        if os.path.isdir(target):
            raise PermissionError(errno.EACCES, "Permission denied", str(source))
        real_rename(source, target)

    def unlink(path: Any, **named: Any) -> None:
        refuse_what_is_open(path)
        real_unlink(path, **named)

    strip()
    made: Any = types.ModuleType("msvcrt")
    made.locking, made.LK_UNLCK, made.LK_NBLCK = locking, 0, 2
    sys.modules["msvcrt"] = made
    os.open, os.rename, os.replace, os.unlink = open_file, rename, replace, unlink

    from tinygen import system

    system.WINDOWS = True
    system.group_options = dict  # Popen here takes no flags of Windows


def run(*command: str) -> None:
    """The command line, in this process, with nothing printed but what it says; SystemExit when it does not go well."""
    from tinygen import cli

    sys.argv = ["tinygen", *command]
    cli.main()


def main() -> None:
    """Commands, one a line of a file, on the system named first."""
    how, file = sys.argv[1:]
    {"here": lambda: None, "elsewhere": strip, "deaf": lambda: strip("set_wakeup_fd"), "windows": windows}[how]()
    for line in Path(file).read_text(encoding="utf-8").splitlines():
        run(*line.split("\t"))


if __name__ == "__main__":
    main()
