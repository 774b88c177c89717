"""What the commands end with."""

from __future__ import annotations

DONE = 0
"""All is as it was asked for."""

BUG = 1
"""A mistake of ours."""

REFUSED = 2
"""The user's input cannot be used; the message says why, and nothing was written."""

BROKEN = 3
"""A promise does not hold: a rung of the ladder differs, or a file of a build was changed."""

STOPPED = 4
"""``check`` or ``doctor`` has found what will stop a compilation or an engine."""

INTERRUPTED = 130
"""Control-C."""

EPILOG = """\
exit codes:
  0  done
  1  a bug in snn-compile
  2  the model cannot be compiled as asked; the message says why
  3  a rung of the ladder broke its promise"""
"""What ``--help`` says of those that a compilation and a run have."""
