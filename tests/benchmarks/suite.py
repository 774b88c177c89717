"""All benchmarks, one after the other.

    python tests/benchmarks/suite.py [--only SECTION ...] [--json FOLDER] [--page]

Each section is a command of its own, too, with options of its own; ``--page`` rewrites its part
of ``docs/benchmarks.md``. Give it cores that nothing else uses: ``taskset -c 0,1 python ...``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
WIDTHS = ("vgg16:width=0.08", "vgg16:width=0.25", "vgg16:width=0.5", "vgg16", "vgg16:width=2")

SECTIONS: dict[str, tuple[str, ...]] = {
    "throughput": ("throughput.py",),
    "stock": (
        "throughput.py",
        "--without-openvino",
        "--rounds",
        "21",
        "--turn",
        "0.1",
        "--time-steps",
    ),
    "growth": ("growth.py",),
    "memory": ("memory.py",),
    "lava": ("against_lava.py",),
    "compile": (
        "compile_time.py",
        *WIDTHS,
        "lenet",
        "resnet18",
        "--without-lava",
        "--lowering",
        "temporal",
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=list(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, metavar="FOLDER")
    parser.add_argument("--page", action="store_true", help="rewrite docs/benchmarks.md")
    arguments = parser.parse_args()
    options = ["--threads", str(arguments.threads)]
    options += ["--page"] if arguments.page else []
    failed = 0
    for section in arguments.only:
        script, *own = SECTIONS[section]
        if arguments.json:
            arguments.json.mkdir(parents=True, exist_ok=True)
            own += ["--json", str(arguments.json / f"{section}.json")]
        done = subprocess.run([sys.executable, str(FOLDER / script), *own, *options])
        failed += done.returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
