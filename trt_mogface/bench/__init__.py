"""Benchmark of a model: throughput and latency, behavior under load, and the share of the roofline."""
