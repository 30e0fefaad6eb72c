"""tinygen turns a trained ONNX network into plain int8 C for Cortex-M.

>>> model = tinygen.load("examples/digits/digits.onnx")
>>> small = model.quantize("examples/digits/digits_calib.npz")
>>> small.verdict.grade.name
'KEEPS'
>>> built = small.build("nucleo_f446re", verify="native")
>>> built.arena
1552
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tinygen.version import VERSION as __version__

# onnxruntime (1.31 at least) else keeps a device id below ~/.cache and a session file in $TMPDIR, and reports its use
# to its maker. A tool that turns a model into firmware does not phone home; who wants that may set this to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# A network's matrix products are small: threads of numpy's BLAS spend more time waiting for each other, spinning, than
# they save. numpy reads this when it is loaded, which comes after; who has set it keeps what was set.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

if TYPE_CHECKING:
    from tinygen.api.board import boards, operators
    from tinygen.api.built import Build, BuildFolder, Profile, Verification, open_build
    from tinygen.api.compressed import Compressed
    from tinygen.api.diff import BuildDiff, LockDiff, diff
    from tinygen.api.evaluation import Evaluation, FolderEvaluation
    from tinygen.api.fitted import Fitted, FittedPoint
    from tinygen.api.inspection import Inspection
    from tinygen.api.model import Model, load
    from tinygen.api.project import Project, ProjectBuild, ProjectCheck, new_project, open_project
    from tinygen.api.quantised import Quantised, Repairs
    from tinygen.compress.recipe import Recipe
    from tinygen.compress.train.settings import Training
    from tinygen.errors import (
        AccuracyError,
        CheckError,
        DataError,
        MissingToolError,
        ModelError,
        OutputError,
        ProjectError,
        RecipeError,
        TargetError,
        TinygenError,
        ToolError,
        TrainingError,
        UnsupportedError,
        VerifyError,
    )
    from tinygen.fit.budget import Limits
    from tinygen.fit.run import Effort
    from tinygen.flow.gates import Gates
    from tinygen.targets.board import Board

#: Where each public name is; it is loaded when it is first used.
_PLACES = {
    "tinygen.api.board": ("boards", "operators"),
    "tinygen.api.built": ("Build", "BuildFolder", "Profile", "Verification", "open_build"),
    "tinygen.api.compressed": ("Compressed",),
    "tinygen.api.diff": ("BuildDiff", "LockDiff", "diff"),
    "tinygen.api.evaluation": ("Evaluation", "FolderEvaluation"),
    "tinygen.api.fitted": ("Fitted", "FittedPoint"),
    "tinygen.api.inspection": ("Inspection",),
    "tinygen.api.model": ("Model", "load"),
    "tinygen.api.project": ("Project", "ProjectBuild", "ProjectCheck", "new_project", "open_project"),
    "tinygen.api.quantised": ("Quantised", "Repairs"),
    "tinygen.compress.recipe": ("Recipe",),
    "tinygen.errors": (
        "AccuracyError", "CheckError", "DataError", "MissingToolError", "ModelError", "OutputError", "ProjectError",
        "RecipeError", "TargetError", "TinygenError", "ToolError", "TrainingError", "UnsupportedError", "VerifyError",
    ),
    "tinygen.compress.train.settings": ("Training",),
    "tinygen.fit.budget": ("Limits",),
    "tinygen.fit.run": ("Effort",),
    "tinygen.flow.gates": ("Gates",),
    "tinygen.targets.board": ("Board",),
}  # fmt: skip
_PLACE_OF = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "AccuracyError", "Board", "Build", "BuildDiff", "BuildFolder", "CheckError", "Compressed", "DataError",
    "Effort", "Evaluation", "Fitted", "FittedPoint", "FolderEvaluation", "Gates", "Inspection", "Limits",
    "LockDiff", "MissingToolError", "Model", "ModelError", "OutputError", "Profile", "Project", "ProjectBuild",
    "ProjectCheck", "ProjectError", "Quantised", "Recipe", "RecipeError", "Repairs", "TargetError",
    "TinygenError", "ToolError", "Training", "TrainingError", "UnsupportedError", "Verification", "VerifyError",
    "__version__", "boards", "diff", "load", "new_project", "open_build", "open_project", "operators",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _PLACE_OF:
        raise AttributeError(f"module 'tinygen' has no attribute {name!r}")
    found = getattr(import_module(_PLACE_OF[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
