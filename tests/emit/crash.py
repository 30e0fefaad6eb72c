"""A disk that writes down what is done to it, and every state in which a crash could leave it.

What POSIX promises: what was written to a file lasts once the file is synced; a name that was made, changed or removed
lasts once its folder is. Of the rest any part may be lost, in any order. A rename happens as a whole, or (`torn`) its
new name may last without the loss of the old one.
"""

from __future__ import annotations

import itertools
import math
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tinygen.files import Disk

NEVER = math.inf
#: A tree: of each path, the file's number and bytes, or None for a folder. Files of one number are one file.
Tree = dict[str, tuple[int, bytes] | None]


class Unsynced(Disk):
    """For states that nobody pulls the plug on."""

    def sync(self, path: Path) -> None:
        assert path.exists()


class Traced(Disk):
    """Does everything, and notes it: (what, path, more)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.done: list[tuple[str, str, str | bytes]] = []

    def _note(self, what: str, path: Path, more: Path | bytes = b"") -> None:
        place = more if isinstance(more, bytes) else self._name(more)
        self.done.append((what, self._name(path), place))

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def write(self, path: Path, content: bytes) -> None:
        super().write(path, content)
        self._note("write", path, content)

    def sync(self, path: Path) -> None:
        assert path.exists()
        if path.is_relative_to(self.root):
            self._note("sync", path)

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        self._note("rename", source, target)

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        self._note("unlink", path)

    def mkdir(self, path: Path) -> None:
        super().mkdir(path)
        self._note("mkdir", path)

    def rmdir(self, path: Path) -> None:
        super().rmdir(path)
        self._note("rmdir", path)


@dataclass
class Effect:
    """Names (folder's number, name, number or None) that change together, or the bytes of a file. `at`: the operation
    that brought it; `lasts`: the one after which it cannot be lost; `needs`: an effect without which it is not there.
    """

    at: int
    names: tuple[tuple[int, str, int | None], ...] = ()
    content: tuple[int, bytes] | None = None
    needs: Effect | None = None
    unsynced: set[int] = field(default_factory=set)
    lasts: float = NEVER


class Model:
    """A disk as numbers: what each folder names, what each file holds; and the effects of a trace upon it."""

    def __init__(self, before: Tree, done: Sequence[tuple[str, str, str | bytes]], *, torn: bool = False) -> None:
        self.folders: dict[int, dict[str, int]] = {0: {}}
        self.files: dict[int, bytes] = {}
        self._next = 1 + max((entry[0] for entry in before.values() if entry is not None), default=0)
        for path, entry in sorted(before.items()):
            folder, name = self._find(self.folders, path)
            if entry is None:
                self.folders[folder][name] = self._number()
                self.folders[self.folders[folder][name]] = {}
            else:
                self.folders[folder][name] = entry[0]
                self.files[entry[0]] = entry[1]
        self.effects: list[Effect] = []
        self.length = len(done)
        self._follow(done, torn)

    def _number(self) -> int:
        self._next += 1
        return self._next - 1

    @staticmethod
    def _find(folders: dict[int, dict[str, int]], path: str) -> tuple[int, str]:
        *above, name = path.split("/")
        at = 0
        for part in above:
            at = folders[at][part]
        return at, name

    def _follow(self, done: Sequence[tuple[str, str, str | bytes]], torn: bool) -> None:
        now = {n: dict(f) for n, f in self.folders.items()}

        def add(i: int, *names: tuple[int, str, int | None], needs: Effect | None = None) -> Effect:
            for folder, name, number in names:
                if number is None:
                    now[folder].pop(name, None)
                else:
                    now[folder][name] = number
            self.effects.append(Effect(i, names, needs=needs, unsynced={f for f, *_ in names}))
            return self.effects[-1]

        for i, (what, path, more) in enumerate(done):
            if what == "sync":
                number = 0 if path == "." else now[(at := self._find(now, path))[0]][at[1]]
                for e in self.effects:
                    e.unsynced.discard(number)
                    if not e.unsynced and e.lasts == NEVER:
                        e.lasts = i
                continue
            folder, name = self._find(now, path)
            if what == "write":
                number = self._number()
                add(i, (folder, name, number))
                assert isinstance(more, bytes)
                self.effects.append(Effect(i, content=(number, more), unsynced={number}))
                self.files[number] = b""
            elif what == "mkdir":
                number = self._number()
                self.folders[number], now[number] = {}, {}
                add(i, (folder, name, number))
            elif what in ("unlink", "rmdir"):
                add(i, (folder, name, None))
            else:
                assert what == "rename"
                assert isinstance(more, str)
                new, old = (*self._find(now, more), now[folder][name]), (folder, name, None)
                if torn:
                    add(i, old, needs=add(i, new))
                else:
                    add(i, old, new)

    def states(self, after: int, most: int, seed: int) -> Iterator[Tree]:
        """Trees that a crash after so many operations may leave, each once: all, or `most` drawn at random."""
        begun = [e for e in self.effects if e.at < after]
        open_ = [e for e in begun if e.lasts >= after]
        seen = set()
        for lost in _subsets(len(open_), most, random.Random(f"{seed} {after}")):
            gone = {id(open_[i]) for i in lost}
            if any(e.needs is not None and id(e.needs) in gone and id(e) not in gone for e in open_):
                continue
            tree = self._tree([e for e in begun if id(e) not in gone])
            key = tuple(sorted(tree.items()))
            if key not in seen:
                seen.add(key)
                yield tree

    def _tree(self, effects: Sequence[Effect]) -> Tree:
        folders = {n: dict(f) for n, f in self.folders.items()}
        files = dict(self.files)
        for e in effects:
            for folder, name, number in e.names:
                if number is None:
                    folders[folder].pop(name, None)
                else:
                    folders[folder][name] = number
            if e.content is not None:
                files[e.content[0]] = e.content[1]
        tree: Tree = {}

        def walk(folder: int, path: str) -> None:
            for name, number in folders[folder].items():
                if number in folders:
                    tree[path + name] = None
                    walk(number, f"{path}{name}/")
                else:
                    tree[path + name] = (number, files[number])

        walk(0, "")
        return tree


def _subsets(n: int, most: int, rng: random.Random) -> Iterator[tuple[int, ...]]:
    """All subsets of n things, or if there are more than `most`: none, all, each alone, all but each, random ones."""
    if 2**n <= most:
        for size in range(n + 1):
            yield from itertools.combinations(range(n), size)
        return
    everything = tuple(range(n))
    yield ()
    yield everything
    for i in everything:
        yield (i,)
        yield everything[:i] + everything[i + 1 :]
    for _ in range(most):
        yield tuple(i for i in everything if rng.random() < 0.5)


# -- trees on a real disk --------------------------------------------------------------------------------------------


def read_tree(root: Path) -> Tree:
    tree: Tree = {}
    numbers: dict[int, int] = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder) / name
            key = path.relative_to(root).as_posix()
            if path.is_dir():
                tree[key] = None
            else:
                tree[key] = (numbers.setdefault(path.stat().st_ino, len(numbers) + 1), path.read_bytes())
    return tree


def make_tree(root: Path, tree: Tree) -> None:
    """Files of one number become one file with several names."""
    root.mkdir()
    made: dict[int, Path] = {}
    for name, entry in sorted(tree.items()):
        path = root / name
        if entry is None:
            path.mkdir()
        elif entry[0] in made:
            os.link(made[entry[0]], path)
        else:
            path.write_bytes(entry[1])
            made[entry[0]] = path
