"""Signed webhooks, and runs that get their answers from the test."""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from collections.abc import Callable
from typing import Any

from evalwindow import flow
from evalwindow.model import Completion, EngineInfo, SampleResult, Score, Usage
from evalwindow.services import Services
from evalwindow.store.rows import RunRow
from tests.fixtures.results import mark_done, write_down


def signed(payload: Any, secret: str, *, kind: str = "pull_request", delivery: str | None = None) -> dict[str, Any]:
    """Arguments of a POST as GitHub makes it."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {
        "X-Hub-Signature-256": f"sha256={digest}",
        "X-GitHub-Event": kind,
        "X-GitHub-Delivery": delivery or str(uuid.uuid4()),
        "Content-Type": "application/json",
    }
    return {"data": body, "headers": headers}


async def answer_run(services: Services, run_id: str, text: Callable[[str], str]) -> RunRow:
    """Give every sample an answer (target -> text) and conclude the run, as a worker would."""
    store = services.store
    run = store.run(run_id)
    suite = store.suite(run.suite_digest)
    store.note_engine(run_id, EngineInfo(engine="openai", version="1", model_digest="tiny"))
    for shard in store.shards(run_id):
        claimed = store.claim(shard.id, "a test", 60)
        assert claimed is not None
        results = [_result(suite.sample(name).id, suite.sample(name).target, text) for name in claimed.sample_ids]
        write_down(store, run_id, claimed.id, claimed.token, results)
        mark_done(store, claimed)
    await flow.conclude(services, run_id)
    return store.run(run_id)


def _result(sample_id: str, target: str, text: Callable[[str], str]) -> SampleResult:
    output = text(target)
    return SampleResult(
        sample_id=sample_id,
        epoch=0,
        scores={"exact": Score(value=float(output == target))},
        completion=Completion(text=output, usage=Usage(output_tokens=2)),
        latency_s=0.1,
    )
