"""Regions of a model that can be networks of their own, and the order in which they run.

Steps have levels. A step on the host has the largest level of what it reads; one on the chip,
too, but what the host has made counts one more for it. So between two steps of a level on the
chip there is never one on the host, and those of a level that share a value are a region: a
network that runs when all it reads is there, without asking the host in between.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from toolchain.partial.dataflow import Flow, Step


@dataclass(frozen=True)
class Region:
    """Steps that run together.

    Attributes:
        steps: In the order they run.
        inputs: Values that they read from outside.
        outputs: Values that are read outside, or returned.
    """

    steps: tuple[Step, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def names(self) -> frozenset[str]:
        """Names of the steps."""
        return frozenset(step.name for step in self.steps)


def region_of(flow: Flow, steps: Sequence[Step]) -> Region:
    """Return some steps, in the order they run, as a region."""
    names = {step.name for step in steps}
    made = dict.fromkeys(value for step in steps for value in step.makes)
    read = dict.fromkeys(value for step in steps for value in step.reads)
    outputs = tuple(
        value
        for value in made
        if value in flow.outputs
        or any(reader.name not in names for reader in flow.readers.get(value, ()))
    )
    return Region(tuple(steps), tuple(value for value in read if value not in made), outputs)


def levels_of(flow: Flow, host: Collection[str], first: Collection[str]) -> dict[str, int]:
    """Return the level of each step, by its name.

    Args:
        flow: Of the model.
        host: Names of the steps on the host.
        first: Names of steps on the chip that a region may only begin with.
    """
    levels: dict[str, int] = {}
    for step in flow.steps:
        found = [0]
        for value in step.reads:
            maker = flow.makers.get(value)
            level = 0 if maker is None else levels[maker.name]
            is_sent = maker is None or maker.name in host or step.name in first
            found.append(level + (is_sent and step.name not in host))
        levels[step.name] = max(found)
    return levels


def regions_of(flow: Flow, levels: Mapping[str, int], host: Collection[str]) -> list[Region]:
    """Return the regions on the chip, by level.

    Args:
        flow: Of the model.
        levels: Of its steps, by name.
        host: Names of the steps on the host.
    """
    leader: dict[str, str] = {}
    users: dict[tuple[int, str], str] = {}

    def lead(name: str) -> str:
        while leader[name] != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    steps = [step for step in flow.steps if step.name not in host]
    for step in steps:
        leader[step.name] = step.name
        for value in (*step.reads, *step.makes):
            other = users.setdefault((levels[step.name], value), step.name)
            leader[lead(step.name)] = lead(other)
    groups: dict[str, list[Step]] = {}
    for step in steps:
        groups.setdefault(lead(step.name), []).append(step)
    found = [region_of(flow, group) for group in groups.values()]
    return sorted(found, key=lambda region: levels[region.steps[0].name])
