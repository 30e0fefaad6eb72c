"""Every model of ../shared/models, as tidied, planned and built."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.frontend.support import random_feeds, real, run_original
from tests.report.schemas import valid
from tinygen.calibrate.floatrun import FloatModel
from tinygen.calibrate.synthetic import synthetic
from tinygen.flow.build import build_folder
from tinygen.flow.quantised import calibrate, load
from tinygen.flow.types import Calibration, Target
from tinygen.frontend.onnx_reader import Imported, read_onnx
from tinygen.frontend.onnx_writer import to_onnx
from tinygen.ir.types import Graph
from tinygen.ops import Transpose
from tinygen.passes.pipeline import tidy
from tinygen.plan import memory
from tinygen.plan.planner import plan
from tinygen.targets.board import load_board
from tinygen.targets.cores import get_core

pytestmark = pytest.mark.shared

SHARED = Path(os.environ.get("TINYGEN_SHARED") or Path(__file__).parents[2] / ".." / "shared").resolve()
FILES = sorted((SHARED / "models").glob("*.onnx"))


def models(wanted: Callable[[str], bool]) -> list[object]:
    """Parameters: the models whose name is wanted; one that skips and says where they were looked for when none is."""
    found = [pytest.param(p, id=p.stem) for p in FILES if wanted(p.stem)]
    reason = f"no such models in {SHARED / 'models'} ($TINYGEN_SHARED, or ../shared)"
    return found or [pytest.param(None, marks=pytest.mark.skip(reason=reason))]


def model_path(stem: str) -> Path:
    path = SHARED / "models" / f"{stem}.onnx"
    if not path.is_file():
        pytest.skip(f"no {path} ($TINYGEN_SHARED, or ../shared)")
    return path


@functools.lru_cache(maxsize=2)
def tidied(path: Path) -> tuple[Imported, Graph]:
    imported = read_onnx(path)
    return imported, tidy(imported.graph)


@pytest.mark.parametrize("path", models(lambda s: True))
def test_no_transpose_is_left(path: Path) -> None:
    _, graph = tidied(path)
    assert [n.name for n in graph.nodes if isinstance(n.op, Transpose)] == []
    assert all(n.origin for n in graph.nodes)


@pytest.mark.parametrize("path", models(lambda s: not s.endswith("_qdq")))
def test_tidied_graph_equals_the_original(path: Path) -> None:
    """Import and all passes change float outputs by rounding only."""
    imported, graph = tidied(path)
    session = FloatModel(to_onnx(graph))
    for seed in range(2):
        feeds = random_feeds(imported, seed)
        ins = [
            p.to_tensor(real(feeds[p.name], graph, n)[None])[0]
            for p, n in zip(graph.in_ports, graph.inputs, strict=True)
        ]
        found = dict(zip(session.output_names, session.run(ins), strict=True))
        for want, name, port in zip(run_original(imported, feeds), graph.outputs, graph.out_ports, strict=True):
            got = port.to_onnx(found[name][None])[0]
            np.testing.assert_allclose(got, want, rtol=0, atol=1e-4 * max(float(np.ptp(want)), 1e-3))


#: Model, layer-wise lower bound of BASELINES.md (input and output of one layer), TFLM's arena, both in bytes.
MLPERF = {
    "ad01_pt_legacy": (768, 3_024),
    "kws_dscnn_pt_legacy": (16_000, 22_832),
    "ic_resnet8_pt_legacy": (49_152, 55_008),
    "vww_mobilenetv1_025_pt_legacy": (55_296, 100_720),
    "sww_str_ww_pt_legacy": (6_656, 16_608),
}


@pytest.mark.parametrize("core", ["native", "cortex-m4"])
@pytest.mark.parametrize("stem", MLPERF)
def test_arena_of_the_mlperf_networks(stem: str, core: str) -> None:
    """The plan needs no more than its buffers do at the busiest step, and less than TFLM even with input and output.

    Input and output are the caller's here and TFLM's in its arena: with them, the bound of BASELINES.md holds as well.
    """
    bound, tflm = MLPERF[stem]
    _, graph = tidied(model_path(stem))
    quants = [graph.tensors[n].quant for n in graph.inputs]
    fixed, _ = calibrate(graph, synthetic(graph.in_ports, 1, seed=0, quants=quants), "minmax")
    target = get_core(core)
    p = plan(fixed, target)
    memory.check(p.buffers, p.arena_len)
    assert p.arena_len - 16 < memory.lower_bound(p.buffers) <= p.arena_len
    io = sum(e.length for e in (*p.inputs, *p.outputs))
    assert p.arena_len + io < tflm
    if core == "native":  # kernels of a core take scratch besides
        assert p.arena_len <= bound


def test_complete_build(tmp_path: Path, require_tool: Callable[[str], None]) -> None:
    """kws_dscnn: verified here and on a Cortex-M4, smaller than the peers in all figures."""
    require_tool("gcc")
    path = model_path("kws_dscnn_pt_legacy")
    target = Target(load_board("nucleo_f446re"))
    built = build_folder(load(path, name="kws"), tmp_path / "out", target, Calibration(samples=16))
    assert built.results[0].core == "native"
    assert len({r.outputs_sha256 for r in built.results}) == 1
    valid("plan", json.loads((tmp_path / "out" / "plan.json").read_text()))
    certificate = valid("certificate", json.loads((tmp_path / "out" / "certificate.json").read_text()))
    assert certificate["outputs_sha256"]["numpy"] == built.results[0].outputs_sha256
    header = (tmp_path / "out" / "lib" / "kws" / "src" / "kws.h").read_text()
    assert "#define KWS_INPUT_LEN 490U" in header
    assert "#define KWS_OUTPUT_LEN 12U" in header
    if built.sizes is not None:
        assert built.results[1].core == "cortex-m4"
        assert built.sizes.flash_model < 106_988 / 2
        assert built.sizes.ram_static == 0
        assert built.stack is not None
        assert built.stack < 1500  # the window of a tile lies on it
