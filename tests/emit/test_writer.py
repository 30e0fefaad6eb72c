"""What is the user's own stays the user's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinygen.emit.writer import check_generated, write_folder
from tinygen.errors import OutputError

FILES = {"src/main.c": b"int main(void);\n", "lib/net/src/net.c": b"/* net */\n"}


@pytest.mark.parametrize("force", [False, True])
def test_an_edited_main_is_kept(tmp_path: Path, force: bool) -> None:
    out = tmp_path / "out"
    write_folder(out, FILES)
    (out / "src/main.c").write_bytes(b"mine\n")
    check_generated(out)
    write_folder(out, {**FILES, "src/main.c": b"newer\n"}, force=force)
    assert (out / "src/main.c").read_bytes() == b"mine\n"
    write_folder(out, {**FILES, "src/main.c": b"newest\n"}, force=force)
    assert (out / "src/main.c").read_bytes() == b"mine\n"


def test_an_untouched_main_is_renewed_and_a_removed_one_comes_back(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_folder(out, FILES)
    write_folder(out, {**FILES, "src/main.c": b"newer\n"})
    assert (out / "src/main.c").read_bytes() == b"newer\n"
    (out / "src/main.c").unlink()
    write_folder(out, FILES)
    assert (out / "src/main.c").read_bytes() == FILES["src/main.c"]


def test_an_edited_library_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_folder(out, FILES)
    (out / "lib/net/src/net.c").write_bytes(b"mine\n")
    with pytest.raises(OutputError, match="edited"):
        write_folder(out, FILES)
