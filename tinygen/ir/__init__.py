"""The graph that flows through tinygen: frozen data, its rules, its text form."""

from tinygen.ir.types import Affine, Const, DType, Graph, Node, Op, Port, Quant, Stage, State, Tensor

__all__ = ["Affine", "Const", "DType", "Graph", "Node", "Op", "Port", "Quant", "Stage", "State", "Tensor"]
