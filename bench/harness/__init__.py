"""Prepares, runs and measures; `../run` is the way in. Python's standard library is all it needs; Linux alone."""
