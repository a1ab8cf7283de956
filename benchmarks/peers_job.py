"""One job for every arm: the same prompts, sampling and engine, in the files that each peer reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.bench_suites import write_bench_suite
from benchmarks.sizes import Size
from evalwindow.model import Candidate, Sample, Sampling
from evalwindow.suites import Suite

NAME = "bench"  # of the suite, the task and the served model


@dataclass(frozen=True, kw_only=True)
class Job:
    """What all arms are asked."""

    home: Path
    size: Size
    model: Path
    suite: Suite
    prompts: tuple[str, ...]
    targets: tuple[str, ...]
    sampling: Sampling
    rounds: int  # of every arm; the fastest counts

    @property
    def data(self) -> Path:
        """One {"prompt", "target"} a line."""
        return self.home / "data.jsonl"

    @property
    def tasks(self) -> Path:
        """lm_eval's --include_path."""
        return self.home / "tasks"

    @property
    def suites(self) -> Path:
        return self.home / "suites"


def write_job(home: Path, size: Size, *, prompts: int, rounds: int = 1) -> Job:
    """The demo's first `prompts` of 500, in the files that each arm reads."""
    suite = write_bench_suite(home / "suites", max_tokens=size.tokens, prompts=prompts)
    candidate = Candidate(model=NAME)
    job = Job(
        home=home,
        size=size,
        model=size.write(home / "model"),
        suite=suite,
        prompts=tuple(_only_message(suite, sample, candidate) for sample in suite.samples),
        targets=tuple(str(sample.target) for sample in suite.samples),
        sampling=suite.sampling(candidate, 0),
        rounds=rounds,
    )
    rows = zip(job.prompts, job.targets, strict=True)
    job.data.write_text("".join(json.dumps({"prompt": prompt, "target": target}) + "\n" for prompt, target in rows))
    job.tasks.mkdir()
    (job.tasks / "bench.yaml").write_text(yaml.safe_dump(lm_eval_task(job), sort_keys=False))
    return job


def lm_eval_task(job: Job) -> Mapping[str, Any]:
    """The suite as a task of lm_eval: a chat of one message, scored by its exact_match."""
    return {
        "task": NAME,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(job.data)}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{prompt}}",
        "doc_to_target": "{{target}}",
        "generation_kwargs": {
            "until": [],  # the end of the turn alone, as in every arm
            "do_sample": False,
            "temperature": job.sampling.temperature,
            "max_gen_toks": job.sampling.max_tokens,
        },
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    }


def _only_message(suite: Suite, sample: Sample, candidate: Candidate) -> str:
    messages = suite.render(sample, candidate)
    if len(messages) != 1 or messages[0].role != "user":
        raise ValueError(f"sample {sample.id}: the peers' tasks are written for one message of the user")
    return messages[0].content
