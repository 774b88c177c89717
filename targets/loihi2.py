"""Loihi 2, as far as it is published and as Lava's fixed-point models have it."""

from __future__ import annotations

from toolchain.ir.features import NEURON_PROGRAM, NO_DECAY, OWN_THRESHOLDS
from toolchain.target import TARGETS, Limit, Target

_LIF = "docstring of PyLifModelBitAcc, lava-nc 0.10"
_BRIEF = "Intel Loihi 2 technology brief, 2021"

TARGETS.register("loihi2")(
    Target(
        name="loihi2",
        description="Intel Loihi 2",
        weight_bits=Limit(8, "bit", _BRIEF, "published"),
        state_bits=Limit(24, "bit", _LIF, "published"),
        state_shift=Limit(6, "bit", _LIF, "published"),
        threshold_bits=Limit(17, "bit", _LIF, "published"),
        bias_bits=Limit(13, "bit", _LIF, "published"),
        bias_exponent=Limit(7, "power of two", _LIF, "published"),
        weight_exponent=Limit(7, "power of two", "nengo-loihi block.py (Loihi 1)", "assumed"),
        message_bits=Limit(
            24, "bit", "lava-nc 0.10, graded spikes; 32 in the brief", "published"
        ),
        neurons=Limit(1_048_576, "neurons", f"{_BRIEF}: 128 cores of 8,192", "published"),
        convolution_groups=Limit(
            127, "groups", "8-bit geometry registers of lava.proc.conv 0.10", "published"
        ),
        formats=("netx", "lava"),
        assumptions={
            NO_DECAY: "the hardware can hold a synaptic current without any decay, as Lava's "
            "model can",
            OWN_THRESHOLDS: "neurons of one population can have different thresholds, as in "
            "Lava's model",
            NEURON_PROGRAM: "the radix lowering needs neuron programs (microcode) that double "
            "their sum in every step and hold constants of 24 bits; they exist for our "
            "simulator and Lava's on a CPU, not for the chip",
        },
    )
)
