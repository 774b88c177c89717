"""The ladder: the same samples through every stage of the compiler."""
