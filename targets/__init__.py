"""Chips, file formats and simulators: everything that names hardware or a file."""
