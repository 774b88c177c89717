"""What can go wrong in training through a user's doing."""

from __future__ import annotations

from toolchain.errors import CompileError


class TrainingError(CompileError):
    """A recipe, a checkpoint or a run of training is not as it must be."""

    stage = "train"
