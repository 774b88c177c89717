"""Count mode through torch: the same integers, on a GPU."""
