"""Ways to run a compiled network, one per file."""
