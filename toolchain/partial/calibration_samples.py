"""The samples that thresholds of all segments are set on."""

from __future__ import annotations

from toolchain.data import Samples, load_samples, synthetic_samples
from toolchain.ir.node import Shape
from toolchain.pipeline import Options

GUESSED = (
    "thresholds are guesses: there are no calibration samples, so the network was "
    "calibrated on random numbers; give real ones with --calibration"
)
"""Warning where the samples stand for nothing."""

_LARGEST, _SYNTHETIC = 512, 32


def calibration_samples(options: Options, shape: Shape) -> tuple[Samples, list[str]]:
    """Return the samples of a model that a compilation takes, and warnings about them.

    Args:
        options: Of the compilation.
        shape: Of one sample.

    Raises:
        InputDataError: They cannot be read, or do not fit the model.
    """
    path = options.calibration or options.model.with_name("calibration.npz")
    if options.calibration is None and not path.exists():
        return synthetic_samples(shape, _SYNTHETIC), [GUESSED]
    samples = load_samples(path, shape, labelled=None)
    if len(samples) <= _LARGEST:
        return samples, []
    y = None if samples.y is None else samples.y[:_LARGEST]
    warning = f"calibrated on the first {_LARGEST} of {len(samples)} samples"
    return Samples(samples.x[:_LARGEST], y), [warning]
