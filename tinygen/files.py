"""Files that are whole or not there: what is done to a disk, a file that the user named, a temporary folder."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tinygen import stop, system
from tinygen.errors import OutputError, ToolError
from tinygen.system import Lock

#: Begins the name of whatever is not complete yet; one stays behind only if we are killed.
STAGING = ".tinygen-"


class Disk:
    """All that writers do to a disk. Tests put one in its place that writes down each operation, or dies at one."""

    def write(self, path: Path, content: bytes) -> None:
        """A new file."""
        with path.open("xb") as file:
            file.write(content)

    def sync(self, path: Path) -> None:
        """What a file holds, or which names a folder has, survives a power cut from now on."""
        system.sync(path)

    def rename(self, source: Path, target: Path) -> None:
        system.rename(source, target)

    def unlink(self, path: Path) -> None:
        path.unlink()

    def mkdir(self, path: Path) -> None:
        path.mkdir()

    def rmdir(self, path: Path) -> None:
        path.rmdir()


DISK = Disk()


# -- what is not complete yet ----------------------------------------------------------------------------------------


def remove(path: Path, disk: Disk) -> None:
    """Take away what was staged, as far as that is possible."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            for child in sorted(path.iterdir()):
                remove(child, disk)
            disk.rmdir(path)
        else:
            disk.unlink(path)


@contextmanager
def staged(
    place: Path, make: Callable[[Path], None], disk: Disk, discard: Callable[[Path, Disk], None] = remove
) -> Iterator[Path]:
    """What `make` makes at a new path in `place`, locked; discarded at the end, if it still has that name then."""
    with ExitStack() as stack:
        with stop.hold():
            path, lock = _claim(place, make, disk)
            stack.enter_context(stop.clearing(lambda: discard(path, disk)))
            stack.callback(lock.close)
            stack.callback(discard, path, disk)
        yield path


def _claim(place: Path, make: Callable[[Path], None], disk: Disk) -> tuple[Path, Lock]:
    while True:
        path = place / f"{STAGING}{secrets.token_hex(8)}"
        try:
            make(path)
            lock = Lock(path)
        except BaseException:
            remove(path, disk)
            raise
        lock.take()
        if path.exists():  # else another process took it for abandoned before it was locked
            return path, lock
        lock.close()


def abandoned(path: Path) -> bool:
    """Whether whoever staged `path` is dead; False too where that cannot be told."""
    try:
        lock = Lock(path)
    except OSError:
        return False
    try:
        return bool(lock.take())
    finally:
        lock.close()


# -- single files ----------------------------------------------------------------------------------------------------


def replace_file(path: Path, content: bytes, disk: Disk = DISK) -> None:
    """Write a file whole or not at all, whatever happens meanwhile; OSError when that fails.

    A link stays and what it leads to is replaced; a device or a pipe is written to.
    """
    path = Path(os.path.realpath(path))
    mode = path.stat().st_mode if path.exists() else None
    if mode is not None and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        path.write_bytes(content)
        return
    for left in path.parent.glob(f"{STAGING}*"):
        if left.is_file() and abandoned(left):
            remove(left, disk)
    with staged(path.parent, lambda part: disk.write(part, content), disk) as part:
        if mode is not None:
            part.chmod(stat.S_IMODE(mode))
        disk.sync(part)
        disk.rename(part, path)
        disk.sync(path.parent)


def write_file(path: Path, content: bytes) -> None:
    """Write a single file that the user named, whole or not at all; OutputError when that fails."""
    try:
        if path.is_dir():
            raise OutputError(f"{path} is a folder; name a file to write.")
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content)
    except OSError as e:
        raise OutputError(f"cannot write {path}: {e.strerror or e}. Choose another file.") from e


def cache_dir() -> Path:
    """The folder `tinygen` of `system.cache_home`; `ToolError` where nobody says where that is."""
    try:
        cache = system.cache_home()
    except RuntimeError as error:  # no HOME, and no entry among the users
        raise ToolError("there is no home folder to keep a cache in. Set XDG_CACHE_HOME to a folder") from error
    return cache.absolute() / "tinygen"


# -- temporary folders -----------------------------------------------------------------------------------------------


@contextmanager
def work_folder() -> Iterator[Path]:
    """A temporary folder to compile and run in, gone afterwards; `ToolError` when it cannot be made or written."""
    try:
        with ExitStack() as stack:
            with stop.hold():
                folder = Path(tempfile.mkdtemp(prefix="tinygen-"))
                stack.enter_context(stop.clearing(lambda: _remove_tree(folder)))
                stack.callback(_remove_tree, folder)
            yield folder
    except OSError as error:
        raise ToolError(
            f"cannot work in a temporary folder: {error}. Make room there, or set TMPDIR to another folder"
        ) from error


def _remove_tree(folder: Path) -> None:
    for _ in range(20):  # a program that is being killed may write one more file meanwhile
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.05)


def check_file(path: Path | None) -> None:
    """OutputError, before any work, for a file that cannot be written."""
    if path is None:
        return
    if path.is_dir():
        raise OutputError(f"{path} is a folder; name a file to write.")
    if path.parent.exists() and not path.parent.is_dir():
        raise OutputError(f"cannot write {path}: {path.parent} is a file. Choose another file.")
