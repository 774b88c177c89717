"""Commands beside the compiler itself, one a module: ``parser`` reads, ``run`` does.

A module imports what is heavy inside ``run``, so that ``--help`` is there at once.
"""
