"""A stable text form of a graph, for diffs, snapshots and people."""

from __future__ import annotations

from dataclasses import fields

from tinygen.ir.types import Graph, Port, Tensor


def _tensor(t: Tensor) -> str:
    text = f"{t.name}: {t.dtype.value}{list(t.shape)}"
    if t.quant is not None and t.quant.zero_points:
        q = t.quant
        text += f" scales {[float(f'{s:.6g}') for s in q.scale]} zps {list(q.zero_points)} axis {q.axis}"
    elif t.quant is not None and t.const is None:
        text += f" scale {t.quant.s:.6g} zp {t.quant.zero_point}" + (" int16" if t.quant.bits == 16 else "")
    return text + (f" = {t.const.sha256[:8]}" if t.const is not None else "")


def _port(p: Port) -> str:
    text = f"{p.name} {list(p.shape)} perm {list(p.perm)}" + (f" as {p.codes}" if p.codes else "")
    text += "" if p.largest is None else f" up to {p.largest}"
    a = p.affine
    return text if a is None else f"{text} mean {list(a.mean)} gain {list(a.gain)} axis {a.axis}"


def dump(graph: Graph) -> str:
    """One line per input and node, in execution order."""
    lines = [f"graph {graph.name} ({graph.stage.value})"]
    lines += [f"  input  {_tensor(graph.tensors[n])}  <- {_port(p)}"
              for n, p in zip(graph.inputs, graph.in_ports, strict=True)]  # fmt: skip
    for node in graph.nodes:
        attributes = " ".join(f"{f.name}={getattr(node.op, f.name)}" for f in fields(node.op))
        lines.append(f"  {', '.join(_tensor(t) for t in graph.outs(node))}")
        lines.append(f"      = {type(node.op).__name__}({', '.join(node.inputs)}) {attributes}".rstrip())
    lines += [f"  output {n}" for n in graph.outputs]
    lines += [
        f"  state  {_tensor(graph.tensors[s.reads])}  <- {s.writes}"
        + ("" if s.initial is None else f" from {s.initial.sha256[:8]}")
        for s in graph.states
    ]
    return "\n".join(lines) + "\n"
