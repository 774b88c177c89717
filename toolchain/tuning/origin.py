"""Where thresholds come from, where it is not a conversion method that chooses them."""

from __future__ import annotations

from collections.abc import Mapping

from toolchain.ir.graph import Graph
from toolchain.ir.snn import LmHt
from toolchain.ir.staircase import counts_steps

TRAINED, QUANTIZED = "trained", "quantized"
"""What the model brings: its neurons, or the steps of its activations."""


def origin_of(prepared: Graph) -> str:
    """Return what stands for the conversion method; empty where it is used."""
    if prepared.of_type(LmHt):
        return TRAINED
    return QUANTIZED if counts_steps(prepared) else ""


def without_samples(prepared: Graph) -> str:
    """Return the warning that there are no calibration samples, and what that means."""
    origin = origin_of(prepared)
    if origin == QUANTIZED:
        return (
            "there are no samples: thresholds are the model's own, but promises were verified "
            "on random numbers; give real ones with --calibration"
        )
    guessed = "the steps of the input" if origin == TRAINED else "thresholds"
    return (
        f"{guessed} are guesses: there are no calibration samples, so the network was "
        "calibrated on random numbers; give real ones with --calibration"
    )


def without_effect(given: Mapping[str, object], default: Mapping[str, object]) -> list[str]:
    """Return warnings of options that a model with neurons of its own does not follow.

    Args:
        given: Options by name.
        default: What they are if nobody asks for anything; `None` asks for nothing, too.
    """
    return [
        f"--{name} {value} changes nothing: the model brings the levels and thresholds of its "
        "neurons"
        for name, value in given.items()
        if value not in (None, default[name])
    ]
