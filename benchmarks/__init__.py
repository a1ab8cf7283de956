"""Benchmarks: each prints ratios against a peer or a limit, measured in one run on one machine."""
