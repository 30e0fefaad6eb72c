"""`--private`: nothing that is written has a name of the ONNX file, or a hash of it or of the data."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, helper

from tests.emit.nets import NETS
from tinygen.emit.library import home
from tinygen.emit.writer import check_generated
from tinygen.errors import DataError, ModelError
from tinygen.flow.build import build_folder
from tinygen.flow.evaluate_folder import evaluate_folder
from tinygen.flow.gates import Terms
from tinygen.flow.private import hidden_verdict, renamed
from tinygen.flow.quantised import load
from tinygen.flow.types import Built, Calibration, Library, Proof, Target
from tinygen.flow.verdict import Damage, verdict_json
from tinygen.ir.invariants import check
from tinygen.targets.board import load_board

TOLD = "acme secret widget"


def telling(model: ModelProto) -> ModelProto:
    """The network with names, and words beside it, that tell everything."""
    names = [t.name for t in model.graph.initializer]
    for node in model.graph.node:
        names += [*node.output]
    names += [v.name for v in model.graph.input]
    new = {name: f"{TOLD}/tensor {i}" for i, name in enumerate(dict.fromkeys(names)) if name}
    for i, node in enumerate(model.graph.node):
        node.name = f"{TOLD}/layer {i}/{node.op_type}"
        for field in (node.input, node.output):
            field[:] = [new.get(name, name) for name in field]
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        value.name = new[value.name]
    model.graph.name = model.producer_name = model.doc_string = model.graph.doc_string = TOLD
    model.domain = TOLD
    helper.set_model_props(model, {"author": TOLD})
    return model


def build(
    folder: Path, model: ModelProto, library: Library, board: str = "nucleo_f446re", activations: str = "8"
) -> Built:
    """A build with data that judge it, and the two outputs' labels."""
    path = folder / f"{TOLD}.onnx"
    path.write_bytes(model.SerializeToString())
    loaded = load(path, name="net")
    rng = np.random.default_rng(1)
    arrays = {p.name: rng.normal(size=(40, *p.shape)).astype(np.float32) for p in loaded.tidy.in_ports}
    np.savez(folder / "data.npz", **(arrays if len(arrays) > 1 else {"x": next(iter(arrays.values()))}))
    target = Target(load_board(board), library=library)
    calibration = Calibration(folder / "data.npz", activations=activations)
    return build_folder(
        loaded, folder / "out", target, calibration, terms=Terms(accept_loss=True), proof=Proof(()), force=True
    )


def leaks(folder: Path, built: Built) -> list[str]:
    """Files of the folder, and names of files, with a name of the model or a hash of it or of the data."""
    secrets = [*TOLD.split(), "tensor_", "layer_0", built.model.imported.sha256, built.model.samples.sha256]
    assert built.verdict is not None
    secrets += [built.verdict.samples_sha256, *(s[:8] for s in secrets[-2:])]
    found = []
    for path in sorted(p for p in (folder / "out").rglob("*") if p.is_file()):
        text = path.relative_to(folder / "out").as_posix() + path.read_bytes().decode("utf-8")
        found += [f"{path.name}: {s}" for s in secrets if s.lower() in text.lower()]
    return found


@pytest.mark.parametrize(
    ("net", "board"),
    [("conv", "ek_ra8m1"), ("several", "nucleo_f446re"), ("parts", "bbcmicrobit"), ("mixed", "native")],
)
def test_nothing_is_told(net: str, board: str, tmp_path: Path) -> None:
    model = telling(NETS[net]())
    open_ = build(tmp_path, model, Library(), board)
    assert len(leaks(tmp_path, open_)) > 10, "the test can fail"
    before = {n: c for n, c in open_.files.items() if n.startswith(home("net"))}
    built = build(tmp_path, model, Library(private=True), board)
    assert leaks(tmp_path, built) == []
    check_generated(tmp_path / "out")
    # The same network: as many arrays of the same numbers, as many layers, the same memory, the same outputs.
    weights = f"{home('net')}/net_weights.c"
    assert _numbers(built.files[weights]) == _numbers(before[weights])
    assert [(s.title, s.in_shapes, s.out_shapes, s.macs) for s in built.plan.steps] == [
        (s.title, s.in_shapes, s.out_shapes, s.macs) for s in open_.plan.steps
    ]
    assert built.plan.arena_len == open_.plan.arena_len
    assert all((a == b).all() for a, b in zip(built.expected, open_.expected, strict=True))
    check(built.model.fixed)


def _numbers(source: bytes) -> list[str]:
    return sorted(re.findall(r"= \{\n(.*?)\};", source.decode(), re.DOTALL))


def test_what_is_told_instead(tmp_path: Path) -> None:
    built = build(tmp_path, telling(NETS["several"]()), Library(private=True))
    out = tmp_path / "out"
    header = (out / home("net") / "net.h").read_text()
    assert " *   model   private\n" in header
    assert 'ONNX "input0"' in header
    plan = json.loads((out / "plan.json").read_text())
    assert [p["name"] for p in plan["inputs"]] == [f"input{i}" for i in range(len(plan["inputs"]))]
    assert [p["name"] for p in plan["outputs"]] == [f"output{i}" for i in range(len(plan["outputs"]))]
    assert all(re.fullmatch(r"[a-z0-9]+_\d+", layer["name"]) for layer in plan["layers"])
    assert not any(layer["onnx"] for layer in plan["layers"])
    certificate = json.loads((out / "certificate.json").read_text())
    assert certificate["options"]["private"] is True
    assert certificate["model"] == {"name": "net", "sha256": None, "opset": 17}
    assert {name.rpartition("_")[0] for name in certificate["accumulators"]["layers"]} <= {"conv", "dense"}
    # On the terminal layers have their names still.
    assert any(TOLD in name for a in built.model.layers for name in a.origin)


def test_golden_samples_are_not_the_user_s_data(tmp_path: Path) -> None:
    model = NETS["dense"]()
    private, open_ = (build(tmp_path, model, Library(private=p)) for p in (True, False))
    golden = "include/net_golden.h"
    assert private.files[golden] != open_.files[golden]
    first = ", ".join(str(int(v)) for v in private.inputs[0][0].ravel()[:8])
    assert first in open_.files[golden].decode()
    assert first not in private.files[golden].decode()


def test_options_that_name_layers_and_inputs(tmp_path: Path) -> None:
    model = telling(NETS["several"]())
    name = model.graph.input[1].name
    layer = next(n.name for n in model.graph.node if n.op_type in ("Conv", "Gemm"))
    built = build(tmp_path, model, Library(sensors=(f"{name}=uint8/255",), private=True), activations=layer)
    assert leaks(tmp_path, built) == []
    options = json.loads((tmp_path / "out" / "certificate.json").read_text())["options"]
    assert (options["activations"], options["sensors"]) == ("mixed", ["input1=uint8/255"])
    assert "net_quantize_input1_u8" in built.files[f"{home('net')}/net.h"].decode()
    with pytest.raises(DataError, match=re.escape(name)):  # the file's names are those that the user knows
        build(tmp_path, model, Library(sensors=("other=uint8",), private=True))


def test_a_verdict_tells_no_names(tmp_path: Path) -> None:
    built = build(tmp_path, telling(NETS["several"]()), Library())
    assert built.verdict is not None
    part = replace(built.verdict.main, name=f'explained variance of the part of "{TOLD}" from "{TOLD} "quoted" \n"')
    verdict = replace(
        built.verdict,
        figures=(*built.verdict.figures, part),
        damage=Damage("conv 3x3", (TOLD,), None, 3.0),
        repairs=(f"widen: {TOLD} in int16",),
    )
    hidden = hidden_verdict(verdict, built.model.tidy)
    assert TOLD in str(verdict.figures)
    assert TOLD not in json.dumps(verdict_json(hidden))
    names = [f.name for f in hidden.figures]
    assert names[-1] == "explained variance of the part of a layer"
    assert len(set(names)) == len(names)
    assert (hidden.repairs, str(hidden.damage)) == (("widen",), "conv 3x3: 3.0 dB leave")


def test_every_name_goes_and_the_graph_stays(tmp_path: Path) -> None:
    built = build(tmp_path, telling(NETS["mixed"]()), Library())
    graph, plain = built.model.fixed, renamed(built.model.fixed)
    check(plain)
    assert [type(n.op) for n in plain.nodes] == [type(n.op) for n in graph.nodes]
    assert not any(TOLD in name for name in plain.tensors)
    assert renamed(plain) == plain


def test_no_file_can_be_told_to_be_the_one(tmp_path: Path) -> None:
    build(tmp_path, NETS["dense"](), Library(private=True))
    with pytest.raises(ModelError, match="the build is private"):
        evaluate_folder(tmp_path / "out", tmp_path / "data.npz", model=tmp_path / f"{TOLD}.onnx")
