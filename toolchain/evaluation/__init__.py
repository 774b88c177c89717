"""Runs over data sets of any size, by one process or by many."""
