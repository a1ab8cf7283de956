"""The peer: `vllm.LLM.chat` in a process of its own, all prompts at once, nothing around it.

python -m benchmarks.offline JOB.json      -> one line of JSON on stdout: {"seconds", "prompt_tokens", "output_tokens"}
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def run(job: dict[str, Any]) -> dict[str, float]:
    """`job`: {"engine": arguments of LLM, "sampling": of SamplingParams, "prompts": lists of {role, content}}."""
    from vllm import LLM, SamplingParams

    llm = LLM(**job["engine"])
    sampling = SamplingParams(**job["sampling"])
    llm.chat(job["prompts"][:2], sampling, use_tqdm=False)  # warm up, as the served engine was
    begun = time.perf_counter()
    outputs = llm.chat(job["prompts"], sampling, use_tqdm=False)
    seconds = time.perf_counter() - begun
    return {
        "seconds": seconds,
        "prompt_tokens": sum(len(output.prompt_token_ids or ()) for output in outputs),
        "output_tokens": sum(len(output.outputs[0].token_ids) for output in outputs),
    }


if __name__ == "__main__":
    print("RESULT " + json.dumps(run(json.loads(Path(sys.argv[1]).read_text()))))
