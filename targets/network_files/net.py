"""Files of lava-dl's netx, run on the step simulator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from targets.netx.run import run_netx
from toolchain.engine import NETWORK_FILES


@NETWORK_FILES.register("net")
def run_net(path: Path, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return what the last block answers to each sample, ``(samples, *shape)``.

    That is its read-out for a file that snn-compile wrote, else the spikes summed over the run,
    or the last payload of a population that sends its sum in every step.
    """
    return np.asarray(run_netx(path, x).answer)
