"""A table of a TOML file, read strictly: every complaint names file, key, what was found and what is allowed."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from tinygen.errors import ProjectError, RecipeError, did_you_mean
from tinygen.fit.budget import parse_size
from tinygen.units import points, share

#: Files of a few hundred models are smaller.
MAX_BYTES = 1 << 20
#: Of a value that is no use, so much is shown.
_SHOWN = 60


def read_toml(path: Path, what: str, help: str) -> dict[str, Any]:
    """The tables of a file. `what`: it is to be, for messages; `help`: what to do where it is no TOML."""
    try:
        if path.exists() and not path.is_file():
            raise ProjectError(f"{path} is no regular file. Give the path of {what}.")
        if path.stat().st_size > MAX_BYTES:
            raise ProjectError(f"{path} has {path.stat().st_size:,} bytes; {what} has at most {MAX_BYTES:,}.")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise ProjectError(f"{path} cannot be read: {e.strerror or e}. Give the path of {what}.") from e
    except RecursionError as e:
        raise ProjectError(f"{path}: brackets within brackets, deeper than in any {what}. It is damaged.") from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise ProjectError(f"{path} is not TOML: {e}. {help}") from e


class TomlTable:
    """One table. `where`: its key in `file`, "" for the top; keys that are not `allowed` are refused at once."""

    def __init__(self, file: Path, where: str, data: object, allowed: Iterable[str] | None = None) -> None:
        self.file, self.where = file, where
        if not isinstance(data, Mapping):
            self._fail(where, data, f"a table: [{where}]")
        self._data: Mapping[str, Any] = data
        known = self._data.keys() if allowed is None else tuple(allowed)
        for key in self._data:
            if key not in known:
                self.fault(key, f"no such key; allowed here: {', '.join(known)}.{did_you_mean(key, known)}")

    def __contains__(self, key: str) -> bool:
        return key in self._data

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def name(self, key: str) -> str:
        """The whole key, as one would write it; "" is the table itself."""
        if not key:
            return self.where
        shown = key if all(c.isalnum() or c in "_-" for c in key) and key.isascii() else json.dumps(key)
        return f"{self.where}.{shown}" if self.where else shown

    def fault(self, key: str, text: str) -> NoReturn:
        """A ProjectError about a key of this table."""
        raise ProjectError(f"{self.file}: {self.name(key)}: {text}")

    def _fail(self, key: str, found: object, allowed: str) -> NoReturn:
        raise ProjectError(f"{self.file}: {key}: found {_shown(found)}, allowed: {allowed}.")

    def _get(self, key: str, kind: type | tuple[type, ...], allowed: str) -> Any:
        """The value of a key that is there."""
        value = self._data[key]
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            self._fail(self.name(key), value, allowed)
        return value

    # -- tables ------------------------------------------------------------------------------------------------------

    def table(self, key: str, allowed: Iterable[str] | None = None) -> TomlTable:
        """A table within; an empty one where there is none."""
        return TomlTable(self.file, self.name(key), self._data.get(key, {}), allowed)

    # -- values: None where the key is absent ------------------------------------------------------------------------

    def need(self, key: str, help: str) -> None:
        """ProjectError where the key is absent."""
        if key not in self._data:
            self.fault(key, f"missing. {help}")

    def text(self, key: str) -> str | None:
        """A text of one line."""
        if key not in self._data:
            return None
        value: str = self._get(key, str, "a text")
        if not value.isprintable():
            self._fail(self.name(key), value, "a text of one line, without control characters")
        return value

    def choice(self, key: str, words: Sequence[str]) -> str | None:
        if key not in self._data:
            return None
        value: str = self._get(key, str, _listed(words))
        if value not in words:
            self.fault(key, f"found {_shown(value)}, allowed: {_listed(words)}.{did_you_mean(value, words)}")
        return value

    def flag(self, key: str) -> bool | None:
        return self._get(key, bool, "true or false") if key in self._data else None

    def whole(self, key: str, least: int = 1) -> int | None:
        """A whole number of at least `least`."""
        if key not in self._data:
            return None
        value: int = self._get(key, int, f"a whole number, {least} or more")
        if value < least:
            self._fail(self.name(key), value, f"a whole number, {least} or more")
        return value

    def texts(self, key: str) -> tuple[str, ...] | None:
        """A list of texts."""
        if key not in self._data:
            return None
        value: list[Any] = self._get(key, list, "a list of texts")
        if not all(isinstance(v, str) for v in value):
            self._fail(self.name(key), value, "a list of texts")
        return tuple(value)

    def wholes(self, key: str) -> tuple[int, ...]:
        """A list of whole numbers, 1 or more: a shape."""
        allowed = "a list of whole numbers, 1 or more: [1, 3, 32, 32]"
        value: list[Any] = self._get(key, list, allowed)
        if not value or not all(type(v) is int and v > 0 for v in value):
            self._fail(self.name(key), value, allowed)
        return tuple(value)

    def numbers(self, key: str) -> int | float | bool | list[Any]:
        """A number, or a list of numbers (of lists)."""
        allowed = "a number, or a list of numbers: 16000, [0.5, 1.0]"
        value: Any = self._get(key, (int, float, list), allowed)

        def holds(v: object) -> bool:
            return all(map(holds, v)) if isinstance(v, list) else isinstance(v, int | float)

        found: int | float | bool | list[Any] = value if holds(value) else self._fail(self.name(key), value, allowed)
        return found

    def positive(self, key: str) -> float | None:
        """A number above 0."""
        return self._number(key, "a number above 0", lambda v: v > 0.0)

    def number(self, key: str) -> float | None:
        """A number, also one without end."""
        return float(self._get(key, (int, float), "a number")) if key in self else None

    def decibel(self, key: str) -> float | None:
        return self._number(key, "decibels, a number", lambda v: v == v)

    def _number(self, key: str, allowed: str, holds: Callable[[float], bool]) -> float | None:
        if key not in self._data:
            return None
        value = float(self._get(key, (int, float), allowed))
        if not holds(value) or abs(value) == float("inf"):
            self._fail(self.name(key), value, allowed)
        return value

    def size(self, key: str) -> int | None:
        """Bytes: 65536, "64K"."""
        if key not in self._data:
            return None
        value = self._get(key, (int, str), 'bytes: 65536, "64K" or "1.5M"')
        try:
            return parse_size(self.name(key), str(value))
        except RecipeError as e:
            raise ProjectError(f"{self.file}: {e}") from e

    def share(self, key: str) -> float | None:
        """A share of 1: 0.9, 90 or "90%", as on the command line."""
        return self._parsed(key, share, 'a share: 0.9, 90 or "90%"')

    def points(self, key: str) -> float | None:
        """Points of a hundred, as a share of 1: 0.5 or "0.5%"."""
        return self._parsed(key, points, "points of a hundred: 0.5, say")

    def _parsed(self, key: str, parse: Callable[[str], float | None], allowed: str) -> float | None:
        if key not in self._data:
            return None
        value = self._get(key, (int, float, str), allowed)
        found = parse(str(value))
        return self._fail(self.name(key), value, allowed) if found is None else found

    def path(self, key: str, *, folder: bool = False) -> Path | None:
        """A file that is there (or, with `folder`, a folder); relative paths begin where the file lies."""
        text = self.text(key)
        if text is None:
            return None
        path = self.file.parent / text
        try:
            there, is_file = path.exists(), path.is_file()
            near = [p.name for p in path.parent.iterdir()] if not there and path.parent.is_dir() else []
        except (OSError, ValueError) as e:
            self.fault(key, f'"{text}" cannot be opened: {e}.')
        if not there:
            self.fault(key, f'no file "{text}" ({path}).{did_you_mean(path.name, near)}')
        if not is_file and not folder:
            self.fault(key, f'"{text}" is a folder, allowed is a file.')
        return path


def _listed(words: Sequence[str]) -> str:
    return ", ".join(f'"{w}"' for w in words)


def _shown(value: object) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
