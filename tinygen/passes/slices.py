"""Outputs whose slices have scales of their own.

A detector joins boxes in pixels and scores below 1 in one output. With one int8 scale for both every score is the same
integer. Where nothing but moves lie between what is joined and the output, nothing forces one scale on it: each part
keeps its own, the integers are copied as they are, and `<model>_dequantize_output` knows which part it reads.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from tinygen.ir.types import Graph, Node, Quant
from tinygen.numerics import Array
from tinygen.ops import Concat, Operator, Reshape, Transpose, Unary

#: An output is split where that gives a part steps so many times as fine: two bits of eight. Parts nearer to each other
#: stay together, and programs that read the output need one scale only.
FINER = 4.0

#: Elements of an output that is looked through; no board has memory for one larger.
_LARGEST = 2**24

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Split:
    """An output in parts. `moves`: the nodes between the parts and the output, by name; `groups`: tensors that share a
    quantisation; `mixed`: tensors of several, with an axis and for each slice along it one tensor of its group."""

    output: str
    moves: frozenset[str]
    groups: tuple[tuple[str, ...], ...]
    mixed: Mapping[str, tuple[int, tuple[str, ...]]]


def find(graph: Graph, ranges: Mapping[str, Span] | None = None, wide: Collection[str] = ()) -> tuple[Split, ...]:
    """Every output that is better split. Without `ranges` only those whose parts are pinned: these are split where the
    pins differ."""
    found = (_split(graph, name, ranges, wide) for name in dict.fromkeys(graph.outputs))
    return tuple(s for s in found if s is not None)


def _split(graph: Graph, output: str, ranges: Mapping[str, Span] | None, wide: Collection[str]) -> Split | None:
    moves = _moves(graph, output)
    if not any(isinstance(n.op, Concat) for n in moves):
        return None
    made = [o for n in moves for o in n.outputs]
    sources = tuple(dict.fromkeys(i for n in moves for i in n.inputs if i not in made))
    if len(sources) < 2 or any(graph.tensors[s].const is not None for s in sources):
        return None
    if graph.tensors[output].size > _LARGEST:
        return None
    if any((q := graph.tensors[name].quant) is not None and not q.zero_points for name in made):
        return None  # the model asks for one scale
    if len({name in wide for name in (*sources, *made)}) > 1:
        return None
    pins = [q for s in sources if (q := graph.tensors[s].quant) is not None]
    spans = [_range(graph, s, ranges) for s in sources]
    if len(pins) not in (0, len(sources)) or any(s is None for s in spans):
        return None
    owners = _owners(graph, moves, sources)
    best: tuple[float, Split] | None = None
    for axis in range(len(graph.tensors[output].shape)):
        group = _grouped(owners[output], axis, len(sources))
        parts = [[s for s, g in zip(spans, group, strict=True) if g == k] for k in dict.fromkeys(group)]
        if len(parts) < 2 or (pins and not _agree(pins, group)):
            continue
        mixed = _mixed(sources, owners, group)
        if mixed is None:
            continue
        widths = [_width(p) for p in parts]
        finer = _width(spans) / max(min(widths), 1e-30)
        split = Split(
            output,
            frozenset(n.name for n in moves),
            tuple(_members(sources, owners, group, k, mixed) for k in dict.fromkeys(group)),
            mixed,
        )
        if (pins or finer >= FINER) and (best is None or finer >= best[0]):
            best = finer, split
    return None if best is None else best[1]


#: How much wider than what was seen a part's range is made that need not hold zero: a share on either side.
MARGIN = 0.25
#: Beyond, q - zero point would not be exact in a float.
_FARTHEST = 2**20


def tables(graph: Graph, split: Split) -> frozenset[str]:
    """Tensors of the groups that only tables make, for nobody else: these can write any integers."""
    found: set[str] = set()
    for group in split.groups:
        sources = [n for n in group if (m := graph.producer.get(n)) is None or m.name not in split.moves]
        alone = all(r.name in split.moves for s in sources for r in graph.consumers[s])
        made = [graph.producer[s].op for s in sources if s in graph.producer and s not in graph.results]
        if alone and len(made) == len(sources) and all(isinstance(op, Unary) and op.expr != "x" for op in made):
            found |= set(group)
    return frozenset(found)


def tight_quant(lo: float, hi: float) -> Quant | None:
    """All integers for [lo, hi] and a margin, where that is far from zero: scores from 0.4 to 0.6, say. None where zero
    belongs to it anyway. The zero point is no int8, which a table or a float helper need not mind."""
    margin = MARGIN * (hi - lo)
    scale = float(np.float32((hi - lo + 2 * margin) / 255))
    if not (scale > 0 and (lo - margin > 0 or hi + margin < 0) and abs(lo - margin) < _FARTHEST * scale):
        return None
    return Quant.per_tensor(scale, -128 - round((lo - margin) / scale))


def _moves(graph: Graph, output: str) -> list[Node]:
    """The nodes that only put values in their place for `output`, and for nothing else; in order of execution."""
    found: dict[str, Node] = {}
    for node in reversed(graph.nodes):
        (out, *more) = node.outputs
        if more or not isinstance(node.op, Concat | Reshape | Transpose):
            continue
        readers = graph.consumers[out]
        is_last = out == output and not readers and graph.results.count(out) == 1
        if is_last or (readers and out not in graph.results and all(r.name in found for r in readers)):
            found[node.name] = node
    return list(reversed(found.values()))


def _range(graph: Graph, name: str, ranges: Mapping[str, Span] | None) -> Span | None:
    """What a part can say, or holds."""
    q = graph.tensors[name].quant
    node = graph.producer.get(name)
    if q is None and node is not None:
        assert isinstance(node.op, Operator)
        q = node.op.fixed_quant()
    if q is not None:
        return q.s * (q.low - q.zero_point), q.s * (q.high - q.zero_point)
    return None if ranges is None else ranges.get(name)


def _width(spans: list[Span | None]) -> float:
    lows, highs = [0.0], [0.0]
    for s in spans:
        assert s is not None
        lows.append(s[0])
        highs.append(s[1])
    return max(highs) - min(lows)


def _owners(graph: Graph, moves: list[Node], sources: tuple[str, ...]) -> dict[str, Array]:
    """For each element of what `moves` write, the number of the source it comes from."""
    values: dict[str, Array] = {s: np.full((1, *graph.tensors[s].shape), i, np.int32) for i, s in enumerate(sources)}
    for node in moves:
        assert isinstance(node.op, Operator)
        (y,) = graph.outs(node)
        (values[y.name],) = node.op.run_fixed(graph.ins(node), [values[i] for i in node.inputs], [y])
    return {name: v[0] for name, v in values.items()}


def _grouped(owner: Array, axis: int, count: int) -> list[int]:
    """Group of each source: those that meet in a slice along `axis` are one."""
    leader = list(range(count))

    def top(i: int) -> int:
        while leader[i] != i:
            i = leader[i]
        return i

    for rows in np.unique(np.moveaxis(owner, axis, 0).reshape(owner.shape[axis], -1), axis=0):
        first, *others = np.unique(rows)
        for other in others:
            leader[top(int(other))] = top(int(first))
    return [top(i) for i in range(count)]


def _agree(pins: list[Quant], group: list[int]) -> bool:
    """One pin in each group, and not the same in all."""
    found = {g: {p for p, own in zip(pins, group, strict=True) if own == g} for g in group}
    return all(len(p) == 1 for p in found.values()) and len(set(pins)) > 1


def _mixed(
    sources: tuple[str, ...], owners: Mapping[str, Array], group: list[int]
) -> dict[str, tuple[int, tuple[str, ...]]] | None:
    """`Split.mixed`; None where a tensor's groups are not those of slices along one axis."""
    found = {}
    for name, owner in owners.items():
        g = np.asarray(group)[owner]
        if np.unique(g).size == 1:
            continue
        for axis in reversed(range(g.ndim)):
            rows = np.moveaxis(g, axis, 0).reshape(g.shape[axis], -1)
            if np.all(rows == rows[:, :1]):
                found[name] = axis, tuple(sources[int(k)] for k in rows[:, 0])
                break
        else:
            return None
    return found


def _members(
    sources: tuple[str, ...], owners: Mapping[str, Array], group: list[int], k: int, mixed: Collection[str]
) -> tuple[str, ...]:
    """All tensors of a group, sources first."""
    own = [s for s, g in zip(sources, group, strict=True) if g == k]
    more = [n for n, o in owners.items() if n not in mixed and n not in sources and group[int(o.flat[0])] == k]
    return (*own, *more)
