"""Which tensors of a FIXED graph hold the values that a pre-quantised file keeps as integers (calibrate/reading.Point).

A tensor is found by its scale and size, by what it holds, and by the ONNX nodes it comes from: the passes move values,
fuse nodes and change layouts. What is asked besides follows from where the holders are: does a difference mean a fault,
or does the file leave floats in between whose integers tinygen chose?
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from tinygen.calibrate.reading.file import Behind, Reading
from tinygen.calibrate.reading.values import Point
from tinygen.ir.types import Graph, Node, Quant
from tinygen.numerics import MULTIPLIER_STEP, Array
from tinygen.ops import (
    Attention,
    AvgPool,
    Div,
    Gather,
    LogSoftmax,
    LogSumExp,
    Norm,
    Operator,
    ReduceSum,
    Reshape,
    Resize,
    Softmax,
    Unary,
)
from tinygen.ops.base import is_wide, need_quant
from tinygen.ops.weighted import Weighted
from tinygen.passes import pins

#: A tensor holds a point when so many of its integers are the point's: any tensor of that scale and size, one that
#: comes from a node before the point's rounding, or from the rounding node itself.
ALIKE = (0.98, 0.5, 0.0)
#: How near to a tie, in steps, a layer may round the other way at least: that is 255 steps times the error of a
#: multiplier, 384 / 2^27.
ZONE = 1.0 / 1024
#: The same for operators whose integer form is itself an approximation (NUMERICS section 4).
COARSE = {Softmax: 1.0 / 16, LogSoftmax: 1.0 / 4, LogSumExp: 1.0 / 4}
#: A linear Resize whose weights are no 2048ths: half of one in either direction, of neighbours up to 255 apart.
ROUNDED_WEIGHTS = 255.0 / 2048


#: `order` and `axes` of a Holder.
_Way = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Holder:
    """A tensor of the FIXED graph and the point it holds.

    `order`: the point's axes, those of length 1 left out (or `axes`, as which a flat one is seen), in the tensor's
    order; `clear`: no other order and no other point would do; `again`: only moved from another holder; `held`: where
    it differs, that is a fault.
    """

    tensor: str
    point: Point
    order: tuple[int, ...]
    clear: bool
    again: bool
    held: bool
    axes: tuple[int, ...] = ()

    def placed(self, codes: Array, shape: tuple[int, ...]) -> Array:
        """A point's values (samples, *ONNX shape) as the tensor holds them, `shape`."""
        return _placed(codes, self.order, self.axes, shape)


def _placed(codes: Array, order: Sequence[int], axes: Sequence[int], shape: tuple[int, ...]) -> Array:
    flat = codes.reshape(len(codes), *(axes or (d for d in codes.shape[1:] if d != 1)))
    return flat.transpose(0, *(o + 1 for o in order)).reshape(shape)


class Holders:
    """`found`: the holders, in the order of the graph, of the tensors that were shown to `look`."""

    def __init__(self, fixed: Graph, reading: Reading) -> None:
        self.fixed, self.points = fixed, reading.points
        self.found: dict[str, Holder] = {}
        self._others: set[str] = set()
        self._held: set[str] = set()
        ports = zip(fixed.inputs, fixed.in_ports, strict=True)
        self._integers = frozenset(name for name, port in ports if port.name in reading.integers)
        self._grid = _grids(reading.points)
        self._rank = {value: k for k, value in enumerate(self.points)}
        self._by_node, self._by_grid = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
        for value, p in self.points.items():
            self._by_grid[self._grid[value]].append(value)
            for node in p.between:
                self._by_node[node].append(value)
        self._first = [value for value, p in self.points.items() if not p.sources]
        self._named = frozenset(name for node in fixed.nodes for name in node.origin)
        quants = (t.quant for t in fixed.tensors.values() if t.quant is not None)
        self._pinned = {q.pin for q in quants if q.pin in self.points and has_scale(q, self.points[q.pin])}

    def look(self, name: str, x: Array, exact: Mapping[str, Array]) -> Holder | None:
        """What a tensor holds, decided when it is first seen. `x`: its integers on some samples; `exact`: those of each
        point on these samples and perhaps more, as the graph would hold them."""
        if name not in self.found and name not in self._others:
            holder = self._match(name, x, exact)
            if holder is None:
                self._others.add(name)
            else:
                self.found[name] = holder
                self._held.add(holder.point.value)
        return self.found.get(name)

    @property
    def missing(self) -> tuple[str, ...]:
        """Points that no tensor holds and that are not the integers of others in other places."""
        return tuple(n for n in self.points if not self._is_in(n))

    def is_held(self, name: str, p: Point) -> bool:
        """Is a layer that differs a fault? Not where the file itself leaves floats in between, whose scale tinygen
        chose; nor for 16 bits, whose operators have bounds of their own (NUMERICS section 8)."""
        if self.fixed.tensors[name].dtype.value == "int16" or self._is_free(p):
            return False
        if not all(self._is_in(n, self._pinned) for n in p.sources):
            return True  # a quantisation is lost
        return not self.floats_before(name, p)

    def floats_before(self, name: str, far: Behind | Point) -> bool:
        """Between this tensor and those that hold its sources lies one that rounds, and that the file does not have."""
        known = {self._grid[s] for s in far.sources}
        moved = known | ({self._grid[far.value]} if isinstance(far, Point) else set())
        left = self._named.intersection(far.between) - ({far.node} if isinstance(far, Point) else set())
        waiting = [(name, False)]  # and whether a node computes behind it
        while waiting:
            at, computed = waiting.pop()
            node = self.fixed.producer.get(at)
            if node is None:
                if not self._is_read(at, known if computed else moved):
                    return True
                continue
            if self._computes(at):
                if computed and not is_wide(self.fixed.tensors[at]):  # 16 bits are as good as none of it
                    return True
                computed = True
            left -= set(node.origin)
            for i in node.inputs:
                if i in self.found and self._grid[self.found[i].point.value] in moved:
                    left -= self._moved_by(i) - far.steps
                elif self.fixed.tensors[i].const is None:
                    waiting.append((i, computed))
        return bool(left and left - self._moved_on(name))  # the file does something to a float that a source rounds

    def nodes_behind(self, name: str, ends: Collection[str]) -> list[Node]:
        """The nodes that a tensor comes from, as far as `ends`."""
        found, waiting, seen = list[Node](), [name], {name, *ends}
        while waiting:
            node = self.fixed.producer.get(waiting.pop())
            if node is not None:
                found.append(node)
                waiting += [i for i in node.inputs if i not in seen]
                seen.update(node.inputs)
        return found

    def zone(self, name: str) -> Array | float:
        """How near to a tie this tensor's layer may round the other way, in steps; for each channel (last axis)."""
        waiting, most, moves = [name], ZONE, False
        while waiting:
            node = self.fixed.producer.get(waiting.pop())
            if node is None:
                continue
            if isinstance(node.op, Operator) and node.op.picks:  # its values were rounded before
                moves = True
                waiting += [i for i in node.inputs if self.fixed.tensors[i].const is None and i not in self.found]
                continue
            own = self._own_zone(node)
            if not moves:
                return own
            most = max(most, float(np.max(own)))
        return most

    def _own_zone(self, node: Node) -> Array | float:
        x, name = node.inputs[0], node.outputs[0]
        assert isinstance(node.op, Operator)
        if node.op.is_identity and x not in self.found and x in self.fixed.producer:
            # An operator with a scale of its own (Softmax) is rounded twice.
            part = need_quant(self.fixed.tensors[x])[0] / need_quant(self.fixed.tensors[name])[0]
            return ZONE + (0.5 + self.zone(x)) * part
        if isinstance(node.op, Resize) and any(w % 128 for a in node.op.axes for w in a.weight):
            return ROUNDED_WEIGHTS
        if (coarse := COARSE.get(type(node.op))) is not None:
            return coarse * (128.0 if is_wide(self.fixed.tensors[name]) else 1.0)
        return _multiplier_error(self.fixed, node)

    # Which point a tensor holds --------------------------------------------------------------------------------------

    def _match(self, name: str, x: Array, exact: Mapping[str, Array]) -> Holder | None:
        t, node = self.fixed.tensors[name], self.fixed.producer.get(name)
        origin = node.origin if node is not None else ()
        before = self._moved_from(name)
        # What does more than move values between this tensor and other holders is of the point, or it is another one's.
        behind = self.nodes_behind(name, self.found)
        working = [n for n in behind if not _moves(n)]
        best: tuple[float, int, Point, list[_Way]] | None = None
        same: list[Point] = []
        for value in self._candidates(origin, before):
            p, codes = self.points[value], exact[value][: len(x)]
            if codes[0].size != t.size or not has_scale(t.quant, p):
                continue
            if before is not None and p is not before.point:
                related = self._grid[value] == self._grid[before.point.value]
                if not related or not self._comes_from(name, p.between):
                    continue
            between = self._between(p)
            if any(between.isdisjoint(node.origin) for node in working):
                continue
            near = 2 if p.node in origin else 1 if p.between.intersection(origin) else 0
            axes, wanted = ([d for d in shape if d != 1] for shape in (codes.shape[1:], t.shape))
            reshaped = sorted(axes) != sorted(wanted)  # its order need not be one of these
            ways: list[_Way] = [(order, ()) for order in _orders(axes, wanted)]
            if max(len(axes), len(wanted)) < 2:
                flat = self._layouts_of_flat(name)
                ways += [((*range(1, len(shape)), 0), (shape[-1], *shape[:-1])) for shape in flat]
            for order, seen_as in ways:
                equal = float(np.mean(_placed(codes, order, seen_as, x.shape) == x))
                if equal < 1.0 and reshaped and before is None:
                    continue
                if equal < 1.0 and not self._is_made_by(name, p, like=equal >= ALIKE[0]):
                    continue
                if equal == 1.0:
                    same.append(p)
                if best is not None and p is best[2] and equal == best[0]:
                    best[3].append((order, seen_as))
                # Of those that one node makes, a sum and what a clamp leaves of it, the last.
                elif best is None or (equal, near) > best[:2] or ((equal, near) == best[:2] and near == 2):
                    best = (equal, near, p, [(order, seen_as)])
        if best is None or best[0] < ALIKE[best[1]]:
            return None
        equal, near, point, ways = best
        if near == 0 and before is None and point.sources:
            return None  # alike by chance
        held = self.is_held(name, point) if before is None else before.held
        if not held and equal < ALIKE[1]:
            return None  # floats in front, and perhaps another order
        usual = _layouts(exact[point.value].shape[1:], t.shape)
        ways = [(o, a) for o, a in ways if a or o in usual] or ways
        shape = [d for d in exact[point.value].shape[1:] if d != 1]
        reshaped = before is None and sorted(shape) != sorted(d for d in t.shape if d != 1)
        clear = (
            len(ways) == 1
            and not reshaped
            and all((is_moved(p, self.points) and not p.picked) or _alike(p, point) for p in same)
            and self._comes_from(name, point.between)
            and not self._comes_later(name, point)
        )
        return Holder(name, point, ways[0][0], clear=clear, again=before is not None, held=held, axes=ways[0][1])

    def _candidates(self, origin: Sequence[str], before: Holder | None) -> list[str]:
        """Points that a tensor may hold by its origin, or because it is moved from another holder; and those that
        nothing but an input is behind: a node's name may be lost there."""
        found = {value for node in origin for value in self._by_node.get(node, ())}
        if before is not None:
            found.update(self._by_grid[self._grid[before.point.value]])
        return sorted(found.union(self._first), key=self._rank.__getitem__)

    def _layouts_of_flat(self, name: str) -> list[tuple[int, ...]]:
        """Shapes, axes of length 1 left out, in which a flat tensor comes or goes on: channels last, where the file
        flattens or unflattens them first."""
        around = [*self.fixed.consumers[name], *filter(None, [self.fixed.producer.get(name)])]
        shapes = [
            t.shape for n in around if isinstance(n.op, Reshape) for t in (self.fixed.ins(n)[0], self.fixed.outs(n)[0])
        ]
        long = [tuple(d for d in shape if d != 1) for shape in shapes]
        return list(dict.fromkeys(shape for shape in long if len(shape) > 1))

    def _is_made_by(self, name: str, p: Point, *, like: bool) -> bool:
        """Between a tensor and other holders lie only ONNX nodes that lie between the point and its sources, and all of
        those that the graph still names. Of a tensor whose values are `like` the point's: at least all that compute."""
        if like:
            return self._comes_from(name, p.steps) and not self._comes_later(name, p, computed=True)
        near = {o for node in self.nodes_behind(name, self.found) for o in node.origin}
        return near <= self._between(p) and self._comes_from(name, p.between) and not self._comes_later(name, p)

    def _comes_from(self, name: str, nodes: Collection[str]) -> bool:
        """All of some ONNX nodes that the graph still names are behind a tensor."""
        left = self._named.intersection(nodes)
        waiting, seen = deque([name]), {name}
        while waiting and left:
            node = self.fixed.producer.get(waiting.popleft())
            if node is not None:
                left -= set(node.origin)
                waiting += [i for i in node.inputs if i not in seen]
                seen.update(node.inputs)
        return not left

    def _between(self, p: Point) -> set[str]:
        """The ONNX nodes from a point back to the next ones that tensors hold."""
        found, waiting, seen = set(p.between), list(p.sources), set[str]()
        while waiting:
            value = waiting.pop()
            if value not in self._held and value not in seen:
                seen.add(value)
                found |= self.points[value].between
                waiting += self.points[value].sources
        return found

    def _comes_later(self, name: str, p: Point, *, computed: bool = False) -> bool:
        """The point is a tensor that is computed from this one, or, if not only `computed` ones count, into which it is
        moved: what is put in front of a node, a conversion or a copy, carries the node's name."""
        size, waiting = self.fixed.tensors[name].size, [name]
        while waiting:
            for node in self.fixed.consumers[waiting.pop()]:
                t = self.fixed.outs(node)[0]
                if self._computes(t.name):
                    if p.steps.intersection(node.origin):
                        return True
                elif t.size == size and has_scale(t.quant, p):
                    if p.node in node.origin and not computed:
                        return True
                    waiting.append(t.name)
        return False

    def _moved_from(self, name: str) -> Holder | None:
        """The holder whose integers this tensor only moves."""
        while (node := self.fixed.producer.get(name)) is not None and not self._computes(name):
            if not _moves(node):
                return None  # a clamp, or the largest of some
            name = node.inputs[0]
            if name in self.found:
                return self.found[name]
        return None

    def _moved_by(self, name: str) -> set[str]:
        """The ONNX nodes that moved a holder's integers there from the first tensor that holds them."""
        found = set[str]()
        while name in self.fixed.producer and not (name in self.found and not self.found[name].again):
            found.update(self.fixed.producer[name].origin)
            name = self.fixed.producer[name].inputs[0]
        return found

    def _moved_on(self, name: str) -> set[str]:
        """The ONNX nodes that move a tensor's integers further on."""
        found, waiting = set[str](), [name]
        while waiting:
            for node in self.fixed.consumers[waiting.pop()]:
                if not self._computes(node.outputs[0]):
                    found.update(node.origin)
                    waiting += node.outputs
        return found

    def _computes(self, name: str) -> bool:
        """What writes a tensor does more than move or pick values."""
        node, quant = self.fixed.producer.get(name), self.fixed.tensors[name].quant
        if node is None:
            return False
        ins = self.fixed.ins(node)[: 1 if isinstance(node.op, Unary) else None]  # its table is no operand
        same = all(t.const is None and t.quant == quant for t in ins)
        return quant is None or not same or not pins.picks(node, quant)

    def _is_read(self, name: str, known: Collection[str]) -> bool:
        """An input that the file takes as integers, or rounds, at once, to one of the `known` points."""
        q, at_once = self.fixed.tensors[name].quant, (self.points[n] for n in known)
        return name in self._integers or any(has_scale(q, p) and not p.sources and not p.steps for p in at_once)

    def _is_free(self, p: Point) -> bool:
        """Weights in float lie between it and the next points that tensors hold."""
        waiting, seen = [p], set[str]()
        while waiting:
            q = waiting.pop()
            if q.free:
                return True
            waiting += [self.points[n] for n in q.sources - self._held - seen]
            seen |= q.sources
        return False

    def _is_in(self, value: str, others: Collection[str] = ()) -> bool:
        """A tensor holds the point, or those that it is moved from; or it is one of the `others`."""
        waiting, seen = [value], set[str]()
        while waiting:
            value = waiting.pop()
            if value in self._held or value in others or value in seen:
                continue
            p = self.points[value]
            if not is_moved(p, self.points):
                return False
            seen.add(value)
            waiting += p.sources
        return True


def has_scale(q: Quant | None, p: Point) -> bool:
    """A tensor's quantisation is the point's."""
    if q is None or len(q.scale) != 1:
        return False
    bits = int(p.kind.lstrip("uint"))
    half = 1 << (bits - 1) if p.kind.startswith("u") else 0
    return q.bits == bits and np.float32(q.s) == np.float32(p.scale) and q.zero_point == p.zero_point - half


def is_moved(p: Point, points: Mapping[str, Point]) -> bool:
    """Its integers are some of its sources', in other places."""
    same = all((s := points[n]).scale == p.scale and s.zero_point == p.zero_point for n in p.sources)
    return not p.steps and bool(p.sources) and same


def _alike(p: Point, q: Point) -> bool:
    """They are made of the same, in the same way."""
    return (p.sources, p.steps, p.picked) == (q.sources, q.steps, q.picked)


def _grids(points: Mapping[str, Point]) -> dict[str, str]:
    """Each point's first of those whose integers it moves or picks."""
    first: dict[str, str] = {}
    for name, p in points.items():
        first[name] = first[next(iter(p.sources))] if len(p.sources) == 1 and is_moved(p, points) else name
    return first


def _moves(node: Node) -> bool:
    """Its values are some of its input's, whatever integers stand for them."""
    assert isinstance(node.op, Operator)
    return node.op.is_identity or node.op.rearranges or isinstance(node.op, Gather)


def _multiplier_error(graph: Graph, node: Node) -> Array | float:
    """A layer's multipliers are multiples of MULTIPLIER_STEP: 255 steps from the zero point, times that error; for each
    channel, and half a unit of its bias, where it has weights. Of others what they say themselves."""
    op = node.op
    assert isinstance(op, Operator)
    if isinstance(op, AvgPool | ReduceSum):
        divisors = [m for m in np.ravel(op.m).tolist() if m]
        return max(ZONE, 255.0 * MULTIPLIER_STEP / 2 / min(divisors, default=2**30))
    if not isinstance(op, Weighted) or op.epilogue is None:
        known = isinstance(op, Attention | Div | Norm)  # others' are of int16
        return max(ZONE, op.error(graph.ins(node), graph.outs(node)) - 0.5) if known else ZONE
    m = np.maximum(np.abs(graph.tensors[node.inputs[3]].array.astype(np.float64)), 1.0)
    found: Array = np.maximum(ZONE, 255.0 * MULTIPLIER_STEP / 2 / m + 0.5 * m / 2.0**op.epilogue.shift)
    return found


def _orders(axes: Sequence[int], wanted: Sequence[int]) -> list[tuple[int, ...]]:
    """Orders of a value's axes that could be a tensor with `wanted` axes: those that give them, and those that give a
    flat one."""
    every = list(permutations(range(len(axes)))) if len(axes) <= 4 else [tuple(range(len(axes)))]
    return [o for o in every if [axes[i] for i in o] == wanted] or every


def _layouts(shape: Sequence[int], wanted: Sequence[int]) -> set[tuple[int, ...]]:
    """Of `_orders`, those that a layout gives: channels where they are, or last."""
    long = [i for i, d in enumerate(shape) if d != 1]
    first = range(len(shape))
    full = [o for o in (tuple(first), (*first[:1], *first[2:], *first[1:2])) if [shape[i] for i in o] == list(wanted)]
    return {tuple(long.index(i) for i in o if i in long) for o in full}
