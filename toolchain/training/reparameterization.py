"""What becomes of a trained network's accuracy with neurons of one threshold (table 2)."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from toolchain.training._torch import torch
from toolchain.training.monitor import count_operations
from toolchain.training.network import Network
from toolchain.training.neuron import MultiThreshold
from toolchain.training.samples import Part, typical
from toolchain.training.single_threshold import WAYS, compare, with_single_thresholds

_BATCH = 100
_WITHOUT_DOUBLES = ("mps",)


def reparameterized(
    network: Network, test: Part, samples: int, counted: int
) -> dict[str, dict[str, Any]]:
    """Return accuracy, operations and share of counts that differ, before and after each way.

    Args:
        network: Trained; one without neurons gives an empty table.
        test: Samples to test with.
        samples: How many of them are used.
        counted: On how many of these operations are counted.

    Returns:
        In ``reparameterization``, by ``before`` and the ways: what was measured, in float64
        where the device has it.
    """
    if not any(isinstance(module, MultiThreshold) for module in network.modules()):
        return {}
    places = torch.tensor(typical(test.y.cpu().numpy(), samples))
    dtype = torch.float32 if test.y.device.type in _WITHOUT_DOUBLES else torch.float64
    exact = network.with_steps(network.copied_steps()).to(dtype).eval()
    networks = {"before": exact} | {way: with_single_thresholds(exact, way) for way in WAYS}
    right: dict[str, int] = defaultdict(int)
    differing: dict[str, int] = defaultdict(int)
    counts: dict[str, int] = defaultdict(int)
    for x, y in test.batches(places.split(_BATCH)):
        for way, found in compare(exact, networks, x.to(dtype)).items():
            right[way] += int((found.logits.argmax(dim=1) == y).sum())
            differing[way] += found.differing
            counts[way] += found.counts
    x = test.batch(places[:counted])[0].to(dtype)
    measured = {
        way: {
            "samples": len(places),
            "accuracy": right[way] / len(places),
            "differing": differing[way] / counts[way],
            **count_operations(single, x).as_dict(),
        }
        for way, single in networks.items()
    }
    return {"reparameterization": measured}
