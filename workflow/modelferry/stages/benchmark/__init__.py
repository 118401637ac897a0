"""Benchmarks: latency, load time and memory of artifacts beside the eager reference, taken in turn in one process."""
