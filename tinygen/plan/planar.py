"""Which activations lie in planes: those between a convolution that can write them so and a depthwise layer that reads
them so, and nobody else. The layouts alternate at no cost: planes before a depthwise layer, channels last behind it.
Without waits for flash the kernels for planes win wherever there are any; with them it is reckoned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tinygen.ir.types import Graph, Node
from tinygen.kernels.plane.variants import plane_layouts
from tinygen.kernels.variant import ints
from tinygen.ops import Operator
from tinygen.ops.base import Call, Planes
from tinygen.plan.select import candidates


def choose_planes(
    graph: Graph, kernel_sets: Sequence[str], price: Callable[[Sequence[Call]], float] | None = None
) -> dict[str, Planes]:
    """Tensor to layout, for tensors that are not dense. `price`: cycles of the best of some candidates; None: take
    planes wherever they can be had."""
    if "mve" in kernel_sets:
        return {}  # Helium's own kernels read and write channels last, and beat any pair of the DSP set
    makers = {o: n for n in graph.nodes for o in n.outputs}
    chosen: dict[str, Planes] = {}
    for node in graph.nodes:
        reader = _call(graph, node)
        if reader is None or reader.kernel != "tg_dwconv_s8":
            continue
        tensor = reader.inputs[0]
        maker = _call(graph, makers[tensor]) if tensor in makers else None
        if maker is None or tensor in graph.results or len(graph.consumers[tensor]) != 1:
            continue
        for planes in plane_layouts(ints(reader)):
            reads = candidates(replace(reader, x_planes=planes), kernel_sets)
            writes = candidates(replace(maker, y_planes=planes), kernel_sets)
            if not reads or not writes:
                continue
            if price is not None:
                dense = price(candidates(maker, kernel_sets)) + price(candidates(reader, kernel_sets))
                pads = price([pad_call(tensor, planes, 0)])
                if price(reads) + price(writes) + pads >= dense:
                    continue
            chosen[tensor] = planes
            break
    return chosen


def _call(graph: Graph, node: Node) -> Call | None:
    """The one call of a node; None when it has several, or none."""
    assert isinstance(node.op, Operator)
    calls = node.op.lower(graph.ins(node), graph.outs(node))
    return calls[0] if len(calls) == 1 else None


def pad_call(tensor: str, planes: Planes, zero_point: int) -> Call:
    """Writes the zero point to every byte of `tensor` that is no element."""
    return Call(
        "tg_pad_planes_s8",
        (
            ("count", planes.channels * planes.rows),
            ("lead", planes.lead),
            ("cols", planes.cols),
            ("stride", planes.stride),
            ("zp", zero_point),
        ),
        (),
        (),
        tensor,
        why="the zero point around the planes",
    )
