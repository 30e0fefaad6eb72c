"""A float model whose constants are off in their last bits: what its outputs hang on."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto, numpy_helper


def perturbed(model: bytes, part: float, seed: int) -> bytes:
    """The model with each float32 constant changed by up to `part` of itself."""
    proto = ModelProto.FromString(model)
    rng = np.random.default_rng(seed)
    for t in proto.graph.initializer:
        if t.data_type == TensorProto.FLOAT:
            a = numpy_helper.to_array(t).astype(np.float64)
            b = (a * (1.0 + part * rng.uniform(-1.0, 1.0, a.shape))).astype(np.float32)
            t.CopyFrom(numpy_helper.from_array(b, t.name))
    changed: bytes = proto.SerializeToString()
    return changed
