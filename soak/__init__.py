"""A long run with faults mixed in, and a count of what was lost, duplicated or stuck at its end: `make soak`."""
