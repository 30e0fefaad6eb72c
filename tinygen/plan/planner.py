"""FIXED graph to Plan: order, kernels, views, buffers in place, arena."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from tinygen.errors import ModelError
from tinygen.ir.types import Graph, Node, Stage, State, Tensor
from tinygen.kernels.registry import limits
from tinygen.names import identifier
from tinygen.ops import Operator, Reshape
from tinygen.ops.base import Alias, Call, ConstArg, Planes, is_whole_copy, need_quant
from tinygen.plan import cost, memory, schedule
from tinygen.plan.choose import choose
from tinygen.plan.in_ram import choose_with_ram
from tinygen.plan.planar import choose_planes, pad_call
from tinygen.plan.select import candidates
from tinygen.plan.types import Buffer, Endpoint, Kept, Place, Plan, PlannedCall, Step, Written
from tinygen.simulate import initial
from tinygen.targets.arch.base import Core
from tinygen.targets.flash import Flash

#: Alignment of <model>_ctx_t, so its size is a multiple of this: the arena has no bytes that nobody counts.
CONTEXT_ALIGN = 16


#: Config fields that are uint16 in C.
_SIZE = re.compile(r"^(in|out|k|stride|dil)_[hwc]$|^pad_(top|left)$|^channels$|^groups$")


def _check_sizes(call: Call, node: Node) -> None:
    for name, value in call.config:
        if isinstance(value, int) and _SIZE.match(name) and value > 65535:
            where = ", ".join(node.origin) or node.name
            raise ModelError(f'"{where}": {name} is {value}; {call.kernel} takes at most 65535. Split the layer.')


#: Words that tell a layer in the names that converters join with ";" when they fuse nodes.
_LAYER_WORD = re.compile(r"conv|dense|matmul|gemm|pool|softmax", re.IGNORECASE)
#: Endings of such names that say nothing.
_NOISE = re.compile(r"[_/](ReadVariableOp\S*|resource\d*|prequant|quantize|dequantize)(?=$|[_/;])")


def layer_name(origin: str) -> str:
    """A short identifier for an ONNX node name.

    "/stem/stem.0/Conv" becomes stem_0_conv; of "a/Relu;a/conv2d/BiasAdd_prequant" the part that names a layer is taken.
    """
    parts = [_NOISE.sub("", p) for p in origin.split(";")]
    best = next((p for p in parts if _LAYER_WORD.search(p)), parts[0])
    path = [p for p in best.split("/") if p]
    kept = [p for p, after in zip(path, [*path[1:], ""], strict=False) if not after.startswith(f"{p}.")]
    name = identifier("_".join(kept[-3:]))
    return name if len(name) <= 40 else identifier(name[-40:].split("_", 1)[-1].lstrip("_0123456789"))


def plan(
    graph: Graph,
    core: Core,
    optimize: str = "balanced",
    *,
    plain_stack: bool = False,
    flash: Flash | None = None,
    code_in_ram: int = 0,
    kib_worth: float | None = None,
    ram_worth: float | None = None,
) -> Plan:
    """The plan with the smallest arena over the candidate orders of execution.

    `optimize`: one of modes.MODES. `plain_stack`: no kernel that uses the stack pointer as a pointer to data.
    `flash`: that of the part, which code and constants are read from; None where nobody described it. `code_in_ram`:
    bytes of kernels and constants that may lie in memory that never waits instead. `kib_worth`: of flash, and
    `ram_worth`: of all activations again, as parts of the network's time, where they are not the mode's own.
    """
    if graph.stage is not Stage.FIXED:
        raise AssertionError("only FIXED graphs are planned")
    for i, name in enumerate(graph.outputs):
        if name in graph.inputs or name in graph.outputs[:i]:
            raise ModelError(
                f'output "{graph.out_ports[i].name}" is another name for an input or output of the model; '
                "tinygen needs a value that the network computes. Remove this output."
            )
    plans = [
        _Layout(graph, order, core, optimize, plain_stack, flash, code_in_ram, kib_worth, ram_worth).plan()
        for order in schedule.orders(graph)
    ]
    return min(plans, key=lambda p: p.arena_len)


@dataclass
class _Layout:
    """Works out one order of execution."""

    graph: Graph
    order: tuple[Node, ...]
    core: Core
    optimize: str
    plain_stack: bool
    flash: Flash | None
    code_in_ram: int
    kib_worth: float | None
    ram_worth: float | None
    #: inner tensor -> (outer tensor, byte offset); chains end at a tensor with a place of its own
    views: dict[str, tuple[str, int]] = field(default_factory=dict)
    #: tensors that are not dense
    planes: dict[str, Planes] = field(default_factory=dict)
    #: nodes that copy what a state is to hold next, by name
    copies: frozenset[str] = frozenset()

    def _price(self) -> Callable[[Sequence[Call]], float] | None:
        """Cycles of the fastest of some candidates, from a flash that waits."""
        flash, core = self.flash, self.core.name
        if flash is None or flash.waits == 0 or not cost.stalls_known(core, flash):
            return None

        def price(row: Sequence[Call]) -> float:
            known = [c for c in row if cost.known(c, core)]
            return min((cost.cycles(c, core) + (cost.stalls(c, core, flash) or 0.0) for c in known), default=math.inf)

        return price

    def _choose(self, rows: Sequence[Sequence[Call]], takes: Sequence[int]) -> tuple[tuple[Call, ...], frozenset[str]]:
        """One call of each row, and the kernels and constants that are to lie in RAM. `takes`: bytes of the activations
        of each row's layer."""
        core, flash, largest = self.core.name, self.flash, max(takes, default=0)
        free = [largest - n for n in takes]
        if self.code_in_ram and flash is not None and cost.stalls_known(core, flash):
            return choose_with_ram(
                rows, core, self.optimize, activations=largest, free=free, flash=flash, room=self.code_in_ram,
                kib_worth=self.kib_worth, ram_worth=self.ram_worth,
            )  # fmt: skip
        chosen = choose(
            rows, core, self.optimize, activations=largest, free=free, flash=flash, kib_worth=self.kib_worth,
            ram_worth=self.ram_worth,
        )  # fmt: skip
        return chosen, frozenset()

    def plan(self) -> Plan:
        graph = self.graph
        external = set(graph.sources) | set(graph.results)
        calls: dict[str, tuple[Call, ...]] = {}
        if self.optimize != "size":
            self.planes = choose_planes(graph, self.core.kernel_sets, self._price())
        lowered = {node.name: self._lower(node, external) for node in self.order}
        self._drop_copies_onto_themselves(lowered)
        shared = limits([c for calls_ in lowered.values() for c in calls_])
        rows = [
            [
                made
                for made in candidates(replace(c, limits=shared), self.core.kernel_sets)
                if not (self.plain_stack and made.points_with_sp)
            ]
            for node in self.order
            for c in lowered[node.name]
        ]
        takes = [self._activations(node) for node in self.order for _ in lowered[node.name]]
        taken, in_ram = self._choose(rows, takes)
        chosen = iter(taken)
        for node in self.order:
            calls[node.name] = (*(next(chosen) for _ in lowered[node.name]), *self._pads(node))
        late = self._read_later(calls)
        if late:
            return self._with_copies(late).plan()
        self._share_in_place(calls, external)
        states = self._states()
        front = memory.align(max((s.offset + s.nbytes for s in states), default=0))
        placed, arena_len = memory.place(self._buffers(calls, external))
        placed, arena_len = tuple(replace(b, offset=b.offset + front) for b in placed), arena_len + front
        memory.check((*placed, *self._kept(states, calls)), arena_len)
        offsets = {b.name: b.offset for b in placed}
        for state, kept in zip(graph.states, states, strict=True):
            offsets[state.reads] = offsets[state.writes] = kept.offset
        steps = self._steps(calls, offsets)
        always = tuple(Buffer(f"state {s.name}", s.nbytes, 0, len(self.order) - 1, s.offset) for s in states)
        return Plan(
            graph.name,
            self.core.name,
            steps,
            tuple(self._endpoint(n, i, True) for i, n in enumerate(graph.inputs)),
            tuple(self._endpoint(n, i, False) for i, n in enumerate(graph.outputs)),
            -(-max(arena_len, 1) // CONTEXT_ALIGN) * CONTEXT_ALIGN,
            self._in_steps((*always, *placed), calls),
            states,
            tuple(sorted(in_ram)),
        )

    def _states(self) -> tuple[Kept, ...]:
        """The states, one behind the other at the front of the arena."""
        found: list[Kept] = []
        offset = 0
        for i, state in enumerate(self.graph.states):
            t = self.graph.tensors[state.reads]
            assert t.quant is not None
            found.append(Kept(state.name, t.shape, t.quant, offset, ConstArg(f"state{i}", initial(self.graph, state))))
            offset += memory.align(t.nbytes)
        return tuple(found)

    def _kept(self, states: Iterable[Kept], calls: dict[str, tuple[Call, ...]]) -> list[Buffer]:
        """For the memory checker: what a state holds is one buffer until it is read for the last time, and another one
        in the same place from where it is written; one for good where a call writes over what it reads."""
        lives, found = self._lives(), []
        end = len(self.order) - 1
        for state, kept in zip(self.graph.states, states, strict=True):
            read = lives.get(state.reads, (0, -1))[1]
            written = lives[state.writes][0]
            if read == written and self._in_place(self.order[read], calls, state):
                found.append(Buffer(f"state {state.name}", kept.nbytes, 0, end, kept.offset))
                continue
            found.append(Buffer(f"state {state.name}, before", kept.nbytes, 0, read, kept.offset))
            found.append(Buffer(f"state {state.name}, next", kept.nbytes, written, end, kept.offset))
        return [b for b in found if b.first <= b.last]

    def _drop_copies_onto_themselves(self, lowered: dict[str, tuple[Call, ...]]) -> None:
        """A recurrent layer copies the state it begins with to where the next one comes about, and goes on there. Where
        both ends lie in one place the copy is none."""
        lives, taken = self._lives(), set(self.graph.outputs)
        for state in self.graph.states:
            read, written = lives.get(state.reads, (0, -1))[1], lives[state.writes][0]
            node = self.order[written]
            if read == written and state.writes not in taken:
                ends = (state.reads, 0), (state.writes, 0)
                left = [
                    c
                    for c in lowered[node.name]
                    if not (is_whole_copy(c) and (self._root(c.inputs[0]), self._root(c.output)) == ends)
                ]
                if not any(self._root(name)[0] == state.reads for c in left for name in c.inputs):
                    lowered[node.name] = tuple(left)
            taken.add(state.writes)

    def _read_later(self, calls: dict[str, tuple[Call, ...]]) -> list[State]:
        """The states whose next value has no place of its own, or is made while the one before is still to be read."""
        lives = self._lives()
        found: list[State] = []
        taken = set(self.graph.outputs)
        for state in self.graph.states:
            read, written = lives.get(state.reads, (0, -1))[1], lives[state.writes][0]
            clear = read < written or (read == written and self._in_place(self.order[read], calls, state))
            if state.writes in taken or not clear:
                found.append(state)
            taken.add(state.writes)
        return found

    def _in_place(self, node: Node, calls: dict[str, tuple[Call, ...]], state: State) -> bool:
        """Does a node write a state over the value it reads of it, as its kernel may?"""
        reading = [c for c in calls[node.name] if any(self._root(name)[0] == state.reads for name in c.inputs)]
        if not reading:  # it goes on where that lies
            return True
        if len(calls[node.name]) != 1:
            return False
        (call,) = reading
        mine = [name for name in call.inputs if self._root(name)[0] == state.reads]
        over = all(name in call.in_place and self._root(name)[1] == 0 for name in mine)
        return over and self._root(call.output) == (state.writes, 0)

    def _with_copies(self, late: Sequence[State]) -> _Layout:
        """The same layout with a copy of what each of these states is to hold next, made when all have read it."""
        lives, graph = self._lives(), self.graph
        behind: dict[int, list[Node]] = {}
        states = {s.name: s for s in graph.states}
        tensors: list[Tensor] = []
        for s in late:
            y, maker = graph.tensors[s.writes], graph.producer[s.writes]
            kept = replace(y, name=f"{s.name} kept")
            copy = Node(f"{s.name} keep", Reshape(y.shape), (y.name,), (kept.name,), maker.origin)
            tensors.append(kept)
            states[s.name] = replace(s, writes=kept.name)
            behind.setdefault(max(self.order.index(maker), lives.get(s.reads, (0, 0))[1]), []).append(copy)
        order = tuple(n for i, node in enumerate(self.order) for n in (node, *behind.get(i, ())))
        copied = graph.with_(nodes=order, tensors=tensors, states=tuple(states.values()))
        names = self.copies | {n.name for nodes in behind.values() for n in nodes}
        return replace(self, graph=copied, order=order, views={}, planes={}, copies=names)

    def _in_steps(self, placed: Iterable[Buffer], calls: dict[str, tuple[Call, ...]]) -> tuple[Buffer, ...]:
        """Buffers with their lives in steps: a node that only looks at its input another way is none."""
        before = list(accumulate((bool(calls[n.name]) for n in self.order), initial=0))
        return tuple(replace(b, first=before[b.first], last=before[b.last + 1] - 1) for b in placed)

    def _root(self, tensor: str) -> tuple[str, int]:
        """The tensor with a place of its own, and where in it; what is on the way is noted to lie in it directly."""
        path, offset = [], 0
        while tensor in self.views:
            path.append((tensor, offset))
            tensor, extra = self.views[tensor]
            offset += extra
        self.views.update((name, (tensor, offset - passed)) for name, passed in path)
        return tensor, offset

    def _lower(self, node: Node, external: set[str]) -> tuple[Call, ...]:
        """The reference calls of a node that no view makes unnecessary."""
        assert isinstance(node.op, Operator)
        ins, outs = self.graph.ins(node), self.graph.outs(node)
        skipped = {
            alias.outer if alias.inner in node.outputs else alias.inner
            for alias in node.op.aliases(ins, outs)
            if node.name not in self.copies and self._view(alias, external)
        }
        calls = [c for c in node.op.lower(ins, outs) if skipped.isdisjoint(c.inputs[:1])]
        for call in calls:
            _check_sizes(call, node)
        return tuple(replace(c, x_planes=self._planes_of(c.inputs), y_planes=self.planes.get(c.output)) for c in calls)

    def _activations(self, node: Node) -> int:
        """Bytes of those of a layer."""
        tensors = [self.graph.tensors[t] for t in {*node.inputs, *node.outputs}]
        return sum(t.nbytes for t in tensors if t.const is None)

    def _pads(self, node: Node) -> tuple[Call, ...]:
        """What fills the gaps of outputs in planes."""
        outs = (t for t in self.graph.outs(node) if t.name in self.planes)
        return tuple(pad_call(t.name, self.planes[t.name], need_quant(t)[1]) for t in outs)

    def _planes_of(self, inputs: tuple[str, ...]) -> Planes | None:
        return next((self.planes[name] for name in inputs if name in self.planes), None)

    def _size(self, tensor: str) -> int:
        """Bytes that a tensor takes."""
        return self.planes[tensor].size if tensor in self.planes else self.graph.tensors[tensor].nbytes

    def _view(self, alias: Alias, external: set[str]) -> bool:
        """Record that `inner` lives inside `outer`; False when it cannot.

        A network input, output or state has a home of its own. A value must start on a word. Where the inner tensor is
        a network output or state and both have the same size, the outer tensor moves in with it instead.
        """
        inner, outer = alias.inner, alias.outer
        tensors = self.graph.tensors
        offset = alias.offset * tensors[inner].nbytes // tensors[inner].size
        if inner in external and tensors[inner].size == tensors[outer].size:
            inner, outer = outer, inner
        if inner in external or inner in self.views or offset % memory.ALIGN or self._root(outer)[0] == inner:
            return False
        self.views[inner] = (outer, offset)
        return True

    def _share_in_place(self, calls: dict[str, tuple[Call, ...]], external: set[str]) -> None:
        """Let an element-wise operator write over an input that nobody reads afterwards."""
        lives = self._lives()
        for i, node in enumerate(self.order):
            if len(calls[node.name]) != 1:
                continue
            (call,) = calls[node.name]
            out = call.output
            if out in external or out in self.views:
                continue
            for name in call.in_place:
                root, offset = self._root(name)
                same_size = self.graph.tensors[root].nbytes == self.graph.tensors[out].nbytes and offset == 0
                if root in external or not same_size or lives[root][1] > i:
                    continue
                if self.graph.tensors[root].const is None:
                    self.views[out] = (root, 0)
                    lives[root] = (lives[root][0], max(lives[root][1], lives[out][1]))
                    break

    def _lives(self) -> dict[str, tuple[int, int]]:
        """For each tensor with a place of its own: where in the order what lies in it is first made and last used."""
        lives: dict[str, tuple[int, int]] = {}
        for i, node in enumerate(self.order):
            for name in (*node.inputs, *node.outputs):
                root = self._root(name)[0]
                first, _ = lives.get(root, (len(self.order), i))
                lives[root] = (min(first, i) if name in node.outputs else first, i)
        return lives

    def _buffers(self, calls: dict[str, tuple[Call, ...]], external: set[str]) -> list[Buffer]:
        lives = self._lives()
        roots = dict.fromkeys(self._root(o)[0] for n in self.order for o in n.outputs)
        found = [
            Buffer(root, self._size(root), *lives[root])
            for root in sorted(roots, key=lambda r: lives[r][0])
            if root not in external
        ]
        for i, node in enumerate(self.order):
            size = max((c.scratch for c in calls[node.name]), default=0)
            if size:
                found.append(Buffer(f"{node.name} scratch", size, i, i))
        return found

    def _place(self, tensor: str, offsets: dict[str, int]) -> Place:
        root, offset = self._root(tensor)
        size, dtype = self._size(tensor), self.graph.tensors[tensor].dtype
        if root in self.graph.inputs:
            return Place("input", self.graph.inputs.index(root), offset, size, dtype)
        if root in self.graph.outputs:
            return Place("output", self.graph.outputs.index(root), offset, size, dtype)
        if any(root in (s.reads, s.writes) for s in self.graph.states):
            return Place("state", 0, offsets[root] + offset, size, dtype)
        return Place("arena", 0, offsets[root] + offset, size, dtype)

    def _steps(self, calls: dict[str, tuple[Call, ...]], offsets: dict[str, int]) -> tuple[Step, ...]:
        steps: list[Step] = []
        names: set[str] = set()
        last: Counter[str] = Counter()
        for node in self.order:
            assert isinstance(node.op, Operator)
            if not calls[node.name]:
                continue
            ins, outs = self.graph.ins(node), self.graph.outs(node)
            planned = []
            for c in calls[node.name]:
                places: list[Place | ConstArg] = []
                for name in c.inputs:
                    t = self.graph.tensors[name]
                    places.append(
                        self._place(name, offsets) if t.const is None else ConstArg(f"k{len(places)}", t.array)
                    )
                scratch = Place("arena", 0, offsets[f"{node.name} scratch"], c.scratch) if c.scratch else None
                written = tuple(self._place(name, offsets) for name in c.outputs)
                planned.append(PlannedCall(c, tuple(places), written, scratch))
            stem = name = layer_name(node.label or (node.origin[0] if node.origin else node.name))
            while name in names:
                last[stem] += 1
                name = f"{stem}_{last[stem] + 1}"
            names.add(name)
            steps.append(
                Step(
                    name,
                    "keep" if node.name in self.copies else node.op.describe(ins),
                    node.origin,
                    tuple(t.shape for t in ins if t.const is None),
                    tuple(
                        Written(
                            node.inputs[0] if node.name in self.copies else t.name,
                            t.shape,
                            self._place(t.name, offsets),
                            self.planes.get(t.name),
                            node.op.role(k),
                        )
                        for k, t in enumerate(outs)
                    ),
                    node.op.macs(ins, outs),
                    tuple(planned),
                )
            )
        return tuple(steps)

    def _endpoint(self, tensor: str, index: int, is_input: bool) -> Endpoint:
        t = self.graph.tensors[tensor]
        port = (self.graph.in_ports if is_input else self.graph.out_ports)[index]
        assert t.quant is not None
        return Endpoint(identifier(port.name), t.size, t.shape, t.quant, port)
