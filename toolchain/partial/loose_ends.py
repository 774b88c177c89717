"""Steps at the ends of a region that are better left to the host.

They have no multiply-accumulates, and without them fewer values go between host and chip: a
pool at the beginning, a sum of two inputs. At the beginning, as many values are reason enough
where neurons would have to stand for the step, which would round what has just been rounded.
What the model does to its own inputs stays: it is part of how samples are encoded.
"""

from __future__ import annotations

from collections.abc import Callable

from toolchain.partial.dataflow import Flow, Step
from toolchain.partial.regions import Region


def loose_ends(
    flow: Flow,
    region: Region,
    *,
    work: Callable[[Step], int],
    size: Callable[[str], int],
    takes_neurons: Callable[[Step], bool],
) -> list[Step]:
    """Return the steps of a region that are better left to the host.

    Args:
        flow: Of the model.
        region: On the chip.
        work: Returns the multiply-accumulates of a step.
        size: Returns the number of elements of one sample of a value.
        takes_neurons: Tells whether neurons have to stand for a step.
    """
    held = {step.name: step for step in region.steps}
    left: list[Step] = []
    candidates = [step for step in region.steps if work(step) == 0]
    while True:
        for step in candidates:
            is_first = not any(_is_made_in(flow, value, held) for value in step.reads)
            is_last = not any(_is_read_in(flow, value, held) for value in step.makes)
            is_of_sample = not set(flow.samples).isdisjoint(step.reads)
            if is_of_sample or not (is_first or is_last):
                continue
            saved = _saved(flow, step, held, size)
            if saved > 0 or (saved == 0 and is_first and takes_neurons(step)):
                del held[step.name]
                left.append(step)
                break
        else:
            return left
        candidates.remove(step)


def _saved(flow: Flow, step: Step, held: dict[str, Step], size: Callable[[str], int]) -> int:
    """Return how many values fewer are sent if a step at an end is left out."""
    others = {name: other for name, other in held.items() if name != step.name}
    saved = 0
    for value in step.reads:
        if not _is_made_in(flow, value, held):
            saved += 0 if _is_read_in(flow, value, others) else size(value)
        elif not _is_sent(flow, value, held):
            saved -= size(value)
    for value in step.makes:
        saved += size(value) if _is_sent(flow, value, held) else 0
        saved -= size(value) if _is_read_in(flow, value, others) else 0
    return saved


def _is_made_in(flow: Flow, value: str, held: dict[str, Step]) -> bool:
    return value in flow.makers and flow.makers[value].name in held


def _is_read_in(flow: Flow, value: str, held: dict[str, Step]) -> bool:
    return any(reader.name in held for reader in flow.readers.get(value, ()))


def _is_sent(flow: Flow, value: str, held: dict[str, Step]) -> bool:
    """Tell whether a value that a region makes leaves it."""
    readers = flow.readers.get(value, ())
    return value in flow.outputs or any(reader.name not in held for reader in readers)
