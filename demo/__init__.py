"""A tiny trained Llama, two candidates to judge against it, and their data."""
