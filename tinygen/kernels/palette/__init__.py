"""Layers whose weights are indices into a table: a tile of two channels by four pixels, and four channels of a row."""
