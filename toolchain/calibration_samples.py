"""The samples that thresholds are set on: those given, those beside the model, or none."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

from toolchain.data import Parts, Samples, load_samples, synthetic_samples
from toolchain.ir.node import Shape

_BESIDE = "calibration.npz"
_LARGEST, _SYNTHETIC = 512, 32


def calibration_samples(
    given: Path | None, model: Path, shape: Shape, parts: Parts = MappingProxyType({})
) -> tuple[Samples, list[str]]:
    """Return the samples that a compilation takes, and warnings about them.

    Args:
        given: An npz file; `None` looks beside the model.
        model: File of the model.
        shape: Of one sample.
        parts: Shapes of several inputs, by name; empty for a single one.

    Returns:
        Samples that are synthetic, and say so by having no source, if there are no others.

    Raises:
        InputDataError: They cannot be read, or do not fit the model.
    """
    path = given or model.with_name(_BESIDE)
    if given is None and not path.exists():
        return synthetic_samples(shape, _SYNTHETIC), []
    samples = load_samples(path, shape, parts, labelled=None)
    if len(samples) <= _LARGEST:
        return samples, []
    y = None if samples.y is None else samples.y[:_LARGEST]
    warning = f"calibrated on the first {_LARGEST} of {len(samples)} samples"
    return Samples(samples.x[:_LARGEST], y, samples.source), [warning]
