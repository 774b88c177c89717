"""Train a network by its recipe: an epoch at a time, resumable, the best epoch kept.

Gradients run back through space and windows (STBP): cross entropy of the logits' mean over the
windows, with the neuron's own rule for what crosses a window. After each epoch the state goes
to ``last.pt``, and to ``best.pt`` if the accuracy on held-out training samples is the highest
so far (of equals, the lowest loss). The test set is looked at once, at the end, with the best.

All randomness of an epoch follows from the seed and the number of the epoch, so a run that was
interrupted and resumed ends as one that was not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from toolchain.errors import InputDataError, OutputFolderError, TrainingError
from toolchain.training._torch import functional, torch
from toolchain.training.assembly import assemble_network
from toolchain.training.augmentation import augmented, require_augmentable
from toolchain.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    require_same_recipe,
    save_checkpoint,
)
from toolchain.training.datasets import Dataset
from toolchain.training.mixup import mixed_loss, shares
from toolchain.training.network import Network
from toolchain.training.recipe import Recipe
from toolchain.training.samples import Part, part_of

LAST, BEST = "last.pt", "best.pt"
"""Names of the checkpoints of a run."""

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told the stage, what is done of it and how much there is."""

_EPOCHS_PER_SEED = 1_000_003
_CALIBRATION = 512
_EVALUATION_BATCH, _EVALUATION_VALUES = 500, 2**24


@dataclass(frozen=True, eq=False)
class Trained:
    """What a run ends with.

    Attributes:
        recipe: That was followed.
        network: Of the best epoch, in evaluation mode.
        best: What was measured in the best epoch.
        history: What was measured in every epoch.
        test: The test samples.
    """

    recipe: Recipe
    network: Network
    best: dict[str, float]
    history: list[dict[str, float]]
    test: Part


def train(
    recipe: Recipe,
    dataset: Dataset,
    folder: Path,
    *,
    resume: bool = False,
    progress: Progress = lambda *_: None,
) -> Trained:
    """Train, and keep ``last.pt`` and ``best.pt`` in ``folder``.

    Args:
        recipe: What to do.
        dataset: As `datasets.load_dataset` returns it.
        folder: Must not hold a run already, unless it is resumed.
        resume: Go on after the last finished epoch.
        progress: Told of each step.

    Raises:
        TrainingError: The loss is not finite, or the checkpoint is not of this recipe.
        InputDataError: There are too few samples.
        OutputFolderError: The folder cannot be written or holds a run.
    """
    run = _Run(recipe, dataset, folder, progress)
    state = run.resumed() if resume else run.started()
    for epoch in range(state.epoch, recipe.training.epochs):
        state = run.epoch(state, epoch)
    best = load_checkpoint(folder / BEST)
    network = best.network.to(recipe.training.device).eval()
    return Trained(recipe, network, best.history[-1], state.history, run.test)


def evaluate(network: Network, part: Part, progress: Progress = lambda *_: None) -> Any:
    """Return the logits of all samples."""
    network.eval()
    size = max(1, min(_EVALUATION_BATCH, _EVALUATION_VALUES // math.prod(part.x.shape[1:])))
    logits: list[Any] = []
    with torch.no_grad():
        for x, _ in part.batches(torch.arange(len(part)).split(size)):
            logits.append(network(x))
            progress("evaluate", min(len(logits) * size, len(part)), len(part))
    return torch.cat(logits)


def accuracy(logits: Any, labels: Any) -> float:
    """Return the share of samples whose largest logit is at their label."""
    return float((logits.argmax(dim=1) == labels).double().mean())


class _Run:
    def __init__(
        self, recipe: Recipe, dataset: Dataset, folder: Path, progress: Progress
    ) -> None:
        self.recipe, self.folder, self.progress = recipe, folder, progress
        self.options = recipe.training
        if self.options.threads:
            torch.set_num_threads(self.options.threads)
        self.dataset = dataset
        require_augmentable(
            recipe.data.augment,
            dataset.sample_shape,
            has_bytes=dataset.train_x.dtype == np.uint8,
            has_windows=dataset.has_window_axis,
        )
        self.train, self.validation = self._split(dataset)
        self.test = part_of(dataset.test_x, dataset.test_y, self.options.device)

    def started(self) -> Checkpoint:
        """Return the state before the first epoch."""
        if (self.folder / LAST).exists():
            raise OutputFolderError(
                "holds a run already",
                node=str(self.folder),
                hint="go on with it with --resume, or name a new folder with --output",
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputFolderError(
                f"cannot be made: {error.strerror}", node=str(self.folder)
            ) from None
        torch.manual_seed(self.options.seed)
        data = self.dataset
        network = assemble_network(
            self.recipe,
            data.sample_shape,
            data.classes,
            input_scale=data.input_scale,
            windows=data.train_x.shape[1] if data.has_window_axis else None,
            calibration=self._calibration,
        )
        return Checkpoint(self.recipe, 0, network.to(self.options.device))

    def _calibration(self) -> Any:
        return self.train.batch(torch.arange(min(_CALIBRATION, len(self.train))))[0].cpu()

    def resumed(self) -> Checkpoint:
        """Return the state after the last epoch that was finished."""
        path = self.folder / LAST
        if not path.exists():
            return self.started()
        state = load_checkpoint(path)
        require_same_recipe(state, self.recipe, path)
        state.network.to(self.options.device)
        return state

    def epoch(self, state: Checkpoint, epoch: int) -> Checkpoint:
        """Train one epoch, measure it and keep it."""
        network = state.network
        optimizer = self._optimizer(network)
        if state.optimizer:
            optimizer.load_state_dict(state.optimizer)
        loss = self._pass(network, optimizer, epoch)
        logits = evaluate(network, self.validation)
        measured = {
            "epoch": epoch + 1,
            "training_loss": loss,
            "validation_loss": float(functional.cross_entropy(logits, self.validation.y)),
            "validation_accuracy": accuracy(logits, self.validation.y),
        }
        if not math.isfinite(measured["validation_loss"]):
            raise self._diverged("validation loss", measured["validation_loss"], epoch)
        history = [*state.history, measured]
        after = Checkpoint(self.recipe, epoch + 1, network, optimizer.state_dict(), history)
        if max(history, key=_goodness) is measured:
            save_checkpoint(replace(after, optimizer={}), self.folder / BEST)
        save_checkpoint(after, self.folder / LAST)
        return after

    def _pass(self, network: Network, optimizer: Any, epoch: int) -> float:
        """Train on all samples once and return the mean loss."""
        network.train()
        seed = self.options.seed * _EPOCHS_PER_SEED + epoch
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self.train), generator=generator)
        batches = [rows for rows in order.split(self.options.batch) if len(rows) > 1]
        data, total = self.recipe.data, 0.0
        kept = shares(self.options.mixup, seed, len(batches))
        for i, (x, y) in enumerate(self.train.batches(batches)):
            self._set_rate(optimizer, epoch + i / len(batches))
            x = augmented(x, data.augment, generator, shift=data.shift, cutout=data.cutout)
            loss = mixed_loss(network, x, y, float(kept[i]), generator)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            value = loss.item()
            if not math.isfinite(value):
                raise self._diverged("loss", value, epoch)
            optimizer.step()
            network.confine()
            total += value
            self.progress(f"epoch {epoch + 1}/{self.options.epochs}", i + 1, len(batches))
        return total / len(batches)

    def _diverged(self, what: str, value: float, epoch: int) -> TrainingError:
        kept = (
            f"the state after epoch {epoch} is kept in {LAST}" if epoch else "nothing is kept"
        )
        return TrainingError(
            f"the {what} is {value} in epoch {epoch + 1}; {kept}",
            node=str(self.folder),
            hint="lower training.learning_rate in the recipe",
        )

    def _optimizer(self, network: Network) -> Any:
        options = self.options
        if options.optimizer == "adamw":
            return torch.optim.AdamW(
                network.parameters(), options.learning_rate, weight_decay=options.weight_decay
            )
        return torch.optim.SGD(
            network.parameters(),
            options.learning_rate,
            momentum=options.momentum,
            weight_decay=options.weight_decay,
            nesterov=options.momentum > 0,
        )

    def _set_rate(self, optimizer: Any, epochs_done: float) -> None:
        share = epochs_done / self.options.epochs
        for group in optimizer.param_groups:
            group["lr"] = self.options.learning_rate * (1 + math.cos(math.pi * share)) / 2

    def _split(self, data: Dataset) -> tuple[Part, Part]:
        """Return the samples to train on and those held out, the same for the same seed."""
        table = self.recipe.data
        order = np.random.default_rng(self.options.seed).permutation(len(data.train_x))
        order = order[: table.samples or None]
        if len(order) < table.validation + 2:
            raise InputDataError(
                f"{len(order)} training samples do not leave 2 besides {table.validation} to "
                "validate on",
                node=table.path,
                hint="lower data.validation in the recipe",
            )
        device, x, y = self.options.device, data.train_x, data.train_y
        held, used = order[: table.validation], order[table.validation :]
        return part_of(x, y, device, used), part_of(x, y, device, held)


def _goodness(measured: dict[str, float]) -> tuple[float, float]:
    return (measured["validation_accuracy"], -measured["validation_loss"])
