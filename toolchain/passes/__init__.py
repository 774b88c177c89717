"""Graph rewrites, one per file, each with its derivation."""
