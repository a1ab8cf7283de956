"""lm_eval over the job's task, in the peers' environment; its Python interface, so that loading is timed apart.

python -m benchmarks.peers_lm_eval JOB.json      -> one line of JSON on stdout, as benchmarks.peers_process reads it
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.peers_clock import Clock, Engine


def run(job: dict[str, Any]) -> dict[str, Any]:
    """`job`: {"kind": its class of model, "arguments", "batch_size", "tasks": folder, "task"}, over HTTP "engine"."""
    import lm_eval
    from lm_eval.api.registry import get_model
    from lm_eval.tasks import TaskManager

    model = get_model(job["kind"]).create_from_arg_obj(job["arguments"], {"batch_size": job["batch_size"]})
    settings = {
        "model": model,
        "tasks": [job["task"]],
        "task_manager": TaskManager(include_path=job["tasks"], include_defaults=False),
        "apply_chat_template": True,
        "log_samples": False,
        "bootstrap_iters": 0,
    }
    lm_eval.simple_evaluate(**settings, limit=2, gen_kwargs={"max_gen_toks": 1})  # everything has done its first time
    tokens = count_tokens(model)
    clock = Clock(Engine(**job["engine"]) if "engine" in job else None)
    results = lm_eval.simple_evaluate(**settings)
    spent = clock.spent()
    [exact] = [value for key, value in results["results"][job["task"]].items() if key.startswith("exact_match,")]
    return {**spent, **tokens, "exact": float(exact)}


def count_tokens(model: Any) -> dict[str, int]:
    """Filled while vLLM's engine works in this process; empty where it works elsewhere."""
    if not hasattr(model, "model") or not hasattr(model.model, "generate"):
        return {}
    tokens = {"prompt_tokens": 0, "output_tokens": 0}
    generate = model.model.generate

    def counting(*arguments: Any, **named: Any) -> Any:
        outputs = generate(*arguments, **named)
        tokens["prompt_tokens"] += sum(len(output.prompt_token_ids) for output in outputs)
        tokens["output_tokens"] += sum(len(output.outputs[0].token_ids) for output in outputs)
        return outputs

    model.model.generate = counting
    return tokens


if __name__ == "__main__":
    print("RESULT " + json.dumps(run(json.loads(Path(sys.argv[1]).read_text()))))
