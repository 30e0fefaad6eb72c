"""tinygen turns a trained ONNX network into plain int8 C for Cortex-M."""

from tinygen.version import VERSION as __version__

__all__ = ["__version__"]
