"""The graph that flows through tinygen: frozen data, its rules, its text form."""

from tinygen.ir.types import Const, DType, Graph, Node, Op, Port, Quant, Stage, Tensor

__all__ = ["Const", "DType", "Graph", "Node", "Op", "Port", "Quant", "Stage", "Tensor"]
