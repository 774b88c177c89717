"""Conversion methods, one published method per file."""
