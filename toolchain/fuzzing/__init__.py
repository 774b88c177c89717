"""Strangers' files: valid ones, damaged in a structured way, and what becomes of them.

A *case* is a seed: it draws a valid file from a corpus, damages it, and gives it to the
compiler. The only outcomes allowed are success, with the right numbers, and a `CompileError`.
Cases run in a process of their own, with limits on time and memory, so that hangs, crashes of
libraries and memory beyond the bound are found as well::

    for outcome in run_guarded(run_onnx_case, range(1000)):
        if outcome.failure:
            ...

This package ships with the product because who adds an importer needs it, too.
"""
