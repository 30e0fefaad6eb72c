"""Tiles of four pixels of a row whose windows overlap: most activations stay in registers."""
