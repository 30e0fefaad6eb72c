"""What is the user's own stays the user's own, and what a rebuild did is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinygen.emit.writer import Changes, check_generated, write_folder
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


MAIN, NEWER = "src/main.c", "src/main.c.new"


def test_a_rebuild_says_what_it_did(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert write_folder(out, FILES) == Changes(added=("lib/net/src/net.c", "src/main.c"))
    assert write_folder(out, FILES) == Changes()
    changes = write_folder(out, {"src/main.c": b"newer\n", "plan.json": b"{}\n"})
    assert changes == Changes(added=("plan.json",), changed=("src/main.c",), removed=("lib/net/src/net.c",))
    assert str(changes) == "Files: 1 added, 1 changed, 1 removed."
    (out / "plan.json").unlink()
    assert write_folder(out, {"src/main.c": b"newer\n", "plan.json": b"{}\n"}) == Changes(added=("plan.json",))
    (out / "plan.json").write_bytes(b"mine\n")
    forced = write_folder(out, {"src/main.c": b"newer\n", "plan.json": b"{}\n"}, force=True)
    assert forced == Changes(changed=("plan.json",))


def test_the_new_example_lies_beside_an_edited_one_when_it_is_news(tmp_path: Path) -> None:
    out = tmp_path / "out"
    newer, newest = {**FILES, MAIN: b"newer\n"}, {**FILES, MAIN: b"newest\n"}
    write_folder(out, FILES)
    (out / MAIN).write_bytes(b"mine\n")
    # Nothing new: nothing beside it.
    assert write_folder(out, FILES) == Changes(kept=(MAIN,))
    assert not (out / NEWER).exists()
    # Another one than that which was edited: said once, and there until it was compared.
    changes = write_folder(out, newer)
    assert changes == Changes(added=(NEWER,), kept=(MAIN,), renewed=(MAIN,))
    assert str(changes) == ("Files: 1 added. Kept your src/main.c (the generated one has changed: see src/main.c.new).")
    assert (out / NEWER).read_bytes() == b"newer\n"
    check_generated(out)
    assert write_folder(out, newer) == Changes(kept=(MAIN,))
    assert (out / NEWER).read_bytes() == b"newer\n"
    # Compared and deleted: it does not come back before there is a newer one.
    (out / NEWER).unlink()
    check_generated(out)
    assert write_folder(out, newer) == Changes(kept=(MAIN,))
    assert not (out / NEWER).exists()
    assert write_folder(out, newest) == Changes(added=(NEWER,), kept=(MAIN,), renewed=(MAIN,))
    # Taken over: it is tinygen's again.
    (out / NEWER).replace(out / MAIN)
    assert write_folder(out, newer) == Changes(changed=(MAIN,))
    assert sorted(p.name for p in (out / "src").iterdir()) == ["main.c"]


def test_an_example_that_is_edited_no_more_needs_nothing_beside_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_folder(out, FILES)
    (out / MAIN).write_bytes(b"mine\n")
    write_folder(out, {**FILES, MAIN: b"newer\n"})
    (out / MAIN).unlink()
    assert write_folder(out, {**FILES, MAIN: b"newer\n"}) == Changes(added=(MAIN,), removed=(NEWER,))


def test_what_the_user_writes_beside_it_is_not_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_folder(out, FILES)
    (out / MAIN).write_bytes(b"mine\n")
    write_folder(out, {**FILES, MAIN: b"newer\n"})
    (out / NEWER).write_bytes(b"half merged\n")
    check_generated(out)  # it has nothing to do with what was proved
    with pytest.raises(OutputError, match=r"src/main\.c\.new"):
        write_folder(out, {**FILES, MAIN: b"newest\n"})
    assert (out / NEWER).read_bytes() == b"half merged\n"


def test_an_edited_example_outlives_a_build_that_has_none(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_folder(out, FILES)
    (out / MAIN).write_bytes(b"mine\n")
    without = {n: c for n, c in FILES.items() if n != MAIN}
    for _ in range(2):
        assert write_folder(out, without) == Changes(kept=(MAIN,))
        assert (out / MAIN).read_bytes() == b"mine\n"
