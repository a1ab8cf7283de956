"""evalwindow: LLM evals on every pull request and every night, on warm vLLM workers."""

__version__ = "0.1.0"
