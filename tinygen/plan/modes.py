"""What kernels may be chosen for, by name. Light: the command line offers them without numpy."""

#: Cycles with memory that never waits; time and flash, on a part whose flash waits; flash.
MODES = ("speed", "balanced", "size")
