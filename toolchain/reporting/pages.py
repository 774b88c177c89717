"""The pages of ``docs/`` that are made from code, so that they cannot fall behind it.

``python -m toolchain.reporting.pages``, run beside the folder ``docs``, writes them; a test
compares what is there with what would be written.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from toolchain.errors import CompileError, UnsupportedOpError
from toolchain.ops import describe_operators
from toolchain.report import Energy, LayerReport, LoweringReport, Report, Rung
from toolchain.reporting.explanations import Explanation, explanations
from toolchain.target import TARGETS, Limit, Target

_ERRORS = """\
# Errors

<!-- Written by toolchain.reporting.pages; a test compares the two. -->

Everything that a user can cause is a `CompileError`. The command prints it and ends with exit
code 2, and leaves no artifact. Exit code 1 is a bug in snn-compile; `--debug` shows where.

A message has the stage, the node of the model (or the file, or the population) that it is
about, what was found and what is allowed; where there is a way out, a second line names one.
The last line names the code of the error, which stays the same from version to version;
`snn-compile explain CODE` prints what this page says about it.
"""

_EXAMPLE = UnsupportedOpError(
    "Elu is not supported; docs/supported-operators.md has those that are",
    node="/features/act",
    hint="train with Relu as activation",
)

_ERROR_TABLE = """\
In Python, `code`, `problem`, `node` and `hint` are attributes of the exception. The classes are
in `toolchain.errors`; a class that only one file raises is in that file.
"""

_TARGETS = """\
# Targets

<!-- Written by toolchain.reporting.pages; a test compares the two. -->

A target is a chip as far as compilation depends on it: numbers, each with where it is from.
*Published* means by the maker, in a paper or in the maker's own simulator; *assumed* means by
us. Beyond numbers, a circuit may rely on what no document settles; the report of a build says
so.
[Adding a target](adding-a-target.md) takes one file.
"""

_REPORT = """\
# The report

<!-- Written by toolchain.reporting.pages; a test compares the two. -->

`report.json` lies in the folder of every build, `snn-compile --json` prints it, and
`toolchain.pipeline.compile_model` returns it as a `Report`. Keys keep their names and meanings
from version to version; new ones may be added. What is not known is `null`.

| exit code | meaning |
|---|---|
| 0 | Done; every rung that ran kept its promise. |
| 1 | A bug in snn-compile; `--debug` shows where. |
| 2 | The model cannot be compiled as asked, or the arguments are wrong; nothing was written. |
| 3 | A rung broke its promise; the build was written, and its report says which and where. |
| 4 | `check` found what stops the model, or `doctor` what has to be mended. |
| 130 | Interrupted from the keyboard; nothing was written. |

The file in the build folder has three keys more than what is printed: `written_by`, the version
that wrote the build, `manifest`, the names of all its files, and `sha256`, the digest of each
of them but the report.

Spikes, operations and saturations are *counted* in a simulator that equals Lava's fixed-point
models. Energy is *modelled* from these counts. Nothing is measured on a chip.
"""


def describe_errors() -> str:
    """Return the page ``docs/errors.md``."""
    explained = explanations()
    rows = [
        f"| `{e.code}` | {_class(e.error)} | {e.error.stage} | {_cell(e.meaning)} | 2 |"
        for e in explained
    ]
    head = ["| code | class | stage | raised when | exit code |", "|---|---|---|---|---|"]
    more = f"  more: snn-compile explain {_EXAMPLE.code}"
    message = [f"    {line}" for line in (*str(_EXAMPLE).splitlines(), more)]
    sections = map(_error_section, explained)
    return "\n".join([_ERRORS, *message, "", _ERROR_TABLE, *head, *rows, "", *sections])


def describe_targets() -> str:
    """Return the page ``docs/targets.md``."""
    sections = [_target(TARGETS[name]) for name in TARGETS]
    return "\n".join([_TARGETS, *sections])


def describe_report() -> str:
    """Return the page ``docs/report.md``."""
    parts = [_REPORT]
    for title, kind in (
        ("Keys of the report", Report),
        ("Keys of a rung, in `ladder`", Rung),
        ("Keys of a population, in `layers`", LayerReport),
        ("Keys of a lowering, in `lowerings`", LoweringReport),
        ("Keys of `energy`", Energy),
    ):
        documented = _attributes(kind)
        rows = [f"| `{f.name}` | {documented[f.name]} |" for f in dataclasses.fields(kind)]
        parts += [f"## {title}\n", "| key | meaning |", "|---|---|", *rows, ""]
    return "\n".join(parts)


PAGES: Mapping[str, Callable[[], str]] = {
    "errors.md": describe_errors,
    "report.md": describe_report,
    "supported-operators.md": describe_operators,
    "targets.md": describe_targets,
}
"""By name of the file: what returns its text."""


def write_pages(folder: Path) -> None:
    """Write all pages to ``folder``."""
    for name, describe in PAGES.items():
        (folder / name).write_text(describe(), encoding="utf-8")


def _target(target: Target) -> str:
    documented = _attributes(Target)
    rows = []
    for field in dataclasses.fields(target):
        limit = getattr(target, field.name)
        if isinstance(limit, Limit):
            rows.append(
                f"| `{field.name}` | {limit.value} {limit.unit} | {documented[field.name]} "
                f"| {limit.evidence} | {limit.source} |"
            )
    return "\n".join(
        [
            f"## {target.name}\n",
            f"{target.description}.\n",
            "| limit | value | what it is | evidence | source |",
            "|---|---|---|---|---|",
            *rows,
            "",
            f"- In weight units, a current is within ±{target.current_max}, a threshold is at "
            f"most {target.threshold_max}, a bias is within ±{target.bias_max}, and a weight "
            f"of either sign is within ±{target.weight_max}.",
            f"- Formats written when none is asked for: {_listed(target.formats)}.",
            *(
                f"- Assumed of circuits that need `{feature}`: {sentence}."
                for feature, sentence in sorted(target.assumptions.items())
            ),
            "",
        ]
    )


def _error_section(explanation: Explanation) -> str:
    ways = [textwrap.fill(f"- {w}", 96, subsequent_indent="  ") for w in explanation.ways_out]
    paragraphs = (explanation.meaning, explanation.why, "Ways out:")
    texts = [textwrap.fill(text, 96) + "\n" for text in paragraphs]
    return "\n".join([f"## {explanation.code}\n", *texts, *ways, ""]).replace("``", "`")


def _class(error: type[CompileError]) -> str:
    built_in = [base.__name__ for base in error.__bases__ if base.__module__ == "builtins"]
    also = f" (also `{built_in[0]}`)" if built_in else ""
    return f"`{error.__name__}`{also}"


def _attributes(kind: type) -> dict[str, str]:
    """Return what the docstring of a class says about each attribute."""
    section = (inspect.getdoc(kind) or "").partition("Attributes:\n")[2]
    section = re.split(r"\n(?=\S)", section)[0]
    entries = re.findall(r"^    (\w+): (.*(?:\n {6,}.*)*)", section, re.MULTILINE)
    return {name: _cell(text) for name, text in entries}


def _cell(text: str) -> str:
    """Return a docstring's text as Markdown that fits into a cell of a table."""
    return " ".join(text.split()).replace("``", "`").replace("`None`", "`null`")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


if __name__ == "__main__":
    write_pages(Path("docs"))
