"""Rows of tiles for layers with few taps, made for one layer: all strides are in the code."""
