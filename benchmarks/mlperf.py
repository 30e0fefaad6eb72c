"""The MLPerf Tiny networks on an emulated Cortex-M4, measured by ../shared/emu, beside the peers of baselines.json.

    python -m benchmarks.mlperf          table; writes benchmarks/results/mlperf.json

Instructions are exact and repeat on any machine; cycles are modelled (zero-wait memory, see ../shared/emu/README.md).
Flash and RAM are what the linker says of the model's own objects and the compiler helpers they pull in.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.datasets import dataset_for, shared_dir
from benchmarks.models import RESULTS, build_first_fit, calibration_samples
from tinygen import workflow as flow
from tinygen.report import flash_bytes

#: Name in baselines.json: the file of ../shared/models.
NETWORKS = {
    "ad": "ad01_tf_keras",
    "ic": "ic_resnet8_tf_keras",
    "kws": "kws_dscnn_tf_keras",
    "vww": "vww_mobilenetv1_025_tf_keras",
    "sww": "sww_str_ww_tf_keras",
}
FLAGS = (
    "-std=c99", "-O2", "-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard", "-ffunction-sections",
    "-nostartfiles", "--specs=nano.specs", "--specs=nosys.specs", "-Wl,--gc-sections", "-Wl,--no-warn-rwx-segments",
)  # fmt: skip
MAIN = """#include "{name}.h"
void bench_begin(void); void bench_end(void); void emu_puts(const char *s);
static {name}_ctx_t ctx; static int8_t x[{macro}_INPUT_LEN], y[{macro}_OUTPUT_LEN];
int main(void)
{{
    for (unsigned i = 0; i < sizeof x; i++) {{ x[i] = (int8_t)(i * 37U); }}
    bench_begin();
    {name}_status_t s = {name}_run(&ctx, x, y);
    bench_end();
    return (int)s;
}}
"""


def count(built: flow.Built) -> dict[str, int]:
    """Instructions, modelled cycles, loads, stores of one inference."""
    emu = shared_dir() / "emu"
    name = built.plan.name
    with tempfile.TemporaryDirectory(prefix="tinygen-") as folder:
        src = Path(folder)
        prefix = f"lib/{name}/src/"
        for path, content in built.files.items():
            if path.startswith(prefix):
                (src / path.removeprefix(prefix)).write_bytes(content)
        (src / "bench_main.c").write_text(MAIN.format(name=name, macro=name.upper()), encoding="utf-8")
        elf = src / "a.elf"
        sources = [str(p) for p in sorted(src.glob("*.c"))]
        command = [
            "arm-none-eabi-gcc",
            *FLAGS,
            "-T",
            str(emu / "mps2.ld"),
            f"-I{src}",
            str(emu / "startup.c"),
            *sources,
        ]
        subprocess.run([*command, "-o", str(elf)], check=True)
        text = subprocess.run([str(emu / "runemu"), "mps2-an386", str(elf)], check=True, capture_output=True, text=True)
    found = re.search(r"interval 0 (.*)", text.stdout + text.stderr)
    assert found is not None, text
    words = found[1].split()
    return {words[i]: int(words[i + 1]) for i in range(0, len(words), 2)}


def main() -> int:
    baselines = json.loads((shared_dir() / "baselines.json").read_text(encoding="utf-8"))["tflm_cmsis_nn"]
    table = Table(title="MLPerf Tiny on Cortex-M4: tinygen beside TFLM + CMSIS-NN (best of its -O2 builds)")
    for column in (
        "network", "MACs", "insns", "TFLM", "cycles", "TFLM", "insns/MAC", "arena + in/out", "TFLM arena", "flash",
        "TFLM", "flash less constants", "TFLM less model", "stack", "TFLM",
    ):  # fmt: skip
        table.add_column(column, justify="left" if column == "network" else "right")
    rows: dict[str, Any] = {}
    for short, stem in NETWORKS.items():
        options = flow.Options("", calibration_samples(dataset_for(stem).calib[0]), verify_cores=("cortex-m4",))
        with tempfile.TemporaryDirectory(prefix="tinygen-") as folder:
            built = build_first_fit(shared_dir() / "models" / f"{stem}.onnx", options, Path(folder) / "out")
        counted = count(built)
        flash = flash_bytes(built)
        assert flash is not None
        peers = [baselines[k][short] for k in ("m4-O2-cmsis", "m4-O2-cmsis-asm")]
        peer = {
            k: min(p[k] for p in peers) for k in ("insns", "cycles", "arena_min", "flash", "flash_code", "stack_invoke")
        }
        ram = built.plan.arena_len + built.io_bytes
        tensors = built.model.fixed.tensors.values()
        weights = sum(t.size for t in tensors if t.const is not None and t.quant is not None)
        rows[short] = {
            "model": stem, "macs": built.plan.macs, **counted, "arena": built.plan.arena_len, "io": built.io_bytes,
            "flash": flash, "constants": built.library.weight_bytes, "weights": weights, "stack": built.stack,
            "tflm": peer,
        }  # fmt: skip
        table.add_row(
            short, f"{built.plan.macs:,}", f"{counted['insns']:,}", f"{peer['insns']:,}", f"{counted['cycles']:,}",
            f"{peer['cycles']:,}", f"{counted['insns'] / built.plan.macs:.2f}", f"{ram:,}", f"{peer['arena_min']:,}",
            f"{flash:,}", f"{peer['flash']:,}", f"{flash - built.library.weight_bytes:,}", f"{peer['flash_code']:,}",
            f"{built.stack:,}", f"{peer['stack_invoke']:,}",
        )  # fmt: skip
        print(short, counted, file=sys.stderr, flush=True)
    Console(width=200).print(table)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "mlperf.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
