"""Every key of the report of a build in segments is explained."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from toolchain.partial.findings import ChipFindings, Crossing, PartialReport, SegmentFindings

PAGE = Path(__file__).parents[3] / "docs" / "partial.md"


@pytest.mark.parametrize("kind", [PartialReport, SegmentFindings, ChipFindings, Crossing])
def test_every_key_is_on_the_page(kind):
    keys = PAGE.read_text(encoding="utf-8").split("## Keys of the report")[1]

    missing = [f.name for f in dataclasses.fields(kind) if f"`{f.name}`" not in keys]

    assert missing == []
