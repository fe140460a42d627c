"""Zhice beside what users would pick instead, in one run: `make bench`, or `python -m benchmarks --help`."""
