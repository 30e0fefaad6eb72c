"""The runner of rules: the order of rewriting, and work that grows with the graph, not with its square."""

from __future__ import annotations

import numpy as np
import pytest

from tinygen.ir.invariants import check
from tinygen.ir.text import dump
from tinygen.ir.types import Graph, Node, Port, Stage, Tensor
from tinygen.ops import Add, Reshape, Transpose, Unary
from tinygen.passes.base import fresh, until_stable
from tinygen.passes.draft import Draft
from tinygen.passes.pipeline import tidy


def _graph(nodes: list[Node], shape: tuple[int, ...] = (1, 4)) -> Graph:
    names = ["x", *(o for n in nodes for o in n.outputs)]
    tensors = {n: Tensor(n, shape) for n in names}
    last = names[-1]
    return Graph(
        "net",
        Stage.FLOAT,
        tensors,
        tuple(nodes),
        ("x",),
        (last,),
        (Port.plain("x", shape),),
        (Port.plain(last, shape),),
    )


def _chain(length: int) -> Graph:
    names = ["x", *(f"t{i}" for i in range(length))]
    return _graph([Node(f"n{i}", Unary(("Neg", "x"), "neg"), (names[i],), (names[i + 1],)) for i in range(length)])


def _residual(length: int) -> Graph:
    """Each node adds the input once more: a tensor with as many readers as there are nodes."""
    names = ["x", *(f"t{i}" for i in range(length))]
    return _graph([Node(f"n{i}", Add(), (names[i], "x"), (names[i + 1],)) for i in range(length)])


def test_a_draft_reads_like_its_graph_and_freezes_to_it() -> None:
    graph = _residual(5)
    draft = Draft(graph)
    assert draft.nodes == graph.nodes
    assert draft.producer == graph.producer
    assert {t: draft.readers(t) for t in graph.tensors} == dict(graph.consumers)
    assert draft.freeze() == graph


def test_replaced_nodes_keep_their_place_and_what_nobody_needs_goes() -> None:
    graph = _chain(4)
    draft = Draft(graph)
    first, second = graph.nodes[1], graph.nodes[2]
    middle = Tensor(fresh(draft, "t1"), (1, 4))
    assert middle.name == "t1_1"
    draft.replace(
        {
            second.name: (
                Node("a", Reshape((1, 4)), ("t1",), (middle.name,)),
                Node("b", second.op, (middle.name,), ("t2",)),
            )
        },
        (middle,),
    )
    draft.bypass(first, "t0")
    assert [n.name for n in draft.nodes] == ["n0", "a", "b", "n3"]
    assert "t1" not in draft.tensors
    assert draft.by_name["a"].inputs == ("t0",)
    check(draft.freeze())


def test_ports_change_and_the_first_node_stands_first() -> None:
    draft = Draft(_chain(2))
    moved = Tensor("moved", (4, 1))
    draft.set_input(0, moved, Port("x", (1, 4), (1, 0)))
    draft.put_first(Node("back", Transpose((1, 0)), ("moved",), ("x",)))
    graph = draft.freeze()
    check(graph)
    assert graph.nodes[0].name == "back"
    assert graph.inputs == ("moved",)


def test_rules_run_first_node_first_and_earlier_rules_first() -> None:
    seen: list[str] = []

    def mark(label: str, wanted: str) -> object:
        def rule(draft: Draft, node: Node) -> bool:
            if node.name != wanted or node.origin:
                return False
            seen.append(label)
            return draft.replace({node.name: (Node(node.name, node.op, node.inputs, node.outputs, (label,)),)})

        return rule

    until_stable(mark("one", "n2"), mark("two", "n0"), mark("three", "n2"))(_chain(3))  # type: ignore[arg-type]
    assert seen == ["one", "two"]


def test_a_far_look_upwards_is_not_missed() -> None:
    """The rule for the last node waits for the first to change, further up than a draft notes."""

    def rule(draft: Draft, node: Node) -> bool:
        if node.origin or (node.name == "n9" and not draft.by_name["n0"].origin):
            return False
        if node.name not in ("n0", "n9"):
            return False
        return draft.replace({node.name: (Node(node.name, node.op, node.inputs, node.outputs, ("done",)),)})

    def late(draft: Draft, node: Node) -> bool:
        return node.name == "n0" and rule(draft, node)

    def early(draft: Draft, node: Node) -> bool:
        return node.name == "n9" and rule(draft, node)

    graph = until_stable(early, late)(_chain(10))
    assert [n.name for n in graph.nodes if n.origin] == ["n0", "n9"]


@pytest.mark.parametrize("make", [_chain, _residual])
def test_work_grows_with_the_number_of_nodes(make: object) -> None:
    """Twice the nodes, at most 2.1 times the looks, where every node changes once."""

    def looks(length: int) -> int:
        count = 0

        def rule(draft: Draft, node: Node) -> bool:
            nonlocal count
            count += 1
            if node.origin:
                return False
            return draft.replace({node.name: (Node(node.name, node.op, node.inputs, node.outputs, ("done",)),)})

        until_stable(rule)(make(length))  # type: ignore[operator]
        return count

    assert looks(800) <= 2.1 * looks(400)


def test_a_rule_that_never_rests_is_found_out() -> None:
    with pytest.raises(AssertionError, match="does not come to rest"):
        until_stable(lambda draft, node: draft.replace({node.name: (node,)}))(_chain(3))


def test_nothing_to_do_gives_the_graph_itself() -> None:
    graph = _residual(3)
    assert until_stable(lambda _draft, _node: False)(graph) is graph


def test_a_long_chain_of_transposes_sinks() -> None:
    names = ["x", *(f"t{i}" for i in range(300))]
    nodes = [
        Node(f"n{i}", Transpose((0, 2, 1)) if i % 3 == 0 else Unary(("Exp", "x"), "exp"), (names[i],), (names[i + 1],))
        for i in range(300)
    ]
    shapes = {"x": (1, 2, 3)}
    for n in nodes:
        a, b, c = shapes[n.inputs[0]]
        shapes[n.outputs[0]] = (a, c, b) if isinstance(n.op, Transpose) else (a, b, c)
    tensors = {n: Tensor(n, s) for n, s in shapes.items()}
    last = names[-1]
    graph = Graph(
        "net", Stage.FLOAT, tensors, tuple(nodes), ("x",), (last,),
        (Port.plain("x", shapes["x"]),), (Port.plain(last, shapes[last]),),
    )  # fmt: skip
    done = tidy(graph)
    assert not any(isinstance(n.op, Transpose) for n in done.nodes), dump(done)
    assert np.prod(done.in_ports[0].shape) == 6
