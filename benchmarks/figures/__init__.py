"""The product's own figures: `python -m benchmarks.figures` writes benchmarks/figures.md."""
