"""Inspect AI over the job's prompts, in the peers' environment.

python -m benchmarks.peers_inspect JOB.json      -> one line of JSON on stdout, as benchmarks.peers_process reads it
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.peers_clock import Clock, Engine, fastest


def run(job: dict[str, Any]) -> dict[str, Any]:
    """`job`: {"data": JSONL, "url", "model", "connections", "max_tokens", "temperature", "logs": folder, "engine"}."""
    from inspect_ai import eval as evaluate

    settings = {
        "model": f"openai-api/pool/{job['model']}",
        "model_base_url": job["url"],
        "max_connections": job["connections"],
        "max_samples": job["connections"],
        "temperature": job["temperature"],
        "display": "none",
        "log_dir": job["logs"],
        "log_level": "error",
        "log_level_transcript": "error",
        "log_samples": False,
        "log_realtime": False,
        "log_model_api": False,
        "score_display": False,
        "ctl_server": False,
    }
    evaluate(task(job), **settings, limit=2, max_tokens=1)  # everything has done its first time
    engine = Engine(**job["engine"])

    def once() -> dict[str, Any]:
        clock = Clock(engine)
        [log] = evaluate(task(job), **settings, max_tokens=job["max_tokens"])
        return {**clock.spent(), "exact": accuracy(log)}

    return fastest(job["rounds"], once)


def accuracy(log: Any) -> float:
    """Raises RuntimeError unless every sample was scored."""
    if log.status != "success" or log.results is None:
        raise RuntimeError(f"Inspect ended with {log.status}: {log.error}")
    if log.results.completed_samples != log.results.total_samples:
        raise RuntimeError(f"Inspect: {log.results.completed_samples} of {log.results.total_samples} samples done")
    [score] = log.results.scores
    return float(score.metrics["accuracy"].value)


def task(job: dict[str, Any]) -> Any:
    from inspect_ai import Task
    from inspect_ai.dataset import FieldSpec, json_dataset
    from inspect_ai.scorer import match
    from inspect_ai.solver import generate

    fields = FieldSpec(input="prompt", target="target")
    scorer = match(location="exact", ignore_case=False)
    return Task(name="bench", dataset=json_dataset(job["data"], fields), solver=generate(), scorer=scorer)


if __name__ == "__main__":
    print("RESULT " + json.dumps(run(json.loads(Path(sys.argv[1]).read_text()))))
