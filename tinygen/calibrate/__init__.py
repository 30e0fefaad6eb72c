"""Float runs through onnxruntime, range estimation, figures of merit. Data in, (lo, hi) of every tensor out."""
