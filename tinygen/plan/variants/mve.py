"""Variants of the Helium set (Cortex-M55, M85)."""

from __future__ import annotations

from tinygen.plan.variants.base import Variants

VARIANTS: Variants = {}
