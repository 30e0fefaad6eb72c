"""The line from a file to a proved build, one file a phase, and what is asked of a network besides building it."""
