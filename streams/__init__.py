"""The shell: Kafka in, Kafka and the lake out, around the pure core in models."""
