"""Write a folder of generated files: all of them or none, and never over somebody else's."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tinygen.errors import OutputError

MANIFEST = "MANIFEST.json"
#: What PlatformIO and editors leave in a project; neither ours nor foreign.
IGNORED = {".pio", ".vscode", ".git", "__pycache__"}
#: Written once, then the user's to change: an edited one is kept, with --force too.
YOURS = {"src/main.c"}
#: Begins the name of the folder in which new files lie until all are there; one stays behind only if we are killed.
STAGING = ".tinygen-"


def manifest(files: Mapping[str, bytes]) -> bytes:
    """The list of our files with their SHA-256, sorted."""
    hashes = {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)}
    return (json.dumps({"generator": "tinygen", "files": hashes}, indent=2) + "\n").encode()


def check_output(out: Path, *, force: bool = False) -> None:
    """Raise OutputError when `out` cannot be ours to write: foreign files, or files of ours that were edited.

    With `force`, edited files may be overwritten; foreign files are never touched.
    """
    try:
        if not _exists(out):
            return
        present, known = _files_in(out), _known(out) or {}
        edited = _edited(out, present, known)
    except OSError as e:
        raise OutputError(f"cannot use {out}: {e.strerror or e}. Choose another --output.") from e
    if present and not known:
        first = min(present - {MANIFEST}, default=MANIFEST)
        count = "a file" if len(present) == 1 else f"{len(present)} files"
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
    """Raise OutputError unless all that tinygen wrote into `folder` is there, unchanged. Other files do not matter."""
    try:
        if not folder.exists():
            raise OutputError(f"{folder}: no such folder. Give the --output of a build.")
        known = _known(folder)
        if known is None:
            raise OutputError(
                f"{folder} is not a folder made by tinygen: it has no {MANIFEST} of tinygen. "
                "Give the --output of a build."
            )
        present = _files_in(folder)
        edited, gone = _edited(folder, present, known), sorted(known.keys() - present)
    except OSError as e:
        raise OutputError(f"cannot read {folder}: {e.strerror or e}. Build again into another --output.") from e
    for what, names in (("edited", edited), ("removed", gone)):
        if names:
            raise OutputError(
                f"{folder}: generated files were {what} since they were proved: {_some(names)}. "
                "Build again (with --force where files were edited) and verify that."
            )


def write_folder(out: Path, files: Mapping[str, bytes], *, force: bool = False) -> None:
    """Write `files` and their manifest as the folder `out`, in one step: a failure leaves what was there before.

    A folder that exists stays the same folder (a shell or a container's mount may stand in it), with what is IGNORED.
    """
    check_output(out, force=force)
    out = out.absolute()
    try:
        complete = {**files, **_kept(out), MANIFEST: manifest(files)}
        update = out.is_dir()
        for left in out.glob(f"{STAGING}*"):
            shutil.rmtree(left, ignore_errors=True)
        with _staging(out if update else out.parent) as staging:
            new, old = staging / "new", staging / "old"
            old.mkdir()
            for name in sorted(complete):
                path = new / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(complete[name])
            if update:
                _swap(out, new, old)
            else:
                new.rename(out)
    except OSError as e:
        raise OutputError(
            f"cannot write {out}: {e.strerror or e}. Nothing was changed there. Make room, or choose another --output."
        ) from e


def write_file(path: Path, content: bytes) -> None:
    """Write a single file that the user named, whole or not at all; OutputError when that fails."""
    part = path.with_name(f"{STAGING}{os.getpid()}")
    try:
        if path.is_dir():
            raise OutputError(f"{path} is a folder; name a file to write.")
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(path)
    except OSError as e:
        raise OutputError(f"cannot write {path}: {e.strerror or e}. Choose another file.") from e
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A folder of our own inside `folder`, which is created if need be, and gone again if nothing came of it."""
    made = [p for p in (folder, *folder.parents) if not p.exists()]
    staging: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=STAGING, dir=folder))
        yield staging
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        with suppress(OSError):  # not empty: that is what we wrote
            for p in made:
                p.rmdir()


def _swap(out: Path, new: Path, old: Path) -> None:
    """Move what `out` holds into `old`, and what `new` holds into `out`; all back again when one move fails."""
    moved: list[tuple[Path, Path]] = []

    def move(names: list[str], source: Path, target: Path) -> None:
        for name in names:
            (source / name).rename(target / name)
            moved.append((source / name, target / name))

    try:
        move([n for n in sorted(os.listdir(out)) if n not in IGNORED and not n.startswith(STAGING)], out, old)
        move(sorted(os.listdir(new)), new, out)
    except BaseException:
        for source, target in reversed(moved):
            target.rename(source)
        raise


def _exists(out: Path) -> bool:
    """Whether `out` is a folder already; OutputError when it can be none."""
    place = out if out.exists() else next(p for p in out.absolute().parents if p.exists())
    if out.is_symlink() and place is not out:
        raise OutputError(f"{out} is a symbolic link that leads nowhere. Remove it, or choose another --output.")
    if not place.is_dir():
        what = f"cannot create {out}: {place}" if place is not out else f"{out}"
        raise OutputError(f"{what} is a file. --output names the folder to create. Choose another --output.")
    if not os.access(place, os.W_OK):
        raise OutputError(f"cannot write {out}: no permission to write in {place}. Choose another --output.")
    return place is out


def _files_in(folder: Path) -> set[str]:
    found: set[str] = set()
    for root, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if f not in IGNORED and not f.startswith(STAGING)]
        found.update((Path(root) / n).relative_to(folder).as_posix() for n in names)
    return found


def _edited(folder: Path, present: set[str], known: Mapping[str, str]) -> list[str]:
    """Files of ours whose bytes are not those we wrote, those aside that are the user's to change."""
    return sorted(n for n in (present & known.keys()) - YOURS if _differs(folder, n, known))


def _differs(folder: Path, name: str, known: Mapping[str, str]) -> bool:
    return hashlib.sha256((folder / name).read_bytes()).hexdigest() != known[name]


def _kept(out: Path) -> dict[str, bytes]:
    """The user's own versions of YOURS."""
    known = _known(out) or {}
    names = [n for n in YOURS if n in known and (out / n).is_file() and _differs(out, n, known)]
    return {n: (out / n).read_bytes() for n in names}


def _known(out: Path) -> dict[str, str] | None:
    try:
        data = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
        return dict(data["files"]) if data["generator"] == "tinygen" else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
