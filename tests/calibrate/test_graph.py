"""Float runs: one place that estimates ranges, takes means and gives outputs."""

from __future__ import annotations

import numpy as np
import pytest

from tests.compress.float_nets import correlated, mixed
from tinygen.calibrate.graph import observe, run_float, to_tensors
from tinygen.errors import DataError
from tinygen.passes.quantise import range_tensors, weighted_inputs

GRAPH = mixed()
SAMPLES = correlated((1, 6, 6, 4), 12)
INPUTS = to_tensors(GRAPH, SAMPLES.inputs)


def test_ranges_and_means_are_of_what_the_model_gives() -> None:
    names = range_tensors(GRAPH)
    seen = observe(GRAPH, INPUTS, names, "minmax", means=weighted_inputs(GRAPH), every=True)
    every = [o for n in GRAPH.nodes for o in n.outputs]
    values = dict(zip(seen.model.output_names, seen.model.run_many(INPUTS), strict=True))
    assert set(values) == set(every)
    values |= zip(GRAPH.inputs, INPUTS, strict=True)
    for name in names:
        lo, hi = seen.ranges.best[name]
        assert (lo, hi) == (min(0.0, values[name].min()), max(0.0, values[name].max()))
    for name in weighted_inputs(GRAPH):
        channels = values[name].reshape(-1, values[name].shape[-1])
        np.testing.assert_allclose(seen.means[name], channels.mean(axis=0), rtol=1e-5, atol=1e-6)


def test_only_what_is_asked_for_is_an_output() -> None:
    seen = observe(GRAPH, INPUTS, range_tensors(GRAPH)[:2], "mse")
    assert set(seen.model.output_names) <= {*range_tensors(GRAPH)[:2], *GRAPH.outputs}
    assert seen.means == {}


def test_outputs_have_the_shape_of_the_onnx_model() -> None:
    (out,) = run_float(GRAPH, SAMPLES.inputs)
    assert out.shape == (SAMPLES.count, *GRAPH.out_ports[0].shape)


def test_bad_arguments() -> None:
    with pytest.raises(DataError, match=r'no calibration method "mze"; tinygen has .* Did you mean mse'):
        observe(GRAPH, INPUTS, range_tensors(GRAPH), "mze")
    with pytest.raises(DataError, match="at least 1 sample"):
        observe(GRAPH, [x[:0] for x in INPUTS], range_tensors(GRAPH), "mse")
