"""Variants of the Cortex-M0 set: MULS only, no unaligned access."""

from __future__ import annotations

from tinygen.plan.variants.base import Variants

VARIANTS: Variants = {}
