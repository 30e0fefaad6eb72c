"""How `pio test` runs these tests: the program itself on this computer, QEMU for a board; no serial port.

A program prints `ok NAME`, `not ok NAME: why`, and at last `done COUNT`; it must then return 0.
"""

import os
import re
import subprocess

import click
from platformio.test.result import TestCase, TestStatus
from platformio.test.runners.base import TestRunnerBase

LINE = re.compile(r"^(ok|not ok) (\w+)(?:: (.*))?$")
TIMEOUT_S = 120


class CustomTestRunner(TestRunnerBase):
    def stage_testing(self):
        if self.options.without_testing:
            return
        click.secho("Testing...", bold=True)
        text, ended = self.run_program()
        expected = None
        for line in text.splitlines():
            verdict = LINE.match(line)
            if verdict:
                self.add(verdict[2], TestStatus.PASSED if verdict[1] == "ok" else TestStatus.FAILED, verdict[3])
            elif line.startswith("done "):
                expected = int(line.split()[1])
            else:
                click.echo(line)
        if ended != "exit code 0" or expected != len(self.test_suite.cases):
            self.add("program", TestStatus.ERRORED, f"{ended} after {len(self.test_suite.cases)} tests, not {expected}")

    def run_program(self):
        """What the program printed, and how it ended."""
        env = self.test_suite.env_name
        board = self.platform.board_config(self.project_config.get(f"env:{env}", "board"))
        name = "program" if board.get("tinygen.core") == "native" else "firmware.elf"
        path = os.path.join(self.project_config.get("platformio", "build_dir"), env, name)
        try:
            done = subprocess.run(
                self.platform.run_command(board, path),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            return (error.stdout or b"").decode("utf-8", "replace"), f"no end within {TIMEOUT_S} s"
        except OSError as error:
            return "", str(error)
        return done.stdout.decode("utf-8", "replace"), f"exit code {done.returncode}"

    def add(self, name, status, message):
        case = TestCase(name=name, status=status, message=message)
        self.test_suite.add_case(case)
        click.echo(case.humanize())
