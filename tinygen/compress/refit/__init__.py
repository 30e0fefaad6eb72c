"""Layers fitted again to what they gave before something else was changed."""
