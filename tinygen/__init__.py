"""tinygen turns a trained ONNX network into plain int8 C for Cortex-M."""

import os

from tinygen.version import VERSION as __version__

# onnxruntime (1.31 at least) else keeps a device id below ~/.cache and a session file in $TMPDIR, and reports its use
# to its maker. A tool that turns a model into firmware does not phone home; who wants that may set this to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# A network's matrix products are small: threads of numpy's BLAS spend more time waiting for each other, spinning, than
# they save. numpy reads this when it is loaded, which comes after; who has set it keeps what was set.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

__all__ = ["__version__"]
