"""The sections of docs/benchmarks.md that the benchmarks write."""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def rewrite(section: str, text: str, page: Path = PAGE) -> None:
    """Replace what stands between the marks of a section.

    Raises:
        SystemExit: The page has no such section.
    """
    first, last = f"<!-- {section}: begin -->\n", f"<!-- {section}: end -->\n"
    before, begin, rest = page.read_text(encoding="utf-8").partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise SystemExit(f"{page} has no section {section!r}")
    page.write_text(f"{before}{first}\n{text.strip()}\n\n{last}{after}", encoding="utf-8")
