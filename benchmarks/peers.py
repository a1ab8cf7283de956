"""evalwindow beside lm_eval and Inspect AI: the same model, prompts, sampling, engine and machine, in one run.

Alike in every arm: the engine's flags and threads (benchmarks.sizes), an engine that has answered before the clock
starts, and a harness that has gone its whole way once, with one token of output.
"""

from __future__ import annotations

import asyncio
import sys

from benchmarks.bench_stack import workshop
from benchmarks.peers_arms import connections, inspect_ai, lm_eval_api, lm_eval_vllm, offline
from benchmarks.peers_job import write_job
from benchmarks.peers_ours import evalwindow
from benchmarks.peers_report import Arm, check_same_work, report
from benchmarks.peers_venv import peers_python
from benchmarks.sizes import SIZES, THREADS

SETTINGS = """
Settings. lm_eval over vLLM: batch_size auto, all prompts at once. lm_eval over HTTP: num_concurrent {connections}, no
tokenizer of its own, against the pool's own command line on a TCP port of the loopback, no relay between. Inspect AI:
max_connections and max_samples {connections}, against vLLM's server with the engine's flags alone. No peer logs
samples, draws a display or asks a hub. evalwindow: `evalwindow submit --wait`, its stack as in the other benchmarks.
Not counted, as they run all day: the starts of the pool's server ({api:.0f} s), of vLLM's ({inspect:.0f} s) and of
evalwindow's stack ({stack:.0f} s).
CPU beside the engine: of web, dispatcher, consumers, GPU unit, supervisors, PostgreSQL and Redis together; of a peer's
process. The command: a process from its start to its end, with imports, and where it loads the model, with that."""


async def measure(size: str, *, prompts: int = 500, rounds: int = 2) -> None:
    """`size`: tiny (the demo's model) or mid (39 M random parameters); every arm `rounds` times, its fastest counts.

    Raises ArmsDiffer, after the table, if the arms did not do the same work.
    """
    python = await asyncio.to_thread(peers_python)
    with workshop() as home:
        job = await asyncio.to_thread(write_job, home, SIZES[size], prompts=prompts, rounds=rounds)
        arms = [_told(await asyncio.to_thread(offline, job))]
        ours, stack_s = await evalwindow(job)
        arms += [_told(ours), _told(await asyncio.to_thread(lm_eval_vllm, job, python))]
        api, api_s = await asyncio.to_thread(lm_eval_api, job, python)
        arms += [_told(api)]
        inspect, inspect_s = await asyncio.to_thread(inspect_ai, job, python)
        arms += [_told(inspect)]
    engine = "one GPU" if SIZES[size].gpu else f"an engine of {THREADS} thread"
    title = f"Peers, {size} model, {prompts} prompts, {engine} in every arm, the fastest of {rounds} rounds"
    print(report(title, arms, samples=prompts), flush=True)
    print(SETTINGS.format(connections=connections(job), api=api_s, inspect=inspect_s, stack=stack_s), flush=True)
    check_same_work(arms)


def _told(arm: Arm) -> Arm:
    """An arm takes minutes: whoever watches sees each as it ends."""
    print(f"{arm.name}: {arm.work_s:.2f} s", file=sys.stderr, flush=True)
    return arm
