"""Clock channels of a netx file: a timetable for the input's last channels, beside the sample.

Files of snn-compile have one where the network needs spikes at certain steps. The stock reader
does not look at it; the host sends what it says.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from targets.netx.fields import MAX_ATTRIBUTE, Fields
from toolchain.ir.mapped import Circuit, DenseSynapse, IntArray, Shape, Source

CLOCK = "input/clock"
"""Name of the source that sends the clock channels."""


@dataclass(frozen=True, eq=False)
class Clock:
    """What the input gets beside a sample.

    Attributes:
        sample_shape: Shape of the sample, ``(C, H, W)`` or ``(N,)``.
        events: Payloads of the channels ``(channels,)`` by step.
    """

    sample_shape: Shape
    events: tuple[tuple[int, IntArray], ...]

    @property
    def channels(self) -> int:
        """Number of channels."""
        return len(self.events[0][1])

    @property
    def sample_size(self) -> int:
        """Number of values of a sample."""
        return int(np.prod(self.sample_shape))

    def sources(self, source: Source) -> tuple[Source, Source]:
        """Return the source of samples and the clock, for the source of both."""
        clock = dataclasses.replace(
            source, name=CLOCK, shape=(self.channels,), events=self.events
        )
        return dataclasses.replace(source, shape=self.sample_shape), clock

    def synapses(self, synapse: DenseSynapse) -> tuple[DenseSynapse, DenseSynapse]:
        """Return the synapse from the sample and that from the clock, for that from both."""
        size, delay = self.sample_size, synapse.delay
        each = [
            dataclasses.replace(
                synapse,
                weight=synapse.weight[:, part],
                delay=None
                if delay is None
                else np.broadcast_to(delay, synapse.weight.shape)[:, part],
            )
            for part in (slice(None, size), slice(size, None))
        ]
        name = f"{CLOCK}->{synapse.target}"
        return each[0], dataclasses.replace(each[1], name=name, source=CLOCK)


def read_clock(root: Fields) -> Clock | None:
    """Read the clock of a file; `None` for none.

    Raises:
        ImportModelError: It is damaged.
    """
    if "clock" not in root:
        return None
    group = root.group("clock", "clock")
    shape, steps, values = (
        group.integers(name) for name in ("sample_shape", "steps", "values")
    )
    if shape.ndim != 1 or shape.size > 3 or shape.min() < 1:
        raise group.error("sample_shape", f"is {shape.tolist()}; 1 to 3 sizes >= 1 are allowed")
    if steps.ndim != 1 or steps.min() < 0 or steps.max() >= MAX_ATTRIBUTE:
        raise group.error("steps", f"is {steps.tolist()}; steps from 0 on are allowed")
    if values.ndim != 2 or len(values) != len(steps):
        raise group.error(
            "values",
            f"has shape {values.shape}; a row for each of {len(steps)} steps is needed",
        )
    return Clock(
        tuple(int(size) for size in shape),
        tuple((int(step), row) for step, row in zip(steps, values, strict=True)),
    )


def with_clock(circuit: Circuit, inputs: IntArray) -> IntArray:
    """Append clock channels, from step 0 of every period on, to what the input source sends.

    Args:
        circuit: As `read_netx` gives it.
        inputs: ``(time_steps, *shape)``.
    """
    clocks = [source for source in circuit.sources if source.name == CLOCK]
    if not clocks:
        return inputs
    channels = np.zeros((len(inputs), *clocks[0].shape), np.int64)
    for step, values in clocks[0].events:
        channels[step :: circuit.period] += values
    return np.hstack([inputs.reshape(len(inputs), -1), channels])
