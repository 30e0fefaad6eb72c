"""What compression reaches: every technique alone, in pairs and all together, and the recipes of benchmarks/recipes.

    python -m benchmarks.compression techniques [NETWORK ...]    techniques, with and without fine-tuning
    python -m benchmarks.compression recipes [NAME ...]          benchmarks/recipes/NETWORK.NAME.toml, trained in full
    python -m benchmarks.compression memory [NETWORK ...]        networks with recurrent layers or attention
    python -m benchmarks.compression show                        the tables of what is recorded, as Markdown

Each row is a file: compressed with the fit part of the training data, written as ONNX, built for nucleo_f446re, proved
on this computer and the emulated Cortex-M4, judged on test half "a", which nothing else saw. Rows that
benchmarks/results/compression.json holds already are not measured again, so a run that was stopped goes on.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.datasets import Dataset, dataset_for, score, shared_dir
from benchmarks.record import text_of
from tinygen.calibrate.data import Samples
from tinygen.compress.forms.bits import Bits
from tinygen.compress.forms.cluster import Cluster
from tinygen.compress.forms.sparsity import Sparsity
from tinygen.compress.recipe import Recipe, read_recipe
from tinygen.compress.split import some, split
from tinygen.compress.structure.prune import Prune
from tinygen.compress.structure.rank import Rank
from tinygen.compress.structure.student import Student
from tinygen.compress.train.settings import Training
from tinygen.emit.library import render_library
from tinygen.errors import TargetError, TinygenError
from tinygen.flow.build import build_folder
from tinygen.flow.compress import compressed_file
from tinygen.flow.gates import Terms
from tinygen.flow.quantised import load as load_model
from tinygen.flow.quantised import run_both
from tinygen.flow.source import SPLIT_SEED, Source
from tinygen.flow.types import Calibration, Target
from tinygen.profile.measure import profile_plan
from tinygen.report.build import flash_bytes
from tinygen.targets.board import load_board

RESULTS = Path(__file__).parent / "results" / "compression.json"
RECIPES = Path(__file__).parent / "recipes"
BOARDS = ("nucleo_f446re", "disco_f407vg")  # the second where the uncompressed teachers do not fit the first

#: Networks of the table of techniques, and how many epochs each trains; and on how many of its samples, if not all.
NETWORKS = {"fm_lenet_bn": 6, "fsdd_dscnn": 12, "imu_cnn1d": 12}
TRAINING_SAMPLES = {"fm_lenet_bn": 6000}
TECHNIQUES: dict[str, Recipe] = {
    "4 bits": Recipe(Bits(4)),
    "codebook 16": Recipe(Cluster(16)),
    "codebook 16, shared": Recipe(Cluster(16, shared=True)),
    "zeros 75 %": Recipe(Sparsity(0.75)),
    "2:4": Recipe(Sparsity(pattern="2:4")),
    "blocks 50 %": Recipe(Sparsity(0.5, "block4")),
    "channels -50 %": Recipe(Prune(0.5)),
    "rank, 95 % energy": Recipe(Rank(energy=0.95, measure="macs")),
    "student 1/2": Recipe(Student(width=0.5), Training()),
}
#: Techniques of the table of pairs, one of a kind.
PAIRED = ("4 bits", "zeros 75 %", "channels -50 %", "rank, 95 % energy", "student 1/2")


#: Networks with memory or attention, how many epochs each trains, and what is tried on them.
MEMORY = {"imu_lstm": 3, "fsdd_gru": 6, "fsdd_tenc": 6}
MEMORY_TECHNIQUES = {
    name: TECHNIQUES[name] for name in ("4 bits", "codebook 16", "zeros 75 %", "channels -50 %", "rank, 95 % energy")
} | {"channels -70 %": Recipe(Prune(0.7))}
MEMORY_TRAINED = ("4 bits", "channels -50 %", "channels -70 %")


def model_path(network: str) -> Path:
    return shared_dir() / "models" / f"{network}_pt_legacy.onnx"


def source_of(network: str, data: Dataset, *, hold_back: bool = True) -> Source:
    """The network and its training data, split as `tinygen compress` does, or whole as with --all-data."""
    assert data.train is not None
    loaded = load_model(model_path(network), name=network)
    x, labels = data.train
    samples = Samples((np.ascontiguousarray(x),), labels, "0" * 64, "../shared")
    fit, validation = split(samples, SPLIT_SEED)
    return Source(loaded, samples.sha256, fit if hold_back else samples, validation)


def measured(network: str, data: Dataset, model: Path, calibration: Samples, optimize: str) -> dict[str, Any]:
    """Figures of a model file, built and proved for a board."""
    for board in BOARDS:
        target, terms = Target(load_board(board), optimize), Terms(accept_loss=True)
        with tempfile.TemporaryDirectory(prefix="tinygen-") as folder:
            try:
                out = Path(folder) / "out"
                built = build_folder(
                    load_model(model, name=network), out, target, Calibration(calibration), terms=terms
                )
                break
            except TargetError:
                if board == BOARDS[-1]:
                    raise
    assert built.sizes is not None
    run = profile_plan(built.plan, render_library(built.library), built.board.core)
    real, ints = run_both(built.model, data.test)
    return {
        "board": built.board.id,
        "accuracy": round(score(data, ints[0], real[0]), 4),
        "float_of_file": round(score(data, real[0], real[0]), 4),
        "macs": built.plan.macs,
        "constants": built.library.weight_bytes,
        "flash": flash_bytes(built),
        "image": built.sizes.flash_total,
        "arena": built.plan.arena_len,
        "cycles": run.total.cycles,
        "equal_on": [r.core for r in built.results],
    }


def row(network: str, recipe: Recipe | None, *, hold_back: bool = True) -> dict[str, Any]:
    """One row: the network as it is (None), or what a recipe makes of it; with all data also for --optimize size."""
    data = dataset_for(f"{network}_pt_legacy")
    source = source_of(network, data, hold_back=hold_back)
    if hold_back and network in TRAINING_SAMPLES:
        source = replace(source, fit=some(source.fit, TRAINING_SAMPLES[network], SPLIT_SEED))
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="tinygen-") as folder:
        model = model_path(network)
        if recipe is not None:
            model = Path(folder) / f"{network}.onnx"
            content, _ = compressed_file(source, recipe)
            model.write_bytes(content)
        seconds = time.perf_counter() - start
        few = Samples(tuple(x[:200] for x in source.fit.inputs), None, "0" * 64, "../shared")
        found = measured(network, data, model, few, "balanced")
        if not hold_back:
            found["size"] = measured(network, data, model, few, "size")
    return {"float": data.float_reference, **found, "seconds": round(seconds)}


def trained(recipe: Recipe, epochs: int) -> Recipe:
    """With fine-tuning: the teacher's answers, all weights and activations quantised in the loop."""
    return recipe.with_(Training(epochs=epochs, quantise=True, float_share=0.3))


def merged(recipes: Iterable[Recipe]) -> Recipe:
    """All their sections in one."""
    return Recipe().with_(*(section for r in recipes for section in r.sections.values()))


def technique_rows(networks: Sequence[str]) -> dict[str, Recipe | None]:
    """Every row of the table of techniques: "NETWORK: techniques, epochs" to its recipe."""
    rows: dict[str, Recipe | None] = {}
    for network in networks or NETWORKS:
        epochs = NETWORKS[network]
        rows[f"{network}: int8"] = None
        for name, recipe in TECHNIQUES.items():
            if recipe.get(Student) is None:
                rows[f"{network}: {name}"] = recipe
            rows[f"{network}: {name}, trained"] = trained(recipe, epochs)
        for pair in combinations(PAIRED, 2):
            rows[f"{network}: {' + '.join(pair)}, trained"] = trained(merged(TECHNIQUES[p] for p in pair), epochs)
        everything = merged(TECHNIQUES[p] for p in PAIRED)
        mild = everything.without(Student).with_(Prune(0.3), Sparsity(0.5), Rank(energy=0.98))
        rows[f"{network}: all, trained"] = trained(everything, epochs)
        rows[f"{network}: all, milder, trained"] = trained(mild, epochs)
    return rows


def memory_rows(networks: Sequence[str]) -> dict[str, Recipe | None]:
    """Rows of networks with recurrent layers or attention."""
    rows: dict[str, Recipe | None] = {}
    for network in networks or MEMORY:
        rows[f"{network}: int8"] = None
        rows |= {f"{network}: {name}": recipe for name, recipe in MEMORY_TECHNIQUES.items()}
        for name in MEMORY_TRAINED:
            rows[f"{network}: {name}, trained"] = trained(MEMORY_TECHNIQUES[name], MEMORY[network])
    return rows


def recipe_rows(names: Sequence[str]) -> dict[str, Recipe | None]:
    """Every file of benchmarks/recipes, NETWORK.NAME.toml, and the network it belongs to as it is."""
    rows: dict[str, Recipe | None] = {}
    for path in sorted(RECIPES.glob("*.toml")):
        network, name = path.stem.split(".", 1)
        if not names or path.stem in names or network in names:
            rows[f"{network}: int8"] = None
            rows[f"{network}: recipe {name}"] = read_recipe(path)
    return rows


def load() -> dict[str, Any]:
    """What is recorded: row name to figures."""
    return dict(json.loads(RESULTS.read_text(encoding="utf-8"))) if RESULTS.exists() else {}


def record(name: str, figures: Mapping[str, Any]) -> None:
    """Add a row, whole or not at all; rows that another run wrote meanwhile stay."""
    rows = {**load(), name: figures}
    part = RESULTS.with_suffix(f".{os.getpid()}")
    part.write_text(text_of(dict(sorted(rows.items())), 1) + "\n", encoding="utf-8")
    part.replace(RESULTS)


def show() -> None:
    """The recorded rows as Markdown, one table a network."""
    rows = load()
    for network in dict.fromkeys(name.split(":")[0] for name in rows):
        print(f"\n{network} (float {rows[f'{network}: int8']['float']:.4f})\n")
        print("| | accuracy | constants | flash | image | M4 cycles | MACs |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        for name, r in rows.items():
            if name.startswith(f"{network}: "):
                figures = " | ".join(f"{r[k]:,}" for k in ("constants", "flash", "image", "cycles", "macs"))
                print(f"| {name.split(': ', 1)[1]} | {r['accuracy']:.4f} | {figures} |")


def main(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] not in ("techniques", "recipes", "memory", "show"):
        print(__doc__)
        return 2
    if arguments[0] == "show":
        show()
        return 0
    names = list(arguments[1:])
    rows = {"recipes": recipe_rows, "memory": memory_rows}.get(arguments[0], technique_rows)(names)
    for i, (name, recipe) in enumerate(rows.items()):
        if name in load():
            continue
        try:
            found = row(name.split(":")[0], recipe, hold_back=arguments[0] != "recipes")
        except TinygenError as e:
            found = {"refused": str(e)}
        record(name, found)
        print(f"{i + 1}/{len(rows)} {name}: {found}", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
