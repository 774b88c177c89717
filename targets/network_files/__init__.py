"""Network files of other tools that can be run, one file format per file."""
