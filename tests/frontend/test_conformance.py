"""The ONNX backend node tests that the onnx package carries: imported, run as float, compared with their outputs.

Every case whose operators tinygen reads is taken. Data inputs stay inputs, the others (weights, axes, scales) become
constants, as they are in real models. `REFUSED` lists what is refused and why; an entry that imports fails, and so does
one that no longer exists.
"""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.errors.words import gaps_in
from tests.frontend.support import real, run_ours, save
from tinygen.errors import ModelError
from tinygen.frontend.onnx_reader import read_onnx
from tinygen.frontend.quantised import QLINEAR
from tinygen.frontend.registry import HANDLERS

#: Operators that take several activations.
_MANY = {"Add", "Sub", "Mul", "Max", "Min", "Sum", "Mean", "Concat"}
#: Attention has tests of its own (test_attention.py): its keys and values are activations.
_KNOWN = set(HANDLERS) - {"Attention"} | {name for domain, name in QLINEAR if not domain} | {"Constant"}

REFUSED: dict[str, tuple[str, ...]] = {
    "three spatial axes": ("test_convtranspose_3d", "test_col2im_5d"),
    "training outputs of BatchNormalization": (
        "test_batchnorm_epsilon_training_mode",
        "test_batchnorm_example_training_mode",
    ),
    "per-channel quantisation of an activation": (
        "test_dequantizelinear_axis",
        "test_quantizelinear_axis",
    ),
    "block-wise quantisation": (
        "test_dequantizelinear_blocked",
        "test_quantizelinear_blocked_asymmetric",
        "test_quantizelinear_blocked_symmetric",
    ),
    "mask of Dropout": ("test_dropout_default_mask",),
    "dynamic quantisation": (
        "test_dynamicquantizelinear_expanded",
        "test_dynamicquantizelinear_max_adjusted_expanded",
        "test_dynamicquantizelinear_min_adjusted_expanded",
    ),
    "positions of maxima": (
        "test_maxpool_with_argmax_2d_precomputed_pads",
        "test_maxpool_with_argmax_2d_precomputed_strides",
    ),
    "a power with an array as exponent": (
        "test_pow",
        "test_pow_bcast_array",
        "test_pow_example",
        "test_pow_types_float32_int32",
        "test_pow_types_float32_int64",
        "test_pow_types_float32_uint32",
        "test_pow_types_float32_uint64",
    ),
    "empty tensors": (
        "test_reduce_sum_square_empty_set",
        "test_reduce_log_sum_exp_empty_set",
        "test_reduce_log_sum_empty_set",
        "test_reduce_l2_empty_set",
        "test_reduce_l1_empty_set",
        "test_reduce_l1_empty_set_expanded",
        "test_reduce_l2_empty_set_expanded",
        "test_reduce_log_sum_empty_set_expanded",
        "test_reduce_log_sum_exp_empty_set_expanded",
        "test_reduce_max_empty_set",
        "test_reduce_min_empty_set",
        "test_reduce_sum_empty_set",
        "test_reduce_sum_empty_set_non_reduced_axis_zero",
        "test_reduce_sum_square_empty_set_expanded",
        "test_reshape_allowzero_reordered",
        "test_split_zero_size_splits_opset13",
        "test_split_zero_size_splits_opset18",
    ),
    "a constant output": (
        "test_isnan",
        "test_shape",
        "test_shape_clip_end",
        "test_shape_clip_start",
        "test_shape_end_1",
        "test_shape_end_negative_1",
        "test_shape_example",
        "test_shape_start_1",
        "test_shape_start_1_end_2",
        "test_shape_start_1_end_negative_1",
        "test_shape_start_greater_than_end",
        "test_shape_start_negative_1",
        "test_size",
        "test_size_example",
        "test_slice_start_out_of_bounds",
    ),
}

#: Imported, but another answer than the reference evaluator's on purpose.
DIFFERENT = {
    # The last row is the last row of the image, as in onnxruntime and PyTorch, although 2 * 0.6 is not whole.
    "test_resize_downsample_scales_linear_align_corners",
    "test_resize_downsample_scales_cubic_align_corners",
}


def _taken(case: Any) -> bool:
    model, (ins, _) = case.model, case.data_sets[0]
    if not ins or not all(isinstance(i, np.ndarray) for i in ins) or not model.graph.input:
        return False
    ops = {n.op_type for n in model.graph.node}
    if not ops <= _KNOWN or any(n.domain for n in model.graph.node):
        return False
    codes = any(op == "DequantizeLinear" or op.startswith("QLinear") for op in ops)
    return bool(ins[0].dtype == np.float32 or (codes and ins[0].dtype in (np.int8, np.uint8)))


@cache
def _cases() -> dict[str, Any]:
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {c.name: c for c in load_model_tests(kind="node") if c.model is not None and _taken(c)}


def _imported(case: Any, tmp_path: Path) -> tuple[Any, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Imported model, its feeds, the expected outputs by name."""
    model = onnx.ModelProto.FromString(case.model.SerializeToString())
    ins, outs = case.data_sets[0]
    many = len(model.graph.node) == 1 and model.graph.node[0].op_type in _MANY
    feeds = {}
    for i, (value, array) in enumerate(zip(model.graph.input, ins, strict=False)):
        if i == 0 or (many and array.dtype == np.float32):
            feeds[value.name] = array
        else:
            model.graph.initializer.append(numpy_helper.from_array(array, value.name))
    inputs = [v for v in model.graph.input if v.name in feeds]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    expected = dict(zip([o.name for o in case.model.graph.output], outs, strict=False))
    shapes = {name: a.shape for name, a in feeds.items()}
    return read_onnx(save(tmp_path, model), input_shapes=shapes), feeds, expected


_LISTED = {name for names in REFUSED.values() for name in names}


@pytest.mark.parametrize("name", sorted(set(_cases()) - _LISTED - DIFFERENT))
def test_node(name: str, tmp_path: Path) -> None:
    case = _cases()[name]
    try:
        imported, feeds, expected = _imported(case, tmp_path)
    except ModelError as e:
        if "installed onnxruntime" in str(e):
            pytest.skip(str(e))  # newer than the reference we compare with
        raise
    graph = imported.graph
    for got, port, tensor in zip(run_ours(imported, feeds), graph.out_ports, graph.outputs, strict=True):
        want = real(np.asarray(expected[port.name]), graph, tensor)
        quant = graph.tensors[tensor].quant
        # A quantised output is compared before its rounding; sums of large terms are off by float32 of those.
        rounding = 1e-5 * max(1.0, float(np.abs(want).max(initial=0.0)))
        np.testing.assert_allclose(got, want, rtol=case.rtol, atol=rounding if quant is None else 1.01 * quant.s)


@pytest.mark.parametrize("name", sorted(_LISTED))
def test_refused(name: str, tmp_path: Path) -> None:
    assert name in _cases(), "stale: there is no such test any more"
    with pytest.raises(ModelError) as caught:
        _imported(_cases()[name], tmp_path)
    assert not gaps_in(caught.value)


def test_different_exist() -> None:
    assert set(_cases()) >= DIFFERENT
