"""Write a folder of generated files: all of them or none, and never over somebody else's."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
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
#: Ends the name of the file that shows what tinygen would write where the user has his own.
NEW = ".new"
_NEW = {name + NEW for name in YOURS}


@dataclass(frozen=True, slots=True)
class Changes:
    """What a build did to the folder: names of files, sorted. `kept`: the user's own, as they were; `renewed`: those of
    them that tinygen would write otherwise than at the build before, as NAME.new beside them shows."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    renewed: tuple[str, ...] = ()

    @property
    def rebuilt(self) -> bool:
        """Whether there was a build before."""
        return not self.added or any((self.changed, self.removed, self.kept))

    def __str__(self) -> str:
        """A line for people."""
        counts = [f"{len(getattr(self, w))} {w}" for w in ("added", "changed", "removed") if getattr(self, w)]
        said = [f"Files: {', '.join(counts)}." if counts else "No file has changed."]
        for name in self.kept:
            more = f" (the generated one has changed: see {name}{NEW})" if name in self.renewed else ""
            said.append(f"Kept your {name}{more}.")
        return " ".join(said)


def manifest(files: Mapping[str, bytes]) -> bytes:
    """The list of our files with their SHA-256, sorted."""
    return _manifest({name: hashlib.sha256(content).hexdigest() for name, content in files.items()})


def _manifest(hashes: Mapping[str, str]) -> bytes:
    return (json.dumps({"generator": "tinygen", "files": dict(sorted(hashes.items()))}, indent=2) + "\n").encode()


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
        raise OutputError(f"cannot use {out}: {e.strerror or e}. Choose another folder.") from e
    if present and not known:
        first = min(present - {MANIFEST}, default=MANIFEST)
        count = "a file" if len(present) == 1 else f"{len(present)} files" + " or more" * (len(present) == _MANY)
        raise OutputError(
            f"{out} holds {count} and no {MANIFEST} of tinygen, the first being {first}. "
            "tinygen writes into a new or empty folder, or one it made itself. Choose another folder."
        )
    foreign = sorted(present - known.keys() - {MANIFEST})
    if foreign:
        raise OutputError(
            f"{out} holds files that tinygen did not make: {_some(foreign)}. Move them, or choose another folder."
        )
    if edited and not force:
        raise OutputError(
            f"{out} holds generated files that were edited since: {_some(edited)}. "
            "Move your changes away, choose another folder, or overwrite them with `force=True`."
        )


def check_generated(folder: Path) -> None:
    """Raise OutputError unless all that tinygen wrote into `folder` is there, unchanged. Other files do not matter.

    What died while it wrote there is made whole first.
    """
    recover(folder)
    try:
        if not folder.exists():
            raise OutputError(f"{folder}: no such folder. Give a folder that tinygen built.")
        known = _known(folder)
        if known is None:
            raise OutputError(
                f"{folder} is not a folder made by tinygen: it has no {MANIFEST} of tinygen. "
                "Give a folder that tinygen built."
            )
        present = set(_walk(folder))
        edited, gone = _edited(folder, present - _NEW, known), sorted(known.keys() - present - _NEW)
    except OSError as e:
        raise OutputError(f"cannot read {folder}: {e.strerror or e}. Build again into another folder.") from e
    for what, names in (("edited", edited), ("removed", gone)):
        if names:
            raise OutputError(
                f"{folder}: generated files were {what} since they were proved: {_some(names)}. "
                "Build again (with `force=True` where files were edited) and verify that."
            )


def write_folder(out: Path, files: Mapping[str, bytes], *, force: bool = False, disk: Disk = DISK) -> Changes:
    """Write `files` and their manifest as the folder `out`: whole, or what was there before, at whatever instant we
    fail or die, or the power goes (docs/adr/0021).

    A folder that exists stays the same folder (a shell or a container's mount may stand in it), with what is IGNORED,
    and files that do not change are not touched. What is YOURS and edited stays; where what we would write in its place
    has changed since the build before, that is written beside it as NAME.new, for the user to compare and delete.
    """
    check_output(out, force=force)
    out = out.absolute()
    try:
        if out.is_dir() or not create(out, {**files, MANIFEST: manifest(files)}, disk):
            with locked(out):
                finish(out, disk)  # another tinygen may have been faster, and died
                _check(out, force)
                contents, changes = _changes(out, files)
                update(out, contents, disk)
                return changes
        return Changes(added=tuple(sorted(files)))
    except OSError as e:
        raise OutputError(
            f"cannot write {out}: {e.strerror or e}. Nothing was changed there. Make room, or choose another folder."
        ) from e


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """`check_generated`, and for as long as the block runs no other tinygen writes into the folder."""
    recover(folder)
    with locked(folder, shared=True) if folder.is_dir() else nullcontext():
        check_generated(folder)
        yield


def _changes(out: Path, files: Mapping[str, bytes]) -> tuple[dict[str, bytes | None], Changes]:
    """What each file of ours becomes, the manifest too, and what that means for the user. Those of before that are no
    more go, and the user's own stay."""
    known = _known(out) or {}
    there = {n: sha256(out / n) for n in (known.keys() & set(_walk(out))) | files.keys()}
    mine = {n for n in YOURS & known.keys() if there.get(n) not in (None, known[n])}
    hashes = {n: hashlib.sha256(content).hexdigest() for n, content in files.items()}
    renewed = {n for n in mine & files.keys() if hashes[n] not in (known[n], there[n])}
    contents: dict[str, bytes | None] = dict.fromkeys(there) | dict(files)
    for n in mine:
        hashes.setdefault(n, known[n])  # or we would take it for somebody else's
        del contents[n]
        if n in renewed:
            contents[n + NEW], hashes[n + NEW] = files[n], hashes[n]
        elif n + NEW in there:  # not compared yet
            contents[n + NEW], hashes[n + NEW] = (out / (n + NEW)).read_bytes(), known[n + NEW]
    changes = Changes(
        tuple(sorted(n for n in contents if there.get(n) is None)),
        tuple(sorted(n for n in contents if there.get(n) is not None and hashes.get(n) not in (None, there[n]))),
        tuple(sorted(n for n, content in contents.items() if content is None)),
        tuple(sorted(mine)),
        tuple(sorted(renewed)),
    )
    return contents | {MANIFEST: _manifest(hashes)}, changes


def _exists(out: Path) -> bool:
    """Whether `out` is a folder already; OutputError when it can be none."""
    place = out if out.exists() else next(p for p in out.absolute().parents if p.exists())
    lost = next((p for p in (out, *out.parents) if p.is_symlink() and not p.exists()), None)
    if lost is not None:
        raise OutputError(f"{lost} is a symbolic link that leads nowhere. Remove it, or choose another folder.")
    if not place.is_dir():
        what = f"cannot create {out}: {place}" if place is not out else f"{out}"
        raise OutputError(f"{what} is a file. The output is a folder to create. Choose another folder.")
    if not os.access(place, os.W_OK):
        raise OutputError(f"cannot write {out}: no permission to write in {place}. Choose another folder.")
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
