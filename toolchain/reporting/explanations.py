"""What errors mean, from the docstrings of their classes, which have three parts.

The first sentence says what was found, ``Why:`` what in the hardware or in the compiler makes
it an error, and ``Ways out:`` is a list of what can be done.
"""

from __future__ import annotations

import difflib
import inspect
import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

from toolchain.engine import ENGINES
from toolchain.errors import CompileError, UnknownNameError
from toolchain.target import FORMATS, TARGETS

_OWN_PACKAGES = ("toolchain", "targets")
_WIDTH = 80


@dataclass(frozen=True)
class Explanation:
    """What one class of errors means.

    Attributes:
        code: Stable, as printed below a message.
        error: The class.
        meaning: What was found, in one sentence.
        why: What makes it an error.
        ways_out: What can be done.
    """

    code: str
    error: type[CompileError]
    meaning: str
    why: str
    ways_out: tuple[str, ...]

    @property
    def text(self) -> str:
        """All of it, for a terminal of 80 columns."""
        title = f"{self.code}: {self.error.__name__}, at stage {self.error.stage!r}"
        ways = [textwrap.fill(w, _WIDTH, subsequent_indent="  ") for w in self._listed()]
        paragraphs = [textwrap.fill(text, _WIDTH) for text in (self.meaning, self.why)]
        parts = [title, *(part.replace("``", "") for part in paragraphs)]
        return "\n\n".join([*parts, "\n".join(["Ways out:", *ways])])

    def _listed(self) -> list[str]:
        return [f"- {way}".replace("``", "") for way in self.ways_out]


def explanations() -> tuple[Explanation, ...]:
    """Return the explanations of all errors of both packages, in the order of the classes."""
    for registry in (FORMATS, ENGINES, TARGETS):  # each imports what may define errors
        list(registry)
    return tuple(map(_explanation, _subclasses(CompileError)))


def explanation_of(code: str) -> Explanation:
    """Return the explanation of a code, in letters of either case.

    Raises:
        UnknownNameError: No error has the code; the message lists them.
    """
    known = {explanation.code: explanation for explanation in explanations()}
    wanted = code.upper()
    if wanted not in known:
        close = difflib.get_close_matches(wanted, known, n=1)
        raise UnknownNameError(
            f"no error has the code {code!r}; known: {', '.join(known)}",
            hint=f"did you mean {close[0]!r}?" if close else None,
        )
    return known[wanted]


def _subclasses(kind: type[CompileError]) -> Iterable[type[CompileError]]:
    for error in kind.__subclasses__():
        if error.__module__.split(".")[0] in _OWN_PACKAGES:
            yield error
            yield from _subclasses(error)


def _explanation(error: type[CompileError]) -> Explanation:
    text = inspect.getdoc(error) or ""
    ways = re.split(r"^- ", _section(text, "Ways out"), flags=re.MULTILINE)[1:]
    return Explanation(
        code=error.code,
        error=error,
        meaning=_one_line(text.partition("\n\n")[0]),
        why=_one_line(_section(text, "Why")),
        ways_out=tuple(map(_one_line, ways)),
    )


def _section(text: str, heading: str) -> str:
    """Return the indented lines below a heading, without their indentation."""
    found = re.search(rf"^{heading}:\n((?:    .*\n?|\n)+)", text, re.MULTILINE)
    return textwrap.dedent(found[1]) if found else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())
