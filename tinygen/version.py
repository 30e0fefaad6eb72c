"""The three versions of tinygen, kept in this one place (pyproject.toml reads VERSION from here): docs/VERSIONS.md."""

VERSION = "0.1.0"
"""The tool: semantic versioning."""

NUMERICS = 2
"""The bits of every operator: raised when a network with the same scales would compute something else."""

ABI = 2
"""The meaning of an emitted header: raised when firmware that uses it would have to change."""
