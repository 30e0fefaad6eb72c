"""An independent reading of a pre-quantised ONNX file: what its integers are by the definition of its operators.

Written apart from the importer and the passes, which it checks. Real values are float64 with a bound on their error,
products of integer codes are exact integers, QuantizeLinear rounds half to even and saturates. A value is a *tie* where
the number before rounding is half-way between two integers, to within that bound: there another order of the sum may
round the other way.

Arrays of activations carry the samples in front: (samples, *ONNX shape). Operators without a rule here are run by
onnxruntime, node by node, in float32.
"""
