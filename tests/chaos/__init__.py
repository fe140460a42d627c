"""Chaos on Apache Kafka: `python -m tests.chaos --help`."""
