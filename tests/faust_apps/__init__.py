"""Plain Faust, written as its documentation does it: what the tests of tests/faust compare with."""
