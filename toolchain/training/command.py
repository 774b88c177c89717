"""The command ``snn-train``: a recipe in, checkpoints, metrics and an ONNX network out."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain import __version__
from toolchain.errors import CompileError, OutputFolderError
from toolchain.training.tables import METRICS, tables

if TYPE_CHECKING:
    from toolchain.training.loop import Trained

DONE, REFUSED, INTERRUPTED = 0, 2, 130
"""Exit codes: done, the user's mistake, and Control-C."""

MODEL, RECIPE = "model.onnx", "recipe.toml"
"""Names of files that a finished run holds besides its checkpoints and `tables.METRICS`."""

_CALIBRATION_SAMPLES = 256
_TEST_SAMPLES = 1000
_COUNTED_SAMPLES = 200

_DESCRIPTION = """\
Train a network of multi-threshold neurons by a recipe. DIR gets last.pt and best.pt,
metrics.json, and for snn-compile model.onnx, calibration.npz and test.npz. With --table,
print what finished runs have measured in the layout of the paper's tables."""
_EXIT_CODES = """\
exit codes:
  0  done
  2  the recipe cannot be followed, or training failed; the message says why"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Args:
        argv: Arguments without the command's name; `None` for those of the process.
    """
    arguments = _parse(argv)
    try:
        if arguments.table:
            _show(tables(arguments.table))
        else:
            _train(arguments)
    except CompileError as error:
        _show(str(error), sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        _show("interrupted; --resume goes on after the last finished epoch", sys.stderr)
        return INTERRUPTED
    return DONE


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="snn-train",
        description=_DESCRIPTION,
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("recipe", type=Path, nargs="?", metavar="RECIPE.toml", help="what to train, and how")
    add("--output", type=Path, metavar="DIR", help="folder of the run")
    add("--resume", action="store_true", help="go on with the run that DIR holds")
    add("--quiet", action="store_true", help="print nothing but errors")
    add("--table", type=Path, nargs="+", metavar="DIR", help="tables of finished runs")
    add("--version", action="version", version=f"snn-train {__version__}")
    arguments = parser.parse_args(argv)
    if not arguments.table and not (arguments.recipe and arguments.output):
        parser.error("RECIPE.toml and --output DIR are needed, or --table DIR ...")
    return arguments


def _train(arguments: argparse.Namespace) -> None:
    from toolchain.training.datasets import load_dataset
    from toolchain.training.loop import train
    from toolchain.training.recipe import read_recipe

    recipe = read_recipe(arguments.recipe)
    dataset = load_dataset(recipe.data)
    line = _Line(is_quiet=arguments.quiet)
    trained = train(
        recipe, dataset, arguments.output, resume=arguments.resume, progress=line.progress
    )
    metrics = _metrics(trained)
    try:
        _write(arguments, trained, metrics, dataset)
    except OSError as error:
        raise OutputFolderError(
            f"cannot be written: {error.strerror}", node=str(arguments.output)
        ) from None
    line.end(metrics)


def _metrics(trained: Trained) -> dict[str, Any]:
    from toolchain.training._torch import torch
    from toolchain.training.loop import accuracy, evaluate
    from toolchain.training.monitor import count_operations
    from toolchain.training.reparameterization import reparameterized
    from toolchain.training.samples import typical

    test = trained.test
    logits = evaluate(trained.network, test)
    counted = test.batch(torch.tensor(typical(test.y.cpu().numpy(), _COUNTED_SAMPLES)))[0]
    metrics = {
        "network": _described(trained),
        "test_accuracy": accuracy(logits, test.y),
        "test_samples": len(test),
        "best_epoch": int(trained.best["epoch"]),
        "validation_accuracy": trained.best["validation_accuracy"],
        "operations_per_sample": count_operations(trained.network, counted).as_dict(),
    }
    changed = reparameterized(trained.network, test, _TEST_SAMPLES, _COUNTED_SAMPLES)
    return metrics | changed | {"history": trained.history}


def _described(trained: Trained) -> dict[str, Any]:
    recipe, network = trained.recipe, trained.network
    activation = recipe.network.activation
    has_neurons = activation == "lm-ht"
    return {
        "name": recipe.network.name or "hybrid",
        "activation": activation,
        "levels": recipe.neuron.levels if activation != "relu" else 0,
        "windows": network.windows,
        "mixing": recipe.neuron.mixing if has_neurons else "",
    }


def _write(
    arguments: argparse.Namespace, trained: Trained, metrics: dict[str, Any], dataset: Any
) -> None:
    import numpy as np

    from toolchain.training.export import export_network
    from toolchain.training.samples import typical

    folder = arguments.output
    if arguments.recipe.resolve() != (folder / RECIPE).resolve():
        shutil.copyfile(arguments.recipe, folder / RECIPE)
    export_network(trained.network, folder / MODEL)
    few = typical(dataset.train_y, _CALIBRATION_SAMPLES)
    np.savez_compressed(
        folder / "calibration.npz", x=dataset.train_x[few], y=dataset.train_y[few]
    )
    some = typical(dataset.test_y, _TEST_SAMPLES)
    np.savez_compressed(folder / "test.npz", x=dataset.test_x[some], y=dataset.test_y[some])
    text = json.dumps(metrics, indent=2, allow_nan=False)
    (folder / METRICS).write_text(text + "\n", encoding="utf-8")


class _Line:
    """One line for people that says how far training is."""

    def __init__(self, *, is_quiet: bool) -> None:
        self.is_quiet = is_quiet
        self.is_shown = not is_quiet and sys.stderr.isatty()

    def progress(self, stage: str, done: int, total: int) -> None:
        """Rewrite the line."""
        if self.is_shown:
            sys.stderr.write(f"\r{stage}: {done}/{total}\033[K")
            sys.stderr.flush()

    def end(self, metrics: dict[str, Any]) -> None:
        """Print what came out."""
        if self.is_shown:
            sys.stderr.write("\r\033[K")
        if not self.is_quiet:
            operations = metrics["operations_per_sample"]
            _show(
                f"test accuracy {metrics['test_accuracy']:.2%} "
                f"({metrics['test_samples']} samples), best epoch {metrics['best_epoch']}, "
                f"{operations['synaptic_operations']:.0f} synaptic operations a sample"
            )


def _show(text: str, stream: Any = None) -> None:
    (stream or sys.stdout).write(f"{text}\n")
