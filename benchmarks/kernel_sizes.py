"""Code bytes of every kernel on every core, for `tinygen inspect`: writes kernel_sizes.json in each architecture's
folder.

    python -m benchmarks.kernel_sizes

A size is what the kernel's own object file brings (.text and .rodata, -O2 as in the generated library), with the
files it includes but without functions of other objects and compiler helpers.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile

from tinygen.build.toolchain import find_toolchain
from tinygen.emit.library import kernel_files
from tinygen.kernels.library import PRINTED
from tinygen.resources import templates_dir
from tinygen.targets.cores import CORES
from tinygen.targets.kernel_sizes import sizes_file


def main() -> int:
    found: dict[Path, dict[str, dict[str, int]]] = {}
    for core in CORES:
        if core.machine is None:
            continue
        tools, sizes = find_toolchain(core), {}
        for kernel_set in core.kernel_sets:
            files = (templates_dir() / "kernels" / kernel_set).glob("*.c")
            printed = (name for name in PRINTED if name.endswith(f"_{kernel_set}"))
            for name in sorted((*(f.stem for f in files), *printed)):
                sizes[name] = code_bytes(name, (*tools.cc, *core.cflags, *tools.cflags))
        found.setdefault(sizes_file(core.arch), {})[core.name] = dict(sorted(sizes.items()))
    for path, table in found.items():
        path.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        print(f"{path}: {len(table)} cores, {sum(map(len, table.values()))} kernels")
    return 0


def code_bytes(kernel: str, command: tuple[str, ...]) -> int:
    """Flash that the object of one kernel takes."""
    with tempfile.TemporaryDirectory(prefix="tinygen-") as folder:
        for name, content in kernel_files((kernel,)).items():
            (Path(folder) / name).write_bytes(content)
        object_file = Path(folder) / "kernel.o"
        subprocess.run([*command, f"-I{folder}", "-c", f"{folder}/{kernel}.c", "-o", str(object_file)], check=True)
        with object_file.open("rb") as file:
            sections = ELFFile(file).iter_sections()
            return sum(int(s["sh_size"]) for s in sections if s["sh_flags"] & SH_FLAGS.SHF_ALLOC)


if __name__ == "__main__":
    raise SystemExit(main())
