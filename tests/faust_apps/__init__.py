"""Plain Faust, written as its documentation does it: what tests/integration/test_plain_faust.py tries."""
