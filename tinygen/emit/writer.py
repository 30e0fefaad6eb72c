"""Write a folder of generated files: all of them or none, and never over somebody else's."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path

from tinygen.emit.swap import create, finish, locked, recover, sha256, update
from tinygen.errors import OutputError
from tinygen.files import DISK, STAGING, Disk

MANIFEST = "MANIFEST.json"
#: What PlatformIO and editors leave in a project; neither ours nor foreign.
IGNORED = {".pio", ".vscode", ".git", "__pycache__"}
#: Of so many files that are not ours it does not matter how many more there are.
_MANY = 1000
#: Written once, then the user's to change: an edited one is kept, with --force too.
YOURS = {"src/main.c"}


def manifest(files: Mapping[str, bytes]) -> bytes:
    """The list of our files with their SHA-256, sorted."""
    hashes = {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)}
    return (json.dumps({"generator": "tinygen", "files": hashes}, indent=2) + "\n").encode()


def check_output(out: Path, *, force: bool = False) -> None:
    """Raise OutputError when `out` cannot be ours to write: foreign files, or files of ours that were edited.

    With `force`, edited files may be overwritten; foreign files are never touched. What died while it wrote there is
    made whole first.
    """
    recover(out)
    _check(out, force)


def _check(out: Path, force: bool) -> None:
    try:
        if not _exists(out):
            return
        known = _known(out) or {}
        present = set(_walk(out)) if known else set(islice(_walk(out), _MANY))
        edited = _edited(out, present, known)
    except OSError as e:
        raise OutputError(f"cannot use {out}: {e.strerror or e}. Choose another --output.") from e
    if present and not known:
        first = min(present - {MANIFEST}, default=MANIFEST)
        count = "a file" if len(present) == 1 else f"{len(present)} files" + " or more" * (len(present) == _MANY)
        raise OutputError(
            f"{out} holds {count} and no {MANIFEST} of tinygen, the first being {first}. "
            "tinygen writes into a new or empty folder, or one it made itself. Choose another --output."
        )
    foreign = sorted(present - known.keys() - {MANIFEST})
    if foreign:
        raise OutputError(
            f"{out} holds files that tinygen did not make: {_some(foreign)}. Move them, or choose another --output."
        )
    if edited and not force:
        raise OutputError(
            f"{out} holds generated files that were edited since: {_some(edited)}. "
            "Move your changes away, choose another --output, or overwrite them with --force."
        )


def check_generated(folder: Path) -> None:
    """Raise OutputError unless all that tinygen wrote into `folder` is there, unchanged. Other files do not matter.

    What died while it wrote there is made whole first.
    """
    recover(folder)
    try:
        if not folder.exists():
            raise OutputError(f"{folder}: no such folder. Give the --output of a build.")
        known = _known(folder)
        if known is None:
            raise OutputError(
                f"{folder} is not a folder made by tinygen: it has no {MANIFEST} of tinygen. "
                "Give the --output of a build."
            )
        present = set(_walk(folder))
        edited, gone = _edited(folder, present, known), sorted(known.keys() - present)
    except OSError as e:
        raise OutputError(f"cannot read {folder}: {e.strerror or e}. Build again into another --output.") from e
    for what, names in (("edited", edited), ("removed", gone)):
        if names:
            raise OutputError(
                f"{folder}: generated files were {what} since they were proved: {_some(names)}. "
                "Build again (with --force where files were edited) and verify that."
            )


def write_folder(out: Path, files: Mapping[str, bytes], *, force: bool = False, disk: Disk = DISK) -> None:
    """Write `files` and their manifest as the folder `out`: whole, or what was there before, at whatever instant we
    fail or die, or the power goes (docs/adr/0021).

    A folder that exists stays the same folder (a shell or a container's mount may stand in it), with what is IGNORED,
    and files that do not change are not touched.
    """
    check_output(out, force=force)
    out = out.absolute()
    complete = {**files, MANIFEST: manifest(files)}
    try:
        if out.is_dir() or not create(out, complete, disk):
            with locked(out):
                finish(out, disk)  # another tinygen may have been faster, and died
                _check(out, force)
                update(out, _changes(out, complete), disk)
    except OSError as e:
        raise OutputError(
            f"cannot write {out}: {e.strerror or e}. Nothing was changed there. Make room, or choose another --output."
        ) from e


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """`check_generated`, and for as long as the block runs no other tinygen writes into the folder."""
    recover(folder)
    with locked(folder, shared=True) if folder.is_dir() else nullcontext():
        check_generated(folder)
        yield


def _changes(out: Path, files: Mapping[str, bytes]) -> dict[str, bytes | None]:
    """What each file of ours becomes: those of before that are no more go, and the user's own stay."""
    known = _known(out) or {}
    gone = (known.keys() & set(_walk(out))) - files.keys()
    mine = {n for n in YOURS & known.keys() if sha256(out / n) not in (None, known[n])}
    return {n: files.get(n) for n in {*files, *gone} - mine}


def _exists(out: Path) -> bool:
    """Whether `out` is a folder already; OutputError when it can be none."""
    place = out if out.exists() else next(p for p in out.absolute().parents if p.exists())
    lost = next((p for p in (out, *out.parents) if p.is_symlink() and not p.exists()), None)
    if lost is not None:
        raise OutputError(f"{lost} is a symbolic link that leads nowhere. Remove it, or choose another --output.")
    if not place.is_dir():
        what = f"cannot create {out}: {place}" if place is not out else f"{out}"
        raise OutputError(f"{what} is a file. --output names the folder to create. Choose another --output.")
    if not os.access(place, os.W_OK):
        raise OutputError(f"cannot write {out}: no permission to write in {place}. Choose another --output.")
    return place is out


def _walk(folder: Path) -> Iterator[str]:
    """Names of the files in a folder. Links to folders count as files: they are not followed."""
    for root, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if f not in IGNORED and not f.startswith(STAGING)]
        links = [f for f in folders if (Path(root) / f).is_symlink()]
        yield from ((Path(root) / n).relative_to(folder).as_posix() for n in (*names, *links))


def _edited(folder: Path, present: set[str], known: Mapping[str, str]) -> list[str]:
    """Files of ours whose bytes are not those we wrote, those aside that are the user's to change."""
    return sorted(n for n in (present & known.keys()) - YOURS if sha256(folder / n) != known[n])


def _known(out: Path) -> dict[str, str] | None:
    try:
        data = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
        return dict(data["files"]) if data["generator"] == "tinygen" else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
