"""Libraries of two versions of tinygen in one program: kernels that differ live side by side, equal ones are shared.

The other version is a copy of the templates in which configurations have their members in another order.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.emit.library import Library, known_library, run, templates_of
from tests.emit.test_generated_c import kernel_counts, link_for_core, pair, two_models_program
from tinygen.build.qemu import run_qemu
from tinygen.emit import library, stamp
from tinygen.emit.stamp import Stamps, plain, stamped
from tinygen.resources import templates_dir
from tinygen.targets.cores import get_core

Need = Callable[[str], None]
#: Whose configuration is in another order in the other version.
CHANGED = ("ref/tg_conv_s8", "ref/tg_dwconv_s8", "ref/tg_add_s8")


def reordered(header: str) -> str:
    """A header with the members of its configuration in reverse order."""
    found = re.search(r"typedef struct \{\n(.*?)\} tg_\w+_cfg_t;", header, re.DOTALL)
    assert found is not None
    lines = found[1].splitlines(keepends=True)
    assert len(lines) > 3
    return header.replace(found[1], "".join(reversed(lines)))


@pytest.fixture(scope="module")
def other_templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("other") / "templates_c"
    shutil.copytree(templates_dir(), folder)
    for unit in CHANGED:
        path = folder / "kernels" / f"{unit}.h"
        path.write_text(reordered(path.read_text(encoding="ascii")), encoding="ascii")
    return folder


def versions(core: str, other: Path) -> tuple[Library, Library]:
    """Two models with the same layers: "conv" of this version, "second" of the other."""
    ours, theirs = pair(core)
    with templates_of(other):
        return ours, replace(theirs, files=library.render_library(theirs.view))


def units(files: Mapping[str, bytes]) -> dict[str, str]:
    """Kernels by plain name, with their stamps."""
    stems = (name.removesuffix(".c") for name in files if name.startswith("tg_") and name.endswith(".c"))
    return {plain(stem): stem[-8:] for stem in stems}


@dataclass(frozen=True)
class Way:
    """How the two come together: the C compiler and its flags, the user's compiler, one folder of objects or two, and
    which comes first."""

    compiler: str = "gcc"
    flags: tuple[str, ...] = ("-O1",)
    user: str = "gcc"
    flat: bool = False
    archives: bool = False
    second_first: bool = False

    def __str__(self) -> str:
        words = [self.compiler, *self.flags, self.user, *("flat",) * self.flat, *("archives",) * self.archives]
        return " ".join([*words, "second first" if self.second_first else "conv first"])


LTO = ("-O2", "-flto", "-Wlto-type-mismatch", "-Wodr", "-Werror")
WAYS = [
    *(("native", Way(second_first=s)) for s in (False, True)),
    *(("native", Way(archives=True, second_first=s)) for s in (False, True)),
    *(("native", Way(flat=True, second_first=s)) for s in (False, True)),
    *(("native", Way(flags=LTO, second_first=s)) for s in (False, True)),
    *(("native", Way(user="g++", second_first=s)) for s in (False, True)),
    ("native", Way(flags=LTO, user="g++", flat=True)),
    ("native", Way("tcc", flat=True)),  # it makes no weak symbols
    ("native", Way("clang", user="clang++")),
    *(("cortex-m4", Way(flat=True, second_first=s)) for s in (False, True)),
    ("cortex-m4", Way(flags=LTO, user="g++")),
]


class Objects:
    """Libraries compiled once for each set of flags."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[tuple[int, tuple[str, ...]], Path] = {}

    def __call__(self, lib: Library, command: tuple[str, ...]) -> Path:
        """A folder with the sources and objects of a library."""
        key = id(lib), command
        if key not in self._known:
            place = lib.write(self._folder / str(len(self._known)))
            for source in sorted(place.glob("*.c")):
                run(*command, "-c", source.name, cwd=place)
            self._known[key] = place
        return self._known[key]


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Objects:
    return Objects(tmp_path_factory.mktemp("objects"))


@pytest.fixture(scope="module")
def libraries(other_templates: Path) -> Mapping[str, tuple[Library, Library]]:
    return {core: versions(core, other_templates) for core in ("native", "cortex-m4")}


def link(libs: Sequence[Library], way: Way, objects: Objects, folder: Path) -> Path:
    """The program that runs both and returns the number of wrong bytes."""
    main = folder / ("main.cpp" if "++" in way.user else "main.c")
    main.write_text(two_models_program(libs))
    made = [
        objects(lib, (way.compiler, "-std=c99", *way.flags)) for lib in (reversed(libs) if way.second_first else libs)
    ]
    parts = [o for place in made for o in sorted(place.glob("*.o"))]
    if way.flat:
        for o in parts:  # a later object replaces an earlier one of its name
            shutil.copy(o, folder)
        parts = sorted(folder.glob("*.o"))
    if way.archives:
        parts = [folder / f"lib{place.name}.a" for place in made]
        for archive, place in zip(parts, made, strict=True):
            run("ar", "rcs", archive, *sorted(place.glob("*.o")))
    includes = [f"-I{place}" for place in made]
    run(way.user, *way.flags, "-Wall", "-Werror", *includes, main, *parts, "-o", folder / "both")
    return folder / "both"


@pytest.mark.parametrize(("core", "way"), WAYS, ids=str)
def test_two_versions_in_one_program(
    core: str,
    way: Way,
    libraries: Mapping[str, tuple[Library, Library]],
    objects: Objects,
    tmp_path: Path,
    require_tool: Need,
) -> None:
    """Kernels of a Cortex-M4 run through their portable bodies here."""
    if way.compiler == "tcc" and shutil.which("tcc") is None:
        pytest.skip("tcc is not on PATH")
    require_tool(way.compiler)
    require_tool(way.user)
    libs = libraries[core]
    run(link(libs, way, objects, tmp_path))
    if "-flto" in way.flags:
        return  # inlined: symbols say nothing
    ours, theirs = (units(lib.files) for lib in libs)
    counts = kernel_counts(run("nm", "-P", tmp_path / "both"))
    names = {*libs[0].plan.kernels, *libs[1].plan.kernels}
    assert {n: counts[n] for n in names} == {n: len({u[n] for u in (ours, theirs) if n in u}) for n in names}
    twice = {n for n in names if counts[n] == 2}
    assert {n for n in names if re.match("tg_(conv|dwconv)_s8", n)} <= twice
    assert not any(n.startswith("tg_softmax") for n in twice)  # nothing of it changed: it is shared


def test_without_stamps_they_compute_nonsense(
    libraries: Mapping[str, tuple[Library, Library]],
    other_templates: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    require_tool: Need,
) -> None:
    """What the stamps are for, and that the tests above can fail: with one stamp for all, the same program links and is
    wrong."""
    require_tool("gcc")
    ours, theirs = libraries["native"]
    monkeypatch.setattr(Stamps, "__getitem__", lambda *_: "0" * 8)
    ours = replace(ours, files=library.render_library(ours.view))
    with templates_of(other_templates):
        theirs = replace(theirs, files=library.render_library(theirs.view))
    with pytest.raises(AssertionError, match=r"/both\n"):  # the program's own verdict
        run(link((ours, theirs), Way(), Objects(tmp_path), tmp_path))


def test_two_versions_on_a_core(
    libraries: Mapping[str, tuple[Library, Library]], tmp_path: Path, require_tool: Need
) -> None:
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")
    core, libs = get_core("cortex-m4"), libraries["cortex-m4"]
    assert core.machine is not None
    (tmp_path / "main.c").write_text(two_models_program(libs))
    parts: list[Path] = []
    for lib in libs:
        src = lib.write(tmp_path / lib.name)
        run("arm-none-eabi-gcc", "-std=c99", *core.cflags, "-O2", "-c", *sorted(src.glob("*.c")), cwd=src)
        parts += sorted(src.glob("*.o"))
    elf = link_for_core(core, tmp_path, [tmp_path / "main.c", *parts], [tmp_path / lib.name for lib in libs])
    result = run_qemu(core.machine, elf, tmp_path)
    assert (result.exit_code, result.fault) == (0, None), result.stdout + result.stderr
    counts = kernel_counts(run("arm-none-eabi-nm", "-P", elf))
    assert set(counts.values()) == {1, 2}


@pytest.mark.parametrize("options", ["-fshort-enums", "-funsigned-char"])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_options_of_library_and_user_may_differ(
    compiler: str, options: str, tmp_path: Path, require_tool: Need
) -> None:
    """Neither the size of an enum nor the sign of a char is part of the interface."""
    require_tool(compiler)
    folder = known_library("dense").write(tmp_path / "lib")
    (tmp_path / "main.c").write_text(
        '#include "dense.h"\nint main(void) {\nstatic dense_ctx_t c;\n'
        "static int8_t x[DENSE_INPUT_LEN], y[DENSE_OUTPUT_LEN];\n"
        "dense_ctx_t *odd = (dense_ctx_t *)(void *)&c.arena[1];\n"
        "return dense_run(&c, x, y) != DENSE_OK || dense_run(0, x, y) != DENSE_E_NULL"
        " || dense_run(odd, x, y) != DENSE_E_ALIGN;\n}\n"
    )
    for level in ("-O0", "-Os"):
        for inside, outside in (((options,), ()), ((), (options,))):
            sources = [*sorted(folder.glob("*.c"))]
            run(compiler, level, *inside, "-std=c99", "-c", *sources, cwd=folder)
            run(
                compiler, level, *outside, f"-I{folder}", tmp_path / "main.c", *folder.glob("*.o"), "-o", tmp_path / "a"
            )
            run(tmp_path / "a")


# --- stamps ----------------------------------------------------------------------------------------------------------


def test_a_stamp_follows_all_that_a_kernel_is_made_of() -> None:
    """Its own two files, what they include, and what that includes; nothing else."""
    files = {
        "tg_a.c": '#include "tg_a.h"\n#include "tg_core.h"\nint a;\n',
        "tg_a.h": '#include "tg_types.h"\n',
        "tg_b.c": '#include "tg_b.h"\n',
        "tg_b.h": "int b(void);\n",
        "tg_core.h": '#include "tg_base.h"\n',
        "tg_base.h": "typedef int base;\n",
        "tg_types.h": "typedef int type;\n",
    }
    before = Stamps(files.get)
    assert re.fullmatch("[0-9a-f]{8}", before["tg_a"])
    for name in files:
        after = Stamps({**files, name: files[name] + "/* */\n"}.get)
        assert (after["tg_a"] != before["tg_a"]) == (not name.startswith("tg_b.")), name
        assert (after["tg_b"] != before["tg_b"]) == name.startswith("tg_b."), name


def test_units_that_include_each_other_have_stamps() -> None:
    files = {"tg_a.h": '#include "tg_b.h"\n', "tg_b.h": '#include "tg_a.h"\n'}
    stamps = Stamps(files.get)
    assert stamps["tg_a"] == stamps["tg_b"]


def test_a_header_renames_what_it_declares() -> None:
    source = (
        "/**\n * @file  tg_x.h\n */\n#ifndef TG_X_H_INCLUDED\n#define TG_X_H_INCLUDED\n\n"
        "typedef struct {\n    int n;\n} tg_x_cfg_t;\n\ntypedef struct tg_node tg_node_t;\n\n"
        "typedef void (*tg_x_fn_t)(tg_node_t *n);\n\nstruct tg_node {\n    int n;\n};\n\n"
        "static inline int tg_local(int n)\n{\n    return n;\n}\n\nvoid tg_x(const tg_x_cfg_t *cfg);\n\n"
        "#endif /* TG_X_H_INCLUDED */\n"
    )
    ((name, text),) = stamped({"tg_x.h": source}, {"tg_x": "1a2b3c4d"}).items()
    assert name == "tg_x_1a2b3c4d.h"
    assert "@file  tg_x_1a2b3c4d.h" in text
    assert re.findall("(?:ifndef|define|endif).*(TG_X_1A2B3C4D_H_INCLUDED)", text) == ["TG_X_1A2B3C4D_H_INCLUDED"] * 3
    renamed = re.findall(r"#define (tg_\w+) (tg_\w+)\n", text)
    assert [old for old, _ in renamed] == ["tg_x", "tg_node", "tg_node_t", "tg_x_cfg_t", "tg_x_fn_t"]
    assert all(new == f"{old}_1a2b3c4d" for old, new in renamed)
    body = source[source.index("typedef") : source.index("#endif")]
    assert body in text  # which stays as it was written


def test_every_type_of_a_header_is_renamed() -> None:
    """No typedef of a kernel's header has a name that another version could have too."""
    for path in sorted((templates_dir() / "kernels").rglob("*.h")):
        source = path.read_text(encoding="ascii")
        text = stamp._header(source, path.stem, "1a2b3c4d")
        code = re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL)
        types = {t for t in re.findall(r"\btg_\w+_t\b", code) if re.search(rf"(\}}|struct \w+|\(\*) ?{t}\b", code)}
        assert types <= set(re.findall(r"#define (tg_\w+) ", text)), path.name


@pytest.mark.parametrize("net", ["conv", "several"])
def test_the_models_header_stands_alone(net: str) -> None:
    """Macros of a kernel's header in a program that includes two models would rename those of the other's."""
    assert set(re.findall(r"#include (.*)", known_library(net).files[f"{net}.h"].decode())) <= {
        "<stddef.h>",
        "<stdint.h>",
    }


def test_models_of_one_version_share_every_kernel() -> None:
    """The same files, byte for byte, whatever else the models hold."""
    libs = [known_library(net, core) for net in ("conv", "wave", "mixed") for core in ("native", "cortex-m4")]
    seen: dict[str, bytes] = {}
    for lib in libs:
        for name, content in lib.files.items():
            if name.startswith("tg_"):
                assert seen.setdefault(name, content) == content
    stems = [plain(n.rsplit(".", 1)[0]) for n in seen if n.endswith(".h")]
    assert len(stems) == len(set(stems))
