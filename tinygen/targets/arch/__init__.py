"""Architectures: one folder each, with all that is known of cores of one instruction set (base.py has the names)."""
