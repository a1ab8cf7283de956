"""The peer: `vllm.LLM.chat` in a process of its own, all prompts at once, nothing around it.

python -m benchmarks.offline JOB.json      -> one line of JSON on stdout: what `run` returns
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.peers_clock import Clock, fastest


def run(job: dict[str, Any]) -> dict[str, Any]:
    """`job`: {"engine": arguments of LLM, "sampling": of SamplingParams, "prompts": lists of {role, content}}.

    Seconds, CPU seconds, tokens and answers; of the fastest where the job asks for "rounds".
    """
    from vllm import LLM, SamplingParams

    llm = LLM(**job["engine"])
    sampling = SamplingParams(**job["sampling"])
    llm.chat(job["prompts"][:2], sampling, use_tqdm=False)  # warm up, as the served engine was
    return fastest(job.get("rounds", 1), lambda: _once(llm, job["prompts"], sampling))


def _once(llm: Any, prompts: list[Any], sampling: Any) -> dict[str, Any]:
    clock = Clock()
    outputs = llm.chat(prompts, sampling, use_tqdm=False)
    spent = clock.spent()
    return {
        **spent,
        "prompt_tokens": sum(len(output.prompt_token_ids or ()) for output in outputs),
        "output_tokens": sum(len(output.outputs[0].token_ids) for output in outputs),
        "texts": [output.outputs[0].text for output in outputs],
    }


if __name__ == "__main__":
    print("RESULT " + json.dumps(run(json.loads(Path(sys.argv[1]).read_text()))))
