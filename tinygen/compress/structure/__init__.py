"""Techniques that change the graph: fewer channels, thinner layers, another network."""
