"""Tiles: two output channels by four pixels at a time, or three."""
