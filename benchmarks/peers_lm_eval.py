"""lm_eval over the job's task, in the peers' environment; its Python interface, so that loading is timed apart.

python -m benchmarks.peers_lm_eval JOB.json      -> one line of JSON on stdout, as benchmarks.peers_process reads it
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.peers_clock import Clock, Counting, Engine, fastest


def run(job: dict[str, Any]) -> dict[str, Any]:
    """`job`: {"kind": its class of model, "arguments", "batch_size", "tasks": folder, "task"}, over HTTP "engine"."""
    from lm_eval import simple_evaluate
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
    simple_evaluate(**settings, limit=2, gen_kwargs={"max_gen_toks": 1})  # everything has done its first time
    engine = Engine(**job["engine"]) if "engine" in job else EngineInside(model.model)

    def once() -> dict[str, Any]:
        clock = Clock(engine)
        results = simple_evaluate(**settings)["results"][job["task"]]
        spent = clock.spent()
        [exact] = [value for key, value in results.items() if key.startswith("exact_match,")]
        return {**spent, "exact": float(exact)}

    return fastest(job["rounds"], once)


class EngineInside(Counting):
    """The tokens of a vllm.LLM in this process."""

    def __init__(self, llm: Any) -> None:
        self._prompt = self._output = 0
        self._generate, llm.generate = llm.generate, self._counting

    def figures(self) -> dict[str, float]:
        return {"prompt_tokens": self._prompt, "output_tokens": self._output}

    def _counting(self, *arguments: Any, **named: Any) -> Any:
        outputs = self._generate(*arguments, **named)
        self._prompt += sum(len(output.prompt_token_ids) for output in outputs)
        self._output += sum(len(output.outputs[0].token_ids) for output in outputs)
        return outputs


if __name__ == "__main__":
    print("RESULT " + json.dumps(run(json.loads(Path(sys.argv[1]).read_text()))))
