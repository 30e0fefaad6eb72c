"""Variants of the Cortex-M3 set: MLA and SMULL, no DSP extension."""

from __future__ import annotations

from tinygen.plan.variants.base import Variants

VARIANTS: Variants = {}
