"""A network to compress, with the user's samples: some to fit with, some to judge by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tinygen.calibrate.data import Data, Samples
from tinygen.compress.split import class_numbers, split
from tinygen.errors import DataError, ModelError
from tinygen.flow.demands import check_demands
from tinygen.flow.quantised import load, read_samples
from tinygen.flow.types import Loaded
from tinygen.frontend.onnx_reader import Imported
from tinygen.ir.types import Graph

#: The seed of the split into parts to fit with and to judge by: that of the data, not of a recipe.
SPLIT_SEED = 0


@dataclass(frozen=True, slots=True)
class Source:
    """A network to compress, tidied, with the user's samples (their hash: `sha256`) in two parts."""

    loaded: Loaded
    sha256: str
    fit: Samples
    validation: Samples

    @property
    def imported(self) -> Imported:
        return self.loaded.imported

    @property
    def graph(self) -> Graph:
        return self.loaded.tidy


def source_of(loaded: Loaded, data: Data, *, seed: int = SPLIT_SEED, hold_back: bool = True) -> Source:
    """The network with its samples in two parts. DataError for data that does not fit, labels too, or is too little.

    Without `hold_back` the part to fit with is all of them: for when other samples judge.
    """
    if loaded.tidy.states:
        names = ", ".join(f'"{s.name}"' for s in loaded.tidy.states)
        raise ModelError(
            f"the network keeps a state ({names}), and compression and repairs fit layers to single samples. Compress "
            "the network without `states`, as the step that it is, and say `states` when that is built."
        )
    check_demands(loaded.tidy)
    samples = read_samples(data, loaded, None)
    check_labels(loaded.tidy, samples)
    fit, validation = split(samples, seed)
    return Source(loaded, samples.sha256, fit if hold_back else samples, validation)


def load_source(
    path: Path, data: Data, *, seed: int = SPLIT_SEED, input_shapes: Mapping[str, tuple[int, ...]] | None = None,
    name: str | None = None, hold_back: bool = True,
) -> Source:  # fmt: skip
    """`source_of` a model and samples in files."""
    return source_of(load(path, name=name, input_shapes=input_shapes), data, seed=seed, hold_back=hold_back)


def read_test(source: Source, test: Data) -> Samples:
    """The samples of the test file, checked."""
    samples = read_samples(test, source.loaded, None)
    check_labels(source.graph, samples)
    if samples.sha256 == source.sha256:
        raise DataError(f"{samples.source}: the samples to test with are those of `x`. Give others, unseen so far.")
    return replace(samples, source=f"{samples.source}, test")


def check_labels(graph: Graph, samples: Samples) -> None:
    """DataError for labels that cannot be the network's."""
    labels = samples.labels
    if labels is None:
        return
    out = graph.out_ports[0]
    size = graph.tensors[graph.outputs[0]].size
    if labels.ndim == 1:
        if class_numbers(samples) is not None:
            top = max(size, 2) - 1
            if labels.min() < 0 or labels.max() > top:
                bad = int(np.flatnonzero((labels < 0) | (labels > top))[0])
                raise DataError(
                    f'{samples.source}: label {bad} is {labels[bad]}; output "{out.name}" has {size} values, allowed '
                    f"are the class numbers 0 to {top}."
                )
            return
        if size == 1:
            return
    if labels.size != samples.count * size:
        raise DataError(
            f"{samples.source}: labels have shape {labels.shape}; allowed is one class number for each of the "
            f'{samples.count} samples, or the shape of output "{out.name}", {out.shape}. Leave y out to compress '
            "without labels."
        )
