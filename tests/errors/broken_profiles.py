"""Cases: folders, boards and tools that `tinygen profile` cannot work with."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.errors.broken_surroundings import only, program
from tests.errors.cases import OUTPUT, TARGET, TOOL, Case, Command, Place
from tinygen.emit import writer


def _profile(*options: str) -> Callable[[Place], Command]:
    return lambda p: ["profile", str(p.built()), *options]


def _edited(p: Place) -> Command:
    file = p.built() / "lib" / "net" / "src" / "net.c"
    file.write_text(file.read_text() + "\n")
    return ["profile", str(p.out)]


def _rewrite(p: Place, name: str, change: Callable[[bytes], bytes] | None) -> Command:
    """A folder whose manifest is right, though another tinygen wrote the file, or did not."""
    out = p.built()
    manifest = out / writer.MANIFEST
    known = json.loads(manifest.read_text())["files"]
    if change is None:
        (out / name).unlink()
        del known[name]
    else:
        (out / name).write_bytes(change((out / name).read_bytes()))
    manifest.write_bytes(writer.manifest({n: (out / n).read_bytes() for n in known}))
    return ["profile", str(out)]


def _older(p: Place) -> Command:
    return _rewrite(p, "plan.json", None)


def _newer(p: Place) -> Command:
    return _rewrite(p, "plan.json", lambda text: text.replace(b'"format": 1', b'"format": 99'))


def _senseless(p: Place) -> Command:
    return _rewrite(p, "plan.json", lambda _: b"[1, 2]")


def _short_golden(p: Place) -> Command:
    return _rewrite(p, "include/net_golden.h", lambda text: text.replace(b"golden0_input0[", b"golden0_in["))


def _without(*programs: str) -> Callable[[Place], Command]:
    def arrange(p: Place) -> Command:
        p.built()
        only(p, *programs)
        return ["profile", str(p.out)]

    return arrange


def _gcc(script: str) -> Callable[[Place], Command]:
    def arrange(p: Place) -> Command:
        p.built()
        only(p, "arm-none-eabi-gcc", "qemu-system-arm", "as", "ld", "sh")
        program(p, "gcc", script)
        return ["profile", str(p.out)]

    return arrange


def _qemu(script: str) -> Callable[[Place], Command]:
    def arrange(p: Place) -> Command:
        p.built()
        # A plug-in that is there already, so that nothing is compiled into the home folder.
        p.patch.setattr("tinygen.profile.counter.plugin", lambda: Path("/dev/null"))
        only(p, "arm-none-eabi-gcc", "as", "ld", "sh")
        program(p, "qemu-system-arm", script)
        return ["profile", str(p.out)]

    return arrange


@dataclass(frozen=True)
class _Counted:
    """What of a profile is looked at before its page is written."""

    every: float | None = None


def _page_is_folder(p: Place) -> Command:
    p.built()
    p.patch.setattr("tinygen.api.built.profile_folder", lambda folder, board: _Counted())
    p.patch.setattr("tinygen.report.profile_page.render_page", lambda result: b"")
    return ["profile", str(p.out), "--html", str(p.folder)]


CASES = [
    Case(
        "profile_missing", lambda p: ["profile", str(p.folder / "no")], OUTPUT, "no", "no such folder", "tinygen built"
    ),
    Case(
        "profile_model",
        lambda p: ["profile", str(p.model())],
        OUTPUT,
        "net.onnx",
        "not a folder made by tinygen",
        "tinygen built",
    ),
    Case("profile_foreign", lambda p: ["profile", str(p.folder)], OUTPUT, "test_", "no MANIFEST.json", "tinygen built"),
    Case("profile_edited", _edited, OUTPUT, "out", "net.c", "Build again"),
    Case("profile_older", _older, OUTPUT, "out", "plan.json is missing", "Build again"),
    Case("profile_newer", _newer, OUTPUT, "plan.json", "format 99", "Build again"),
    Case("profile_senseless", _senseless, OUTPUT, "out", "cannot be read as a build", "Build again"),
    Case("profile_golden_short", _short_golden, OUTPUT, "out", "golden input 0 has", "Build again"),
    Case("profile_board_unknown", _profile("--board", "nucleo"), TARGET, '"nucleo"', "no board", "tinygen boards"),
    Case(
        "profile_other_kernels", _profile("--board", "bbcmicrobit"), TARGET, "bbcmicrobit", "cortex-m0", "--board bbc"
    ),
    Case("profile_other_native", _profile("--board", "native"), TARGET, "native", "kernels are not those", "Build it"),
    Case(
        "profile_native",
        lambda p: ["profile", str(p.out)] if p.built("--board", "native") else [],
        TARGET,
        "native",
        "no emulator",
        "board with another core",
    ),
    Case("profile_no_arm_gcc", _without("gcc", "sh"), TOOL, "arm-none-eabi-gcc", "not on PATH", "apt install"),
    Case(
        "profile_no_host_cc",
        _without("arm-none-eabi-gcc", "qemu-system-arm", "as", "ld", "sh"),
        TOOL,
        "none of gcc, clang, cc is on PATH",
        "gcc, clang, cc",
        "set CC",
    ),
    Case(
        "profile_no_qemu",
        _without("arm-none-eabi-gcc", "as", "ld", "sh"),
        TOOL,
        "qemu-system-arm",
        "not on PATH",
        "Install",
    ),
    Case(
        "profile_plugin_fails",
        _gcc("echo 'no shared libraries here' >&2; exit 1"),
        TOOL,
        "cannot compile the plug-in",
        "no shared libraries here",
        "Set CC",
    ),
    Case(
        "profile_qemu_without_plugins",
        _qemu("echo 'qemu-system-arm: -plugin x: invalid option' >&2; exit 1"),
        TOOL,
        "qemu-system-arm",
        "without plug-ins",
        "Install one",
    ),
    Case("profile_qemu_fails", _qemu("echo 'bad thing' >&2; exit 3"), TOOL, "QEMU", "exit code 3", "bad thing"),
    Case("profile_page_is_folder", _page_is_folder, OUTPUT, "is a folder", "test_", "name a file"),
]
