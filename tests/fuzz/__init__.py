"""Fuzzing of what reads bytes and texts from outside: `make fuzz`, or `python -m tests.fuzz --help`."""
