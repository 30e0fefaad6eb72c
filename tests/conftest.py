"""Shared by all tests; small on purpose."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="renew tests/golden; read the difference")


def pytest_configure() -> None:
    """Signals that a script ignores for what it runs in the background mean what they say in the tests."""
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


@pytest.fixture(scope="session")
def require_tool() -> Callable[[str], None]:
    """Call with a program's name: without it the test is skipped at a desk, and fails in CI ($CI is set)."""

    def require(name: str) -> None:
        if shutil.which(name) is None:
            if os.environ.get("CI"):
                pytest.fail(f"{name} is not on PATH")
            pytest.skip(f"{name} is not on PATH")

    return require
