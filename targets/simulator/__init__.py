"""Bit-accurate simulation: step mode and count mode."""
