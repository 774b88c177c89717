"""lava-dl's netx: what a file can say, how it is read, and how it runs."""
