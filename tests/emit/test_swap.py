"""Whatever happens while a folder is swapped, it is whole: old or new, at once or made so by the next command.

Crashes are replayed: at every operation, with whatever was not synced lost in any combination (tests/emit/crash.py).
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.emit import kills
from tests.emit.crash import Model, Traced, Tree, Unsynced, make_tree, read_tree
from tinygen.emit import swap
from tinygen.emit.swap import JOURNAL, recover
from tinygen.emit.writer import MANIFEST, check_generated, manifest, write_folder
from tinygen.errors import OutputError
from tinygen.files import STAGING, Disk

OLD = {
    "src/main.c": b"main\n",
    "lib/net.c": b"old\n",
    "lib/net/gone.c": b"x\n",
    "old/deep/a.h": b"a\n",
    "same": b"s",
}
NEW = {
    "src/main.c": b"main 2\n",
    "lib/net.c": b"new\n",
    "lib/net/more.c": b"y\n",
    "other/b.h": b"b\n",
    "same": b"s",
}
THIRD = {"src/main.c": b"main 3\n", "lib/third.c": b"3\n"}
#: What is not ours stays, wherever it lies.
FOREIGN = {".pio/build/x.o": b"o", "lib/.vscode/settings.json": b"{}"}
MINE = b"my own main\n"

Contents = dict[str, bytes]


def whole(files: Contents, **more: bytes) -> Contents:
    return {**files, MANIFEST: manifest(files), **FOREIGN, **more}


def renewed(files: Contents) -> Contents:
    """A build over one whose main.c the user has: theirs stays, and the other one, which is new, lies beside it."""
    return whole({**files, "src/main.c.new": files["src/main.c"]}, **{"src/main.c": MINE})


def contents(tree: Tree) -> Contents:
    return {name: entry[1] for name, entry in tree.items() if entry is not None}


def below(out: Path) -> Contents:
    return contents(read_tree(out))


def prepare(root: Path, files: Contents | None) -> Path:
    """A folder in which lies what the user has, and a build of `files`, whose main.c was edited."""
    root.mkdir()
    (root / "notes.txt").write_bytes(b"notes")
    out = root / "out"
    if files is not None:
        write_folder(out, files, disk=Unsynced())
        for name, content in FOREIGN.items():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(content)
        (out / "src/main.c").write_bytes(MINE)
    return out


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where there is one: thousands of trees are made."""
    memory = Path("/dev/shm") / f"tinygen-test-{os.getpid()}-{tmp_path.name}"
    folder = memory if os.access("/dev/shm", os.W_OK) else tmp_path / "disk"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def check_update(root: Path, tree: Tree, *allowed: Contents) -> Contents:
    """A crash left `tree`: the next command makes it whole, and the next build finds nothing amiss."""
    make_tree(root, tree)
    out = root / "out"
    recover(out, Unsynced())
    found = below(out)
    assert found in allowed
    assert contents(read_tree(root))["notes.txt"] == b"notes"
    write_folder(out, THIRD, disk=Unsynced())
    assert below(out) == renewed(THIRD)
    shutil.rmtree(root)
    return found


#: States at most for each operation: a sample, and with -m slow all, or many more.
MOST = pytest.mark.parametrize("most", [20, pytest.param(1100, marks=pytest.mark.slow)], ids=["some", "many"])


@MOST
@pytest.mark.parametrize("torn", [False, True], ids=["renames whole", "renames torn"])
def test_every_crash_of_an_update(disk: Path, torn: bool, most: int) -> None:
    out = prepare(disk / "made", OLD)
    before = read_tree(disk / "made")
    traced = Traced(disk / "made")
    write_folder(out, NEW, disk=traced)
    old, new = whole(OLD, **{"src/main.c": MINE}), renewed(NEW)
    assert below(out) == new
    committed = next(i for i, (what, _, to) in enumerate(traced.done) if what == "rename" and str(to).endswith(JOURNAL))
    model = Model(before, traced.done, torn=torn)
    ended = {"old": 0, "new": 0}
    for after in range(model.length + 1):
        allowed = [old] * (after <= committed + 1) + [new] * (after > committed)
        for tree in model.states(after, most // 4 if after <= committed else most, seed=1):
            ended["old" if check_update(disk / "crashed", tree, *allowed) == old else "new"] += 1
    print(f"{model.length} operations, {ended} states")
    assert ended["old"] > 100
    assert ended["new"] > 200


@MOST
def test_every_crash_of_a_new_folder(disk: Path, most: int) -> None:
    prepare(disk / "made", None)
    before = read_tree(disk / "made")
    traced = Traced(disk / "made")
    write_folder(disk / "made/a/b/out", NEW, disk=traced)
    model = Model(before, traced.done)
    last = next(i for i, (what, *_) in enumerate(traced.done) if what == "rename")
    count = 0
    for after in range(model.length + 1):
        for tree in model.states(after, most, seed=2):
            make_tree(disk / "crashed", tree)
            out = disk / "crashed/a/b/out"
            found = below(out) if out.exists() else None
            assert found in ([None] if after <= last else [None, {**NEW, MANIFEST: manifest(NEW)}])
            assert found is not None or after < model.length
            write_folder(out, THIRD, disk=Unsynced())
            assert contents(read_tree(disk / "crashed")) == {
                "notes.txt": b"notes",
                **{f"a/b/out/{n}": c for n, c in {**THIRD, MANIFEST: manifest(THIRD)}.items()},
            }
            shutil.rmtree(disk / "crashed")
            count += 1
    print(f"{model.length} operations, {count} states")
    assert count > 300


def crashed(disk: Path) -> list[Tree]:
    """States of an update that was killed, each operation done, from its journal on."""
    out = prepare(disk / "made", OLD)
    before = read_tree(disk / "made")
    traced = Traced(disk / "made")
    write_folder(out, NEW, disk=traced)
    model = Model(before, traced.done)
    trees = [next(model.states(after, 1, seed=0)) for after in range(model.length + 1)]
    shutil.rmtree(disk / "made")
    return [t for t in trees if any(name.endswith(f"/{JOURNAL}") for name in t)]


@MOST
def test_every_crash_of_a_recovery(disk: Path, most: int) -> None:
    new = renewed(NEW)
    count = 0
    for tree in crashed(disk)[:: 1 if most > 1000 else 4]:
        make_tree(disk / "made", tree)
        before = read_tree(disk / "made")
        traced = Traced(disk / "made")
        recover(disk / "made/out", traced)
        assert below(disk / "made/out") == new
        model = Model(before, traced.done)
        for after in range(model.length + 1):
            for again in model.states(after, most // 40, seed=3):
                assert check_update(disk / "crashed", again, new) == new
                count += 1
        shutil.rmtree(disk / "made")
    print(f"{count} states")
    assert count > 300


def test_what_the_user_changed_meanwhile_is_kept(disk: Path) -> None:
    """Edited, or made anew, between the crash and the next command: refused as ever, and overwritten with force."""
    new = renewed(NEW)
    for tree in crashed(disk):
        for name in ("lib/net.c", "lib/gone.c", "other/b.h"):
            make_tree(disk / "made", tree)
            out = disk / "made/out"
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).unlink(missing_ok=True)
            (out / name).write_bytes(b"mine\n")
            recover(out, Unsynced())
            assert below(out) == {**new, name: b"mine\n"}
            assert not list(out.glob(f"{STAGING}*"))
            with pytest.raises(OutputError, match="edited since" if name in NEW else "tinygen did not make"):
                write_folder(out, THIRD, disk=Unsynced())
            if name in NEW:
                write_folder(out, THIRD, force=True, disk=Unsynced())
                assert below(out) == renewed(THIRD)
            shutil.rmtree(disk / "made")


class Failing(Unsynced):
    """Fails at the so-many-th operation; `ever` after too."""

    def __init__(self, at: int, error: BaseException, *, ever: bool) -> None:
        self.left, self.error, self.ever = at, error, ever

    def _step(self) -> None:
        self.left -= 1
        if self.left == 0 or (self.left < 0 and self.ever):
            raise self.error

    def write(self, path: Path, content: bytes) -> None:
        try:
            self._step()
        except OSError:
            super().write(path, content[: len(content) // 2])
            raise
        super().write(path, content)

    def sync(self, path: Path) -> None:
        self._step()
        super().sync(path)

    def rename(self, source: Path, target: Path) -> None:
        self._step()
        super().rename(source, target)

    def unlink(self, path: Path) -> None:
        self._step()
        super().unlink(path)

    def mkdir(self, path: Path) -> None:
        self._step()
        super().mkdir(path)

    def rmdir(self, path: Path) -> None:
        self._step()
        super().rmdir(path)


ERRORS = (OSError(errno.ENOSPC, "No space left"), OSError(errno.EIO, "Input/output error"), KeyboardInterrupt())


@pytest.mark.parametrize("ever", [False, True], ids=["once", "ever after"])
@pytest.mark.parametrize("start", [OLD, None], ids=["update", "new"])
@pytest.mark.parametrize("error", ERRORS, ids=["full", "broken", "interrupted"])
def test_every_failure(disk: Path, error: BaseException, start: Contents | None, ever: bool) -> None:
    """An operation fails, once or with all that follow: an error, and the old state, at once or by the next command."""
    old = whole(OLD, **{"src/main.c": MINE}) if start else None
    new = renewed(NEW) if start else {**NEW, MANIFEST: manifest(NEW)}
    for at in range(1, 1000):
        out = prepare(disk / "made", start)
        broken = Failing(at, error, ever=ever)
        said = ""
        try:
            write_folder(out, NEW, disk=broken)
        except OutputError as e:
            said = str(e)
        except KeyboardInterrupt:
            said = "interrupted"
        assert not said or (error.args[1] if error.args else "interrupted") in said
        failed = bool(said)
        left = list(out.glob(f"{STAGING}*"))
        if not ever:
            assert not left or broken.left == 0  # what cannot be taken away stays, and is harmless
            assert not failed or not out.exists() or not any((p / JOURNAL).exists() for p in left)
        recover(out, Unsynced())
        found = below(out) if out.exists() else None
        assert found in ((old, new) if failed else (new,))
        if failed and not ever and isinstance(error, OSError):
            assert found == old
        write_folder(out, THIRD, disk=Unsynced())
        assert not [name for name in read_tree(disk / "made") if STAGING in name]
        shutil.rmtree(disk / "made")
        if broken.left > 0:
            assert at > 20
            return
    raise AssertionError("it never got through")


# -- more than one, links, and folders of others ---------------------------------------------------------------------


def test_two_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    write_folder(out, OLD)
    monkeypatch.setattr(swap, "LOCK_WAIT_S", 0.2)
    for shared in (False, True):
        with swap.locked(out, shared=shared), pytest.raises(OutputError, match="in use by another tinygen"):
            write_folder(out, NEW)
    assert below(out) == {**OLD, MANIFEST: manifest(OLD)}
    write_folder(out, NEW)
    with swap.locked(out, shared=True), swap.locked(out, shared=True):
        check_generated(out)


def test_another_one_was_faster(tmp_path: Path) -> None:
    """Two builds into the same new folder: the second finds the first one's, and updates it."""

    class Slow(Disk):
        def rename(self, source: Path, target: Path) -> None:
            if target == out and not out.exists():
                write_folder(out, OLD)
            super().rename(source, target)

    out = tmp_path / "out"
    write_folder(out, NEW, disk=Slow())
    assert below(out) == {**NEW, MANIFEST: manifest(NEW)}
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_live_neighbour_is_left_alone(tmp_path: Path) -> None:
    """A build into `a` stages beside it; a build into `b` and a look at the folder above take nothing away."""

    class Slow(Disk):
        def rename(self, source: Path, target: Path) -> None:
            if target == tmp_path / "a":
                write_folder(tmp_path / "b", NEW)
                recover(tmp_path)
            super().rename(source, target)

    write_folder(tmp_path / "a", OLD, disk=Slow())
    assert below(tmp_path / "a") == {**OLD, MANIFEST: manifest(OLD)}
    assert below(tmp_path / "b") == {**NEW, MANIFEST: manifest(NEW)}


def test_files_that_do_not_change_are_not_touched(tmp_path: Path) -> None:
    write_folder(tmp_path / "out", OLD)
    before = {name: (tmp_path / "out" / name).stat() for name in OLD}
    write_folder(tmp_path / "out", NEW)
    after = (tmp_path / "out/same").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before["same"].st_ino, before["same"].st_mtime_ns)
    assert (tmp_path / "out/lib/net.c").stat().st_ino != before["lib/net.c"].st_ino
    assert not (tmp_path / "out/old").exists()


@pytest.mark.parametrize(
    "where", ["../victim", "/tmp/victim", "link/victim", "", "a/../../victim", "..\\victim", "C:victim"]
)
def test_a_journal_of_others_moves_nothing_outside(tmp_path: Path, where: str) -> None:
    (tmp_path / "victim").write_text("mine")
    out = tmp_path / "out"
    staging = out / f"{STAGING}evil"
    staging.mkdir(parents=True)
    (out / "link").symlink_to(tmp_path)
    (staging / JOURNAL).write_text(f'{{"generator": "tinygen", "moves": [["{where}", "0", "0"]]}}')
    with pytest.raises(OutputError, match="is damaged"):
        recover(out)
    assert (tmp_path / "victim").read_text() == "mine"


def test_a_manifest_of_others_removes_nothing_outside(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    out = tmp_path / "out"
    write_folder(out, OLD)
    names = manifest({**OLD, "../victim": b"mine", "link/victim": b"mine"})
    (out / MANIFEST).write_bytes(names)
    write_folder(out, NEW, force=True)
    assert (tmp_path / "victim").read_text() == "mine"
    (out / "link").symlink_to(tmp_path)
    with pytest.raises(OutputError, match="did not make: link"):
        write_folder(out, OLD, force=True)


def test_staged_files_that_the_disk_lost_although_it_said_otherwise(disk: Path) -> None:
    """No file system should; then it is undone, which still can be as long as nothing was moved."""
    for tree in crashed(disk)[:2]:
        for name, entry in tree.items():
            if "/new-" in name and entry is not None:
                make_tree(disk / "made", {**tree, name: (entry[0], b"")})
                recover(disk / "made/out", Unsynced())
                assert below(disk / "made/out") == whole(OLD, **{"src/main.c": MINE})
                shutil.rmtree(disk / "made")


def test_kills(tmp_path: Path) -> None:
    """A sample of `make kills`."""
    outcomes = kills.run(60, tmp_path)
    assert sum(n for kind, n in outcomes.items() if kind.startswith("then")) == 60
    assert outcomes["in the swap"] > 5
