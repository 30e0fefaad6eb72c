"""docs/API_REFERENCE.md, out of signatures and docstrings: python -m tests.api.reference > docs/API_REFERENCE.md"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import tinygen

#: Every public name, by what it is for, in the order of use.
CHAPTERS: dict[str, tuple[str, ...]] = {
    "Models": ("load", "Model", "Inspection"),
    "In fixed point": ("Quantised", "Repairs", "Evaluation", "Gates"),
    "Builds": ("Build", "BuildFolder", "open_build", "Verification", "Profile", "FolderEvaluation"),
    "Compression and search": (
        "Compressed", "Recipe", "Training", "Fitted", "FittedPoint", "Limits", "Effort",
    ),
    "Projects": (
        "open_project", "new_project", "Project", "ProjectBuild", "ProjectCheck", "diff", "BuildDiff", "LockDiff",
    ),
    "Boards and operators": ("boards", "Board", "operators"),
    "Errors": (
        "TinygenError", "ModelError", "UnsupportedError", "DataError", "TargetError", "ToolError", "MissingToolError",
        "OutputError", "VerifyError", "RecipeError", "ProjectError", "TrainingError", "AccuracyError", "CheckError",
    ),
}  # fmt: skip
#: Of results: said once, at their base.
COMMON = {"tables", "to_dict", "to_markdown", "notes"}
HEAD = """# The Python API, name by name

Made from docstrings by `python -m tests.api.reference`; [API](API.md) is the guide. Every result also has `tables()`
(plain data that `str`, notebooks and Markdown show), `to_markdown()`, `to_dict()` ([SCHEMAS](SCHEMAS.md)) and `notes`.
"""


def _signature(name: str, f: Any) -> str:
    s = inspect.signature(f)
    own = [p for n, p in s.parameters.items() if n not in ("self", "cls")]
    text = f"{name}{s.replace(parameters=own)}"
    text = _short(text)
    text = re.sub(r": '([^']*)'|-> '([^']*)'", lambda m: f": {m[1]}" if m[1] else f"-> {m[2]}", text)
    if len(text) > 110:
        head, tail = text.split("(", 1)[0], text[text.rindex(")") :]
        parts = [re.sub(r": '([^']*)'", r": \1", str(p)) for p in own]
        if any(p.kind is p.KEYWORD_ONLY for p in own):
            first = next(i for i, p in enumerate(own) if p.kind is p.KEYWORD_ONLY)
            parts.insert(first, "*")
        parts = [_short(p) for p in parts]
        text = f"{head}(\n" + "".join(f"    {p},\n" for p in parts) + tail
    return text


def _short(text: str) -> str:
    """Defaults as a reader would write them."""
    text = re.sub(r"<function (\w+) at 0x[0-9a-f]+>", r"\1", text)
    return re.sub(r"Training\(epochs=(\d+), .*?\)", r"Training(epochs=\1)", text)


def _text(of: Any) -> str:
    """A docstring as Markdown: examples in a block of their own, brackets of C names as they are."""
    lines = inspect.cleandoc(of.__doc__ or "").splitlines()
    out: list[str] = []
    example = False
    for line in lines:
        if line.startswith(">>> ") and not example:
            out.append("```pycon")
            example = True
        elif example and not line.strip():
            out.append("```")
            example = False
        hanging = not example and line.startswith("    ")
        new = not example and re.match(r"[a-z_]+(, [a-z_]+)*( \([a-z]+\))?: ", line)
        line = line if example else line.strip().replace("<", "\\<")
        out.append(f"- {line}" if new else f"  {line}" if hanging else line)
    return "\n".join([*out, *(["```"] if example else [])])


def _class(name: str, c: type) -> Iterator[str]:
    yield f"### {name}\n\n{_text(c)}\n"
    if issubclass(c, Exception):
        return
    if not name.endswith(("Build", "Folder")) and "__init__" in vars(c) and _made_by_users(c):
        yield f"```text\n{_signature(name, c)}\n```\n"
    rows = [(n, f) for n, f in vars(c).items() if isinstance(f, property) and n not in COMMON and n[0] != "_"]
    if rows:
        yield "| attribute | |\n| --- | --- |"
        for n, f in rows:
            said = " ".join(_text(f).split()).replace("|", "\\|")
            kind = inspect.signature(f.fget).return_annotation if f.fget else ""  # type: ignore[arg-type]
            yield f"| `{n}: {str(kind).replace('|', chr(92) + '|')}` | {said} |"
        yield ""
    for n, f in vars(c).items():
        if not n.startswith("_") and inspect.isfunction(f) and n not in COMMON:
            yield f"```text\n{name}.{_signature(n, f)}\n```\n\n{_text(f)}\n"


def _made_by_users(c: type) -> bool:
    """What is made by hand has no field of its own."""
    return not any(n.startswith("_") for n in inspect.signature(c).parameters)


def reference() -> str:
    parts = [HEAD]
    for chapter, names in CHAPTERS.items():
        parts.append(f"## {chapter}\n")
        for name in names:
            found = getattr(tinygen, name)
            if inspect.isclass(found):
                parts += _class(name, found)
            else:
                parts.append(f"### {name}\n\n```text\n{_signature(name, found)}\n```\n\n{_text(found)}\n")
    return "\n".join(parts).rstrip("\n") + "\n"


if __name__ == "__main__":
    print(reference(), end="")
