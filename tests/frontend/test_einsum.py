"""Einsum against onnxruntime: every kind of label, and attention written with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.frontend.support import check, import_model, one_node, ops_of, parse
from tinygen.errors import UnsupportedError
from tinygen.passes.pipeline import tidy

RNG = np.random.default_rng(2)


@pytest.mark.parametrize(
    ("equation", "shapes", "weights"),
    [
        ("bij,bjk->bik", [(1, 3, 4), (1, 4, 5)], []),
        ("bij,kj->bik", [(1, 3, 4)], [(5, 4)]),
        ("ki,bij->bkj", [], [(5, 3), None]),
        ("bij->bji", [(1, 3, 4)], []),
        ("bii->bi", [(1, 4, 4)], []),
        ("bii->b", [(1, 4, 4)], []),
        ("bij->bi", [(1, 3, 4)], []),
        ("bij->ji", [(1, 3, 4)], []),
        ("bijk->bj", [(1, 3, 4, 5)], []),
        ("bi,bj->bij", [(1, 3), (1, 4)], []),
        ("bij,bij->bij", [(1, 3, 4), (1, 3, 4)], []),
        ("bij,bij->b", [(1, 3, 4), (1, 3, 4)], []),
        ("bqhd,bkhd->bhqk", [(1, 3, 2, 4), (1, 5, 2, 4)], []),
        ("...ij,...jk", [(1, 2, 3, 4), (1, 2, 4, 5)], []),
        ("...ij,jk->...ik", [(1, 2, 3, 4)], [(4, 5)]),
        ("b...,bi->bi...", [(1, 3, 4), (1, 5)], []),
        ("bi,ij,jk->bk", [(1, 3)], [(3, 4), (4, 5)]),
        ("bij , bjk", [(1, 3, 4), (1, 4, 5)], []),
    ],
)
def test_equations(
    equation: str, shapes: list[tuple[int, ...]], weights: list[tuple[int, ...] | None], tmp_path: Path
) -> None:
    if not shapes:  # a constant first
        model = parse(
            f'g (float[1,3,4] x) => (float y) {{ y = Einsum<equation = "{equation}">(w, x) }}',
            weights={"w": RNG.normal(size=(5, 3)).astype(np.float32)},
        )
    else:
        constants = [RNG.normal(size=s).astype(np.float32) for s in weights if s is not None]
        model = one_node("Einsum", shapes, constants, equation=equation)
    given = {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim) for v in model.graph.input}
    check(tmp_path, model, input_shapes=given)


def test_attention_written_with_it(tmp_path: Path) -> None:
    """Queries, keys and values side by side, as PyTorch modules have it: one operator, and no transpose."""
    model = parse(
        """g (float[1,5,2,4] q, float[1,6,2,4] k, float[1,6,2,4] v) => (float y)
        { s = Einsum<equation = "bqhd,bkhd->bhqk">(q, k) w = Softmax<axis = -1>(s)
          y = Einsum<equation = "bhqk,bkhd->bqhd">(w, v) }"""
    )
    kinds = ops_of(tidy(check(tmp_path, model).graph))
    assert [k for k in kinds if k != "Reshape"] == ["Attention"]


@pytest.mark.parametrize(
    ("equation", "said"),
    [("bij,bj->bi", "operands"), ("bi->bi", "of 3 axes"), ("bij->bk", "a result"), ("bii->bi", "a diagonal")],
)
def test_what_does_not_fit(equation: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=said):
        import_model(tmp_path, one_node("Einsum", (1, 3, 4), equation=equation))
