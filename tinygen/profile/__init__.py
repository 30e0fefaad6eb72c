"""What one inference costs, layer by layer: counted on an emulated core, or by the cycle counter of a real one."""

from tinygen.profile.counter import Counts
from tinygen.profile.measure import (
    LayerCounts,
    Measured,
    default_sample,
    profile_flashes,
    profile_library,
    profile_plan,
)

__all__ = ["Counts", "LayerCounts", "Measured", "default_sample", "profile_flashes", "profile_library", "profile_plan"]
