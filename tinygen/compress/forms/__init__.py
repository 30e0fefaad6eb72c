"""Techniques that say which values weights and activations may take: zeros, codebooks, bits."""
