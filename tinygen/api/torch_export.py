"""A torch.nn.Module as the bytes of an ONNX file."""

from __future__ import annotations

import importlib.util
import warnings
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
    inputs = example if isinstance(example, tuple) else (example,)
    inputs = tuple(x if isinstance(x, torch.Tensor) else torch.as_tensor(x) for x in inputs)
    training = {name for name, part in module.named_modules() if part.training}
    module.eval()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of the exporter, about itself
            # The newer exporter wants a package of its own; both give the same networks to us.
            if importlib.util.find_spec("onnxscript") is not None:
                program = torch.onnx.export(module, inputs, dynamo=True, verbose=False)
                assert program is not None
                return bytes(program.model_proto.SerializeToString())
            with work_folder() as folder:
                path = folder / "model.onnx"
                torch.onnx.export(module, inputs, path, dynamo=False)
                return path.read_bytes()
    except Exception as e:  # whatever PyTorch raises says why it cannot
        said = " ".join(str(e).split())[:300]
        raise ModelError(f"PyTorch could not export {type(module).__name__} to ONNX: {said}") from e
    finally:
        for name, part in module.named_modules():
            part.training = name in training
