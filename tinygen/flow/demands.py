"""What a network asks for before any of it is computed: memory that no board has, or work without end.

Only what is certain from shapes alone is refused here, in seconds; the exact figures come with the plan. Frontend
limits (frontend/limits.py) hold for files, these for networks and boards.
"""

from __future__ import annotations

from tinygen.errors import ModelError, TargetError
from tinygen.ir.types import Graph, Node, Tensor
from tinygen.ops import AvgPool, Conv, ConvTranspose, MaxPool, Operator, Reshape, Resize
from tinygen.ops.spatial import Window, two_d_shape
from tinygen.targets.board import Board, all_boards

#: Multiply-accumulates of an inference, a value written counted as 128: seconds on the fastest microcontroller, and
#: hours of calibration and simulation here.
MAX_WORK = 1 << 31
WORK_OF_A_VALUE = 128
#: Bytes that take no time: what is less is planned, so that the error has all figures.
PLANNED = 1 << 20
#: Values of all windows of a layer, side by side.
MAX_WINDOWS = 1 << 26
#: The C keeps rows, columns and channels of layers with windows in 16 bits.
MAX_AXIS = 65535

_Windowed = Conv | ConvTranspose | AvgPool | MaxPool | Resize


def check_demands(graph: Graph, board: Board | None = None) -> None:
    """Raise ModelError or TargetError for a tidied graph that cannot be built for `board`, or for any board."""
    for node in graph.nodes:
        if isinstance(node.op, _Windowed):
            _check_axes(graph, node)
            _check_windows(graph, node)
    _check_memory(graph, board)
    _check_work(graph)


def _where(node: Node) -> str:
    return f'"{", ".join(node.origin[:3]) or node.name}"'


def _check_axes(graph: Graph, node: Node) -> None:
    for t, word in ((graph.ins(node)[0], "reads"), (graph.outs(node)[0], "writes")):
        longest = max(t.shape[1:], default=1)
        if longest > MAX_AXIS:
            raise ModelError(
                f"{_where(node)} {word} a tensor of {list(t.shape)}; rows, columns and channels of a layer with a "
                f"window are counted in 16 bits, {longest:,} is more than {MAX_AXIS:,}. Cut the input into pieces of "
                "fewer, one inference for each, or average or subsample it before the network."
            )


def _check_windows(graph: Graph, node: Node) -> None:
    window = getattr(node.op, "window", None)
    if not isinstance(window, Window):
        return
    most = max(*window.kernel, *window.strides, *window.dilations, *window.pads)
    if most > MAX_AXIS:
        raise ModelError(
            f"{_where(node)}: kernel {list(window.kernel)}, strides {list(window.strides)}, dilations "
            f"{list(window.dilations)} and pads {list(window.pads)} are at most {MAX_AXIS:,}; found {most:,}. "
            "The file is damaged, or the layer is no layer for a microcontroller."
        )
    x, y = graph.ins(node)[0], graph.outs(node)[0]
    positions = Tensor("", (x if isinstance(node.op, ConvTranspose) else y).shape[:-1]).size
    taps = Tensor("", window.kernel).size * two_d_shape(x.shape)[-1]
    if positions * taps > MAX_WINDOWS:
        raise ModelError(
            f"{_where(node)}: {positions:,} windows of {taps:,} values each are more than tinygen can compute. "
            "Use a smaller kernel, or a smaller input."
        )


def _check_memory(graph: Graph, board: Board | None) -> None:
    """Inputs and outputs lie side by side, and each value somewhere: int8 is the least they take."""
    known = [b for b in all_boards() if b.stand_in]
    there = board.ram_bytes if board is not None else max(b.ram_bytes for b in known)
    ports = sum(graph.tensors[n].size for n in (*graph.inputs, *graph.outputs))
    made = [(graph.outs(n)[0], n) for n in graph.nodes if not isinstance(n.op, Reshape)]
    largest, node = max(made, key=lambda m: m[0].size, default=(None, None))
    name = f"{board.id} ({board.name})" if board is not None else "any board that tinygen knows"
    others = [b.id for b in known if b.ram_bytes >= max(ports, largest.size if largest else 0)]
    enough = f"Boards with so much RAM: {', '.join(others[:8])}." if others else "No board tinygen knows has so much."
    if ports > max(there, PLANNED):
        shapes = ", ".join(f'"{p.name}" {list(p.shape)}' for p in (*graph.in_ports, *graph.out_ports)[:6])
        raise TargetError(
            f'"{graph.name}" does not fit {name}: input and output ({shapes}) take {ports:,} bytes in int8, '
            f"{there:,} bytes of RAM are there. A smaller input would help, or a board with more RAM. {enough}"
        )
    if largest is not None and node is not None and largest.size > max(there, PLANNED):
        raise TargetError(
            f'"{graph.name}" does not fit {name}: the output of {_where(node)}, {list(largest.shape)}, takes '
            f"{largest.size:,} bytes in int8, {there:,} bytes of RAM are there. A smaller input or fewer channels "
            f"there would help, or a board with more RAM. {enough}"
        )


def _check_work(graph: Graph) -> None:
    total, most, worst = 0, -1, None
    for node in graph.nodes:
        assert isinstance(node.op, Operator)
        ins, out = graph.ins(node), graph.outs(node)[0]
        window = getattr(node.op, "window", None)
        taps = Tensor("", window.kernel).size if isinstance(window, Window) else 1
        work = max(node.op.macs(ins, graph.outs(node)), out.size * taps) + WORK_OF_A_VALUE * out.size
        total += work
        if work > most:
            most, worst = work, node
    if total > MAX_WORK and worst is not None:
        raise ModelError(
            f'"{graph.name}": one inference is {total:,} multiply-accumulates (a value written counts as '
            f"{WORK_OF_A_VALUE}), {most:,} of them in {_where(worst)}; tinygen takes at most {MAX_WORK:,}, seconds on "
            "the fastest microcontroller. Use a smaller input, or fewer channels or layers."
        )
