"""Write a folder of generated files: all of them or none, and never over somebody else's."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tinygen.errors import OutputError

MANIFEST = "MANIFEST.json"
#: What PlatformIO and editors leave in a project; neither ours nor foreign.
IGNORED = {".pio", ".vscode", ".git", "__pycache__"}


def manifest(files: Mapping[str, bytes]) -> bytes:
    """The list of our files with their SHA-256, sorted."""
    hashes = {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)}
    return (json.dumps({"generator": "tinygen", "files": hashes}, indent=2) + "\n").encode()


def check_output(out: Path, *, force: bool = False) -> None:
    """Raise OutputError when `out` cannot be ours to write: foreign files, or files of ours that were edited.

    With `force`, edited files may be overwritten; foreign files are never touched.
    """
    if not out.exists():
        parent = next(p for p in out.absolute().parents if p.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK):
            raise OutputError(f"cannot create {out}: no permission to write in {parent}. Choose another --output.")
        return
    if not out.is_dir():
        raise OutputError(f"{out} is a file. --output names the folder to create.")
    if not os.access(out, os.W_OK):
        raise OutputError(f"no permission to write in {out}. Choose another --output.")
    present = _files_in(out)
    if not present:
        return
    known = _known(out)
    if known is None:
        raise OutputError(
            f"{out} holds {len(present)} files and no {MANIFEST} of tinygen, the first being {sorted(present)[0]}. "
            "tinygen writes into a new or empty folder, or one it made itself. Choose another --output."
        )
    foreign = sorted(present - known.keys() - {MANIFEST})
    if foreign:
        raise OutputError(
            f"{out} holds files that tinygen did not make: {_some(foreign)}. Move them, or choose another --output."
        )
    edited = sorted(n for n in present & known.keys() if hashlib.sha256((out / n).read_bytes()).hexdigest() != known[n])
    if edited and not force:
        raise OutputError(
            f"{out} holds generated files that were edited since: {_some(edited)}. "
            "Move your changes away, choose another --output, or overwrite them with --force."
        )


def write_folder(out: Path, files: Mapping[str, bytes], *, force: bool = False) -> None:
    """Write `files` and their manifest as the folder `out`, in one step: a failure leaves what was there before."""
    check_output(out, force=force)
    complete = {**files, MANIFEST: manifest(files)}
    out = out.absolute()
    staging: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        staging.chmod(0o755)
        for name in sorted(complete):
            path = staging / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(complete[name])
        _replace(out, staging)
    except OSError as e:
        raise OutputError(f"cannot write {out}: {e.strerror or e}. Nothing was changed there.") from e
    finally:
        if staging is not None and staging.exists():
            shutil.rmtree(staging, ignore_errors=True)


def _replace(out: Path, staging: Path) -> None:
    if not out.exists():
        staging.rename(out)
        return
    old = out.with_name(f"{staging.name}-old")
    out.rename(old)
    try:
        staging.rename(out)
    except OSError:
        old.rename(out)
        raise
    for kept in IGNORED:  # build trees and editor settings stay where they were
        if (old / kept).exists():
            (old / kept).rename(out / kept)
    shutil.rmtree(old, ignore_errors=True)


def _files_in(folder: Path) -> set[str]:
    found: set[str] = set()
    for root, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if f not in IGNORED]
        found.update((Path(root) / n).relative_to(folder).as_posix() for n in names)
    return found


def _known(out: Path) -> dict[str, str] | None:
    try:
        data = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
        return dict(data["files"]) if data["generator"] == "tinygen" else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
