"""States of training in files, and whether a file is of the run that wants to go on from it."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tinygen.compress.network import Network
from tinygen.compress.train.settings import Training
from tinygen.errors import OutputError, TrainingError
from tinygen.files import replace_file
from tinygen.ir.types import Graph, Quant


def fingerprint(
    network: Network, teacher: Graph | None, settings: Training, samples_sha256: str, quants: Mapping[str, Quant]
) -> str:
    """Of everything that decides the result."""
    digest = hashlib.sha256()
    for graph in (network.graph, teacher):
        if graph is not None:
            digest.update(repr((graph.nodes, sorted(graph.tensors.items()))).encode())
    for form in sorted(network.forms.items()):
        digest.update(repr(form).encode())
    digest.update(repr((sorted(network.wide), sorted(quants.items()))).encode())
    digest.update(repr((settings.by_name(), samples_sha256)).encode())
    return digest.hexdigest()


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Whole or not at all; `state["run"]` is the fingerprint. OutputError where it cannot be written."""
    content = io.BytesIO()
    torch.save(dict(state), content)
    try:
        replace_file(path, content.getvalue())
    except OSError as error:
        raise OutputError(
            f'checkpoint "{path}" cannot be written ({error}). Give a path in a folder that exists.'
        ) from error


def load(path: Path, run: str, device: torch.device) -> dict[str, Any]:
    """The state; TrainingError for a file that is none, or one of another run than `run`."""
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        found = state["run"]
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise TrainingError(f'checkpoint "{path}" cannot be read; delete it to start anew. ({error})') from error
    if found != run:
        raise TrainingError(
            f'checkpoint "{path}" is of another run: the network, its teacher, the data or a setting differ. '
            "Delete it to start anew, or give another path."
        )
    return dict(state)
