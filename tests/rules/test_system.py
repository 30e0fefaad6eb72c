"""What differs between operating systems is named in tinygen/system.py alone, and every text file says its encoding."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.system.elsewhere import MODULES, OS, SIGNAL

PACKAGE = Path(__file__).resolve().parents[2] / "tinygen"

#: Modules that some system lacks, or where they do less: `selectors` cannot wait for pipes on Windows.
IMPORTED = {*MODULES, "_winapi", "ctypes", "platform", "select", "selectors", "syslog", "winreg"}
#: Names of `os`, `signal` and `sys` that some system lacks, or that mean something else there.
NAMED = {
    "os": {*OS, "name", "kill", "open", "fsync", "dup2", "set_blocking", "uname", "symlink"},
    "signal": {*SIGNAL, "SIGBREAK", "CTRL_C_EVENT", "set_wakeup_fd"},
    "sys": {"platform", "getwindowsversion"},
    "errno": {"EINVAL", "ENOTSUP", "ENOLCK", "EPIPE"},
}
#: Where one of them is needed and means the same everywhere.
ALLOWED = {
    ("cli/__init__.py", "os.open"), ("cli/app.py", "os.open"), ("cli/app.py", "os.dup2"),  # of os.devnull
}  # fmt: skip


def complaints(path: str, source: str) -> list[str]:
    """What a file names that is not for it; each with its line."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, a.name) for a in node.names if a.name.split(".")[0] in IMPORTED]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [f"{node.module}.{a.name}" for a in node.names if a.name in NAMED.get(node.module, ())]
            found += [(node.lineno, n) for n in (names if node.module.split(".")[0] not in IMPORTED else [node.module])]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in NAMED.get(node.value.id, ()):
                found.append((node.lineno, f"{node.value.id}.{node.attr}"))
        elif isinstance(node, ast.Call) and _text_without_encoding(node):
            found.append((node.lineno, "a text file without its encoding"))
    return [f"tinygen/{path}:{line}: {what}" for line, what in found if (path, what) not in ALLOWED]


def _text_without_encoding(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if any(k.arg == "encoding" for k in call.keywords):
        return False
    if name in ("read_text", "write_text"):
        return True
    if name != "open" or (isinstance(call.func, ast.Attribute) and getattr(call.func.value, "id", "") in ("os", "z")):
        return False
    position = 0 if isinstance(call.func, ast.Attribute) else 1
    mode = call.args[position] if len(call.args) > position else None
    return not (isinstance(mode, ast.Constant) and "b" in str(mode.value))


def test_only_system_names_them() -> None:
    files = {p.relative_to(PACKAGE).as_posix(): p for p in PACKAGE.rglob("*.py") if "_data" not in p.parts}
    found = [
        line
        for name, path in sorted(files.items())
        if name != "system.py"
        for line in complaints(name, path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n" + "\n".join(found)
    assert {path for path, _ in ALLOWED} <= set(files)


@pytest.mark.parametrize(
    "source",
    [
        "import fcntl",
        "def f():\n    import resource",
        "from fcntl import flock",
        "import selectors",
        "import os\nos.killpg(1, 9)",
        "from os import fork",
        "import signal\nX = (signal.SIGINT, signal.SIGHUP)",
        "import sys\nif sys.platform == 'win32': ...",
        "import os\nW = os.name == 'nt'",
        "from pathlib import Path\nPath('x').read_text()",
        "from pathlib import Path\nPath('x').open('w')",
        "open('x')",
    ],
)
def test_a_name_is_found(source: str) -> None:
    assert len(complaints("files.py", source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos.environ['X'], os.getpid(), os.path.realpath('x'), os.replace('a', 'b')",
        "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)",
        "from pathlib import Path\nPath('x').read_text(encoding='utf-8'), Path('x').open('rb')",
        "open('x', 'rb'), open('x', encoding='ascii')",
        "import errno\nerrno.ENOSPC, errno.EEXIST",
    ],
)
def test_others_are_not(source: str) -> None:
    assert complaints("files.py", source) == []
