"""What cppcheck's MISRA add-on finds in kernels that are programs: in their C, not in the headers.

    python -m tests.kernels.misra [plane]

prints how often each rule of MISRA C:2012 is broken in each kernel of the family, or of all.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tests.c.harness import INCLUDES
from tests.kernels.mutants import FAMILIES
from tinygen.emit.env import render
from tinygen.kernels.kernel import Kernel


def findings(kernel: Kernel, folder: Path) -> Counter[str]:
    """Of the file of one kernel, written to `folder`: how often each rule is broken."""
    for end in ("h", "c"):
        text = render(f"kernels/dsp/tg_program.{end}.j2", k=kernel)
        (folder / f"{kernel.name}.{end}").write_text(text, encoding="utf-8")
    file = folder / f"{kernel.name}.c"
    command = ["cppcheck", "--addon=misra", "--enable=style", "--std=c99", "-q", "--template={file} {id}"]
    done = subprocess.run([*command, *INCLUDES, f"-I{folder}", str(file)], capture_output=True, text=True, check=True)
    assert "misra-c2012" in done.stderr, done.stderr  # the headers' own: the add-on has looked
    return Counter(re.findall(rf"^{re.escape(str(file))} misra-c2012-([\d.]+)$", done.stderr, re.MULTILINE))


def main(families: Iterable[str]) -> None:
    """See the head of this file."""
    for family in families:
        with tempfile.TemporaryDirectory() as folder:
            for name, kernel in {case.kernel.name: case.kernel for case in FAMILIES[family]()}.items():
                print(family, name, dict(findings(kernel, Path(folder))) or "none", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or FAMILIES)
