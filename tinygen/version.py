"""The three versions of tinygen, kept in this one place (pyproject.toml reads VERSION from here)."""

VERSION = "0.1.0"
"""The tool: semantic versioning."""

NUMERICS = 2
"""Any bit of any result: raised when the same model and options would compute something else."""

ABI = 2
"""The meaning of an emitted header: raised when firmware that uses it would have to change."""
