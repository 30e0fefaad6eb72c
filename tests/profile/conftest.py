"""A build to profile, made once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.emit.nets import NETS
from tinygen.flow.build import build_folder
from tinygen.flow.quantised import load
from tinygen.flow.types import Built, Calibration, Target
from tinygen.profile.folder import profile_folder
from tinygen.profile.types import Profile
from tinygen.targets.board import load_board

BOARD = "nucleo_f446re"


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], None]) -> Built:
    """The net `mixed` for a Cortex-M4; its folder is `folder`."""
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")
    folder = tmp_path_factory.mktemp("profile")
    (folder / "mixed.onnx").write_bytes(NETS["mixed"]().SerializeToString())
    done = build_folder(
        load(folder / "mixed.onnx"), folder / "out", Target(load_board(BOARD)), Calibration(method="minmax")
    )
    FOLDERS[done.plan.name] = folder / "out"
    return done


FOLDERS: dict[str, Path] = {}


@pytest.fixture(scope="session")
def folder(built: Built) -> Path:
    return FOLDERS[built.plan.name]


@pytest.fixture(scope="session")
def profile(folder: Path) -> Profile:
    return profile_folder(folder)
