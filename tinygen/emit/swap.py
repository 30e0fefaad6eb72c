"""Swap a folder's files for new ones so that it is whole, old or new, at whatever instant we fail, are killed, or the
power goes (docs/adr/0021).

A new folder is made under another name and renamed. In a folder that is there, every file that changes is staged, a
journal of the moves is written, all that synced; then the old files are moved out and the new ones in. Whoever comes
next finds the journal and does what is left of it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tinygen import stop
from tinygen.errors import OutputError
from tinygen.files import DISK, STAGING, Disk, abandoned, remove, staged
from tinygen.system import Lock

#: The moves of an update, in the folder of its staged files: from when it has this name on, they will be done.
JOURNAL = "journal.json"
#: Another tinygen needs a folder for a moment only, unless it verifies or profiles it.
LOCK_WAIT_S = 10.0


@contextmanager
def locked(folder: Path, *, shared: bool = False) -> Iterator[None]:
    """Alone in `folder` among the tinygens of this computer, or with others that only read; OutputError when another
    one does not end."""
    try:
        lock = Lock(folder)
    except OSError as e:
        raise OutputError(f"cannot read {folder}: {e.strerror or e}.") from e
    try:
        end = time.monotonic() + LOCK_WAIT_S
        while lock.take(shared=shared) is False:
            if time.monotonic() > end:
                raise OutputError(
                    f"{folder} is in use by another tinygen, which reads or writes it. Wait until that has ended, or "
                    "choose another folder."
                )
            time.sleep(0.05)
        yield
    finally:
        lock.close()


def sha256(path: Path) -> str | None:
    """Of what a file holds; None where there is none; a link or a folder counts as something that we did not write."""
    if not _there(path):
        return None
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() and not path.is_symlink() else "not a file"


def _there(path: Path) -> bool:
    """Whether the name is taken, by a link that leads nowhere too."""
    return os.path.lexists(path)


# -- a new folder ----------------------------------------------------------------------------------------------------


def create(out: Path, files: Mapping[str, bytes], disk: Disk) -> bool:
    """The folder, complete under another name beside it, then renamed; False when one was there before us."""
    with _parents(out, disk) as parents:
        recover(out.parent, disk)
        with staged(out.parent, disk.mkdir, disk) as staging:
            folders = _folders(staging, list(files))
            for folder in folders:
                disk.mkdir(folder)
            for name in sorted(files):
                disk.write(staging / name, files[name])
            for path in (*(staging / name for name in sorted(files)), *reversed(folders), staging):
                disk.sync(path)
            try:
                disk.rename(staging, out)
            except OSError as e:
                if e.errno in (errno.EEXIST, errno.ENOTEMPTY) and out.is_dir():
                    return False
                raise
            try:
                for folder in parents:
                    disk.sync(folder)
            except OSError:
                disk.rename(out, staging)
                raise
    return True


@contextmanager
def _parents(out: Path, disk: Disk) -> Iterator[list[Path]]:
    """The folders above `out` that get a new name, made where they are missing; gone again if nothing comes of it."""
    missing = [p for p in out.parents if not p.exists()]

    def clear() -> None:
        for p in missing:
            with suppress(OSError):  # not empty: that is what we wrote
                disk.rmdir(p)

    with stop.clearing(clear):
        try:
            for p in reversed(missing):
                disk.mkdir(p)
            yield [out.parent, *(p.parent for p in missing)]
        except BaseException:
            clear()
            raise


# -- a folder that is there ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Move:
    """What becomes of the file `name`: its SHA-256 before and after, None where there is none. The new file lies
    at `new` in the staging folder until it is moved in, the old one from then on at `old`."""

    name: str
    before: str | None
    after: str | None
    number: int

    @property
    def new(self) -> str:
        return f"new-{self.number}"

    @property
    def old(self) -> str:
        return f"old-{self.number}"


def update(out: Path, contents: Mapping[str, bytes | None], disk: Disk) -> None:
    """Bring files in `out`, which is locked, to new contents; None: away with it. After an error all is as before."""
    moves: list[Move] = []
    for name in sorted(contents):
        content = contents[name]
        before, after = sha256(out / name), None if content is None else hashlib.sha256(content).hexdigest()
        if before != after:
            moves.append(Move(name, before, after, len(moves)))
    if not moves:
        return
    with staged(out, disk.mkdir, disk, _discard) as staging:
        for m in moves:
            content = contents[m.name]
            if content is not None:
                disk.write(staging / m.new, content)
        part = staging / f"{JOURNAL}.part"
        disk.write(part, _render(moves))
        for path in (*(staging / m.new for m in moves if m.after is not None), part, staging, out):
            disk.sync(path)
        with stop.hold():
            try:
                disk.rename(part, staging / JOURNAL)
                disk.sync(staging)
                _forward(out, staging, moves, disk)
            except BaseException as e:
                if not (staging / JOURNAL).exists():  # not begun, or done
                    raise
                try:
                    _back(out, staging, moves, disk)
                except OSError as worse:
                    raise OutputError(
                        f"cannot write {out}: {e}, nor undo what was begun: {worse}. Both versions are there: "
                        "make room, and the next tinygen on that folder makes it whole."
                    ) from e
                raise


def _discard(staging: Path, disk: Disk) -> None:
    """Files that were staged; those of an update that is neither done nor undone are for `recover`."""
    if not (staging / JOURNAL).exists():
        remove(staging, disk)


def _forward(out: Path, staging: Path, moves: Sequence[Move], disk: Disk) -> None:
    """Do what is not done of `moves`, from whatever state: each step looks at what is there.

    A file that is neither the old nor the new one was changed by somebody since, and is left to them.
    """
    for m in moves:
        pending = m.after is None or _there(staging / m.new)
        if pending and m.before is not None and sha256(out / m.name) == m.before:
            if _there(staging / m.old):  # half a rename: to rename a file to itself would do nothing
                disk.unlink(staging / m.old)
            disk.rename(out / m.name, staging / m.old)
    for folder in _folders(out, [m.name for m in moves if m.after is not None]):
        if not folder.is_dir():
            disk.mkdir(folder)
            disk.sync(folder.parent)  # before anything is moved into it
    for m in moves:
        if m.after is not None and _there(staging / m.new) and not _there(out / m.name):
            disk.rename(staging / m.new, out / m.name)
    _finish(out, staging, moves, disk)


def _back(out: Path, staging: Path, moves: Sequence[Move], disk: Disk) -> None:
    """Undo `moves`, as far as they were done; OSError, and everything left for `recover`, when that fails too."""
    for m in moves:
        if m.after is not None and not _there(staging / m.new) and sha256(out / m.name) == m.after:
            disk.rename(out / m.name, staging / m.new)
        if _there(staging / m.old) and not _there(out / m.name):
            disk.rename(staging / m.old, out / m.name)
    _finish(out, staging, moves, disk)


def _finish(out: Path, staging: Path, moves: Sequence[Move], disk: Disk) -> None:
    """The moves are done, or undone: first that is made to last, then the journal goes, and what nobody needs now."""
    folders = _folders(out, [m.name for m in moves])
    for folder in (out, *folders, staging):  # where the new files are now before where they came from
        if folder.is_dir():
            disk.sync(folder)
    disk.unlink(staging / JOURNAL)
    with suppress(OSError):  # the journal may come back then, and finds all done
        disk.sync(staging)
    remove(staging, disk)
    for folder in reversed(folders):
        with suppress(OSError):  # not empty, as it should be
            disk.rmdir(folder)


def _folders(out: Path, names: Sequence[str]) -> list[Path]:
    """The folders below `out` that lead to `names`, outer ones first."""
    return sorted({out / p for name in names for p in PurePosixPath(name).parents} - {out})


def _render(moves: Sequence[Move]) -> bytes:
    rows = [[m.name, m.before, m.after] for m in moves]
    return (json.dumps({"generator": "tinygen", "moves": rows}, indent=1) + "\n").encode()


# -- what was left behind ----------------------------------------------------------------------------------------------


def recover(folder: Path, disk: Disk = DISK) -> None:
    """Make whole what a process left that died while it wrote `folder`: every command on such a folder begins so."""
    if not os.path.isdir(folder):
        return
    for left in folder.glob(f"{STAGING}*"):
        if not (left / JOURNAL).exists() and abandoned(left):
            remove(left, disk)
    if any(folder.glob(f"{STAGING}*/{JOURNAL}")):
        try:
            with locked(folder):
                finish(folder, disk)
        except OSError as e:
            raise OutputError(
                f"{folder}: a tinygen died while it wrote there, and what it began cannot be finished: "
                f"{e.strerror or e}. Make the folder writable and make room, then run the same command again."
            ) from e


def finish(out: Path, disk: Disk) -> None:
    """Before its journal is complete an update has changed nothing; from then on it is done, as all that is new lies
    there. (Unless the disk lies about what it has kept; then it is undone.)"""
    for staging in sorted(out.glob(f"{STAGING}*")):
        moves = _journal(out, staging)
        if moves is not None:
            whole = all(sha256(staging / m.new) in (None, m.after) for m in moves)
            (_forward if whole else _back)(out, staging, moves, disk)


def _journal(out: Path, staging: Path) -> list[Move] | None:
    """The moves that a folder of staged files is there for; None while there are none."""
    try:
        text = (staging / JOURNAL).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        data = json.loads(text)
        moves = [Move(name, before, after, i) for i, (name, before, after) in enumerate(data["moves"])]
        if data["generator"] != "tinygen" or not all(_inside(out, m.name) for m in moves):
            raise ValueError
    except (ValueError, KeyError, TypeError) as e:
        raise OutputError(
            f"{staging / JOURNAL} is damaged, and was not by tinygen: it is complete before it has that name. "
            f"{staging} holds files of an interrupted build; remove it, then build again into another folder."
        ) from e
    return moves


def _inside(out: Path, name: str) -> bool:
    """Whether a name from a journal stays in the folder, by whoever it was written."""
    path = PurePosixPath(name)
    plain = (
        bool(path.name) and not path.is_absolute() and not any(c in name for c in "\\:")
    )  # which lead out on Windows
    return plain and ".." not in path.parts and not any((out / p).is_symlink() for p in path.parents[:-1])
