"""Layer names are short, legal and tell the layer."""

from __future__ import annotations

import pytest

from tinygen.plan.planner import layer_name


@pytest.mark.parametrize(
    ("origin", "name"),
    [
        ("/stem/stem.0/Conv", "stem_0_conv"),
        ("/Conv", "conv"),
        ("node_conv_255", "node_conv_255"),
        ("n0", "n0"),
        ("3", "n3"),
        ("/", "x"),
        ("model/act/Relu;model/bn/FusedBatchNormV3;model/conv2d/BiasAdd;x_prequant", "model_conv2d_biasadd"),
        ("net/very_long_scope_name_that_goes_on/depthwise_conv2d_1/depthwise", "goes_on_depthwise_conv2d_1_depthwise"),
    ],
)
def test_layer_name(origin: str, name: str) -> None:
    assert layer_name(origin) == name
