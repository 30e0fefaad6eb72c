"""Kernels for any shape that are programs: files of the library, printed when they are wanted."""

from __future__ import annotations

from tinygen.kernels.kernel import Kernel
from tinygen.kernels.tile.kernel import AnyTile, Widen
from tinygen.kernels.wino.kernel import WinoTile

#: By name. They are of the set that their names end in, as those that lie there as files.
PRINTED: dict[str, Kernel] = {kernel.name: kernel for kernel in (AnyTile(), Widen(), WinoTile())}
