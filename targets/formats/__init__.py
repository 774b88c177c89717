"""Artifacts that a build can hold, one file format per file."""
