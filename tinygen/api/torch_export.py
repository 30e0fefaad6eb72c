"""A torch.nn.Module as the bytes of an ONNX file."""

from __future__ import annotations

import importlib.util
import inspect
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tinygen.errors import ModelError
from tinygen.files import work_folder


def exported(module: Any, example: Any) -> bytes:
    """Exported by PyTorch itself, in evaluation mode, for inputs of the shape of `example`; the module stays as it was.

    ModelError where there is no example, or PyTorch cannot export the module.
    """
    import torch

    if example is None:
        raise ModelError(
            "load: a torch.nn.Module needs an example input: load(module, example=torch.zeros(1, 3, 32, 32)), a tuple "
            "of tensors where it takes several."
        )
    given = tuple(example) if isinstance(example, tuple | list) else (example,)
    try:
        # The C runs one sample at a time: of a batch, as a data loader gives it, the first is taken.
        inputs = tuple(torch.as_tensor(x)[:1] for x in given)
    except (IndexError, TypeError, ValueError, RuntimeError) as e:
        raise ModelError(f"load: the example must be tensors with a batch in front; found {_kinds(given)}.") from e
    training = {name for name, part in module.named_modules() if part.training}
    module.eval()
    try:
        with _unheard(), torch.no_grad():
            names: Any = {
                "input_names": _input_names(module, len(inputs)),
                "output_names": _output_names(module(*inputs)),
            }
            # The newer exporter wants a package of its own; both give the same networks to us.
            if importlib.util.find_spec("onnxscript") is not None:
                program = torch.onnx.export(module, inputs, dynamo=True, verbose=False, **names)
                assert program is not None
                return bytes(program.model_proto.SerializeToString())
            with work_folder() as folder:
                path = folder / "model.onnx"
                torch.onnx.export(module, inputs, path, dynamo=False, **names)
                return path.read_bytes()
    except Exception as e:  # whatever PyTorch raises says why it cannot
        said = " ".join(str(e).split())[:300]
        raise ModelError(f"PyTorch could not export {type(module).__name__} to ONNX: {said}") from e
    finally:
        for name, part in module.named_modules():
            part.training = name in training


@contextmanager
def _unheard() -> Iterator[None]:
    """Without what the exporter says of itself: warnings, and lines on standard error."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _kinds(given: tuple[Any, ...]) -> str:
    return ", ".join(f"{type(x).__name__} {tuple(getattr(x, 'shape', ()))}" for x in given)


def _input_names(module: Any, count: int) -> list[str]:
    """What forward calls its first inputs."""
    named = [p.name for p in inspect.signature(module.forward).parameters.values() if p.kind in _NAMED]
    return named if len(named) == count else (named + [f"input_{i}" for i in range(len(named), count)])[:count]


_NAMED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _output_names(found: Any) -> list[str]:
    """ "output", or output_0, output_1, ...; none where it gives back something else than tensors."""
    if not isinstance(found, tuple | list):
        return ["output"]
    return [f"output_{i}" for i in range(len(found))]
