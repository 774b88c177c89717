"""Checkpoints: a state of training in one file that is replaced as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
import pickle
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolchain.errors import OutputFolderError, TrainingError
from toolchain.training._torch import torch
from toolchain.training.architecture import build, describe
from toolchain.training.network import Network
from toolchain.training.recipe import Recipe, differences, recipe_of, recipe_tables

FORMAT = 1
"""Version of what is in the file."""

_UNREADABLE = (
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    KeyError,
    TypeError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Where training stands after an epoch.

    Attributes:
        recipe: That is being trained.
        epoch: Epochs done.
        network: With its weights.
        optimizer: State of the optimizer; empty where training does not go on from here.
        history: What was measured in each epoch.
    """

    recipe: Recipe
    epoch: int
    network: Network
    optimizer: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint beside ``path`` and then put it in its place.

    Raises:
        OutputFolderError: It cannot be written; what was there before still is.
    """
    content = {
        "format": FORMAT,
        "recipe": recipe_tables(checkpoint.recipe),
        "epoch": checkpoint.epoch,
        "architecture": describe(checkpoint.network),
        "weights": checkpoint.network.state_dict(),
        "optimizer": checkpoint.optimizer,
        "history": checkpoint.history,
    }
    aside = path.with_name(f".{path.name}.partial")
    try:
        with aside.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except (OSError, RuntimeError) as error:
        with contextlib.suppress(OSError):
            aside.unlink()
        why = getattr(error, "strerror", None) or error
        raise OutputFolderError(f"cannot be written: {why}", node=str(path)) from None


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; no code in it is run.

    Raises:
        TrainingError: There is none, or it is damaged or of another version.
    """
    if not path.is_file():
        raise TrainingError("there is no such checkpoint", node=str(path))
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content["format"] != FORMAT:
            raise ValueError
        network = build(content["architecture"])
        network.load_state_dict(content["weights"])
        return Checkpoint(
            recipe=recipe_of(content["recipe"]),
            epoch=int(content["epoch"]),
            network=network.eval(),
            optimizer=content["optimizer"],
            history=content["history"],
        )
    except (*_UNREADABLE, TrainingError):
        raise TrainingError(
            "is no checkpoint of this version, or is damaged",
            node=str(path),
            hint="train again",
        ) from None


def require_same_recipe(checkpoint: Checkpoint, recipe: Recipe, path: Path) -> None:
    """Refuse to go on from a checkpoint of another recipe.

    Raises:
        TrainingError: They differ in what matters for the result; the message has the keys.
    """
    found = differences(checkpoint.recipe, recipe)
    if found:
        raise TrainingError(
            "; ".join(found),
            node=str(path),
            hint="use the recipe that the checkpoint was trained with, or a new folder",
        )
