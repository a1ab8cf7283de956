"""The shared types: frozen, keyword-only, no behaviour beyond what derives from their fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Tier(StrEnum):
    """How much of an answer is wanted: a quick tripwire, or a measurement."""

    SMOKE = "smoke"
    REGRESSION = "regression"


class RunState(StrEnum):
    """queued -> running -> concluded; or superseded, cancelled, failed (each of them final)."""

    QUEUED = "queued"
    RUNNING = "running"
    CONCLUDED = "concluded"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        return self not in (RunState.QUEUED, RunState.RUNNING)


class ShardState(StrEnum):
    """pending -> dispatched -> running -> done; failed after too many attempts; cancelled with its run."""

    PENDING = "pending"
    DISPATCHED = "dispatched"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Purpose(StrEnum):
    """Why a night runs something: to judge a candidate, or the baseline against itself (A/A)."""

    CANDIDATE = "candidate"
    AA = "aa"


class EntryState(StrEnum):
    """planned -> started, resumed or unchanged; or stopped before any GPU time: invalid, refused (final)."""

    PLANNED = "planned"
    STARTED = "started"  # with a run of its own
    RESUMED = "resumed"  # goes on with a run that an earlier night left unfinished
    UNCHANGED = "unchanged"  # nothing that the answer depends on has changed: an earlier run's verdict stands
    INVALID = "invalid"  # its dataset is
    REFUSED = "refused"  # it was not admitted

    @property
    def runs(self) -> bool:
        return self in (EntryState.STARTED, EntryState.RESUMED)


class Answer(StrEnum):
    """A gate's three answers. Exit codes of the CLI: 0, 1, 2. An error is never a pass."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"

    @property
    def exit_code(self) -> int:
        return {Answer.PASS: 0, Answer.FAIL: 1, Answer.INCONCLUSIVE: 2}[self]


@dataclass(frozen=True, kw_only=True)
class Message:
    """One chat turn."""

    role: str  # system, user or assistant
    content: str


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Decoding parameters, in the words of the OpenAI API."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 64
    seed: int = 0  # epoch e of a sample uses seed + e
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One line of a dataset, after the suite's column mapping."""

    id: str  # unique in its dataset
    input: str  # what the template calls {{ input }}
    target: Any = None  # str, number, list or object: what the scorer compares with
    choices: tuple[str, ...] = ()  # for multiple choice by log-likelihood
    slices: tuple[str, ...] = ()  # tags that the gate may judge on their own
    must_pass: bool = False  # a smoke tripwire
    cluster: str | None = None  # samples that share a document or a template
    fields: Mapping[str, Any] = field(default_factory=dict)  # every column, for templates and scorers


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What a run evaluates. All of it is data; what is None falls back to the suite."""

    model: str  # a name in evalwindow.yaml
    adapter: str | None = None  # sha256 of a stored LoRA adapter (store.artifacts)
    system: str | None = None  # replaces the suite's system prompt
    template: str | None = None  # replaces the suite's user template (Jinja2, sandboxed)
    sampling: Mapping[str, Any] = field(default_factory=dict)  # overrides of Sampling's fields


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a run comes from. Everything is None for a run started by hand."""

    repo: str | None = None  # owner/name
    pull_request: int | None = None
    head_sha: str | None = None
    branch: str | None = None  # target branch: selects the baseline
    url: str | None = None


@dataclass(frozen=True, kw_only=True)
class CompletionRequest:
    """One prompt for an engine."""

    model: str  # name in evalwindow.yaml
    adapter: str | None = None  # sha256, as in Candidate
    messages: tuple[Message, ...]
    sampling: Sampling
    choices: tuple[str, ...] = ()  # not empty: score these continuations instead of generating
    schema: Mapping[str, Any] | None = None  # JSON schema that the output must follow (guided decoding)
    tier: Tier = Tier.REGRESSION
    sample_id: str = ""
    epoch: int = 0


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What one completion cost."""

    prompt_tokens: int = 0
    cached_tokens: int = 0  # of the prompt tokens, found in the prefix cache
    output_tokens: int = 0
    queue_s: float = 0.0  # seconds waiting inside the engine
    engine_s: float = 0.0  # seconds from being scheduled to the last token
    gpu_s: float = 0.0  # this prompt's share of the engine's busy seconds; 0 from an API or a cache
    cost: float = 0.0  # money, where the model has a price a token


@dataclass(frozen=True, kw_only=True)
class Completion:
    """One answer of an engine."""

    text: str
    finish_reason: str = "stop"  # stop or length
    choice_logprobs: tuple[float, ...] = ()  # summed log-likelihood of each choice, nats
    choice_tokens: tuple[int, ...] = ()  # tokens of each choice, for length normalisation
    usage: Usage = Usage()
    cached: bool = False  # answered by the result cache


@dataclass(frozen=True, kw_only=True)
class Score:
    """One scorer's judgement of one completion. Unscored is not wrong."""

    value: float | None  # 0..1; None: unscored
    reason: str = ""  # why unscored, or why this value
    answer: str | None = None  # what the scorer extracted from the completion

    @classmethod
    def unscored(cls, reason: str) -> Score:
        return cls(value=None, reason=reason)


@dataclass(frozen=True, kw_only=True)
class SampleResult:
    """The outcome of one (sample, epoch) of a run: exactly one is ever counted."""

    sample_id: str
    epoch: int
    scores: Mapping[str, Score]  # by scorer name
    completion: Completion | None = None
    error: str | None = None  # the engine's refusal, if there is no completion
    reask: bool = False  # an extra call of the smoke tripwire, kept out of the metrics
    latency_s: float = 0.0  # from sending to the answer, seconds
    removed_after_days: int | None = None  # how old the output got: completion.text was removed, scores stay
    quarantined: bool = False  # it was not asked, or its judge was not: that prompt has ended engines


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A mean with its uncertainty."""

    name: str
    value: float | None  # None: nothing was scored
    stderr: float | None = None
    n: int = 0  # samples that were scored
    unscored: int = 0  # results (sample x epoch) without a value, missing ones among them; for pass@k samples
    clusters: int | None = None  # stderr is clustered over this many; None: samples are independent


@dataclass(frozen=True, kw_only=True)
class SliceSummary:
    """Metrics of the samples that carry one tag ("all": every sample)."""

    slice: str
    metrics: tuple[Metric, ...]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a run scored and cost."""

    slices: tuple[SliceSummary, ...]  # "all" first
    samples: int
    results: int  # samples x epochs that have a result
    unscored: int  # results with no value by the primary scorer
    cache_hits: int
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    gpu_s: float
    cost: float
    wall_s: float  # from the first claim to the last result


@dataclass(frozen=True, kw_only=True)
class Check:
    """One question that the gate asked, with its answer and its numbers."""

    kind: str  # paired, floor, unscored, must-pass, assertion, baseline, quarantine
    slice: str
    answer: Answer
    blocking: bool
    text: str  # one sentence for a person
    n: int = 0
    candidate: float | None = None
    baseline: float | None = None
    delta: float | None = None  # mean of candidate - baseline, paired
    low: float | None = None  # one-sided 95 % bounds of delta
    high: float | None = None
    margin: float | None = None
    p_value: float | None = None  # of the test against "no drop beyond the margin"
    p_worse: float | None = None  # of the test against "no drop at all": exact McNemar for binary scores
    p_noise: float | None = None  # chance that the baseline, run again, falls as far; None: nobody tried
    p_adjusted: float | None = None  # the larger of p_value and p_noise after Holm or Benjamini-Hochberg
    test: str = ""  # normal, clustered, mcnemar (exact), sprt, count
    flips_down: int = 0  # right in the baseline, wrong here
    flips_up: int = 0
    needed: int | None = None  # samples that would decide an inconclusive check


@dataclass(frozen=True, kw_only=True)
class NoiseRates:
    """How many samples of one slice changed their score when the same thing ran again. All counts over all runs."""

    samples: int  # pairs that were scored in both runs
    down: int  # scored less the second time
    up: int
    lost: float  # sum of what the falling ones lost, each 0..1; of binary scores the same as down
    gained: float
    squares: float  # sum of the squared differences; of binary scores down + up


@dataclass(frozen=True, kw_only=True)
class NoiseFloor:
    """What a baseline scores when it is run again: A/A runs, pooled."""

    rates: NoiseRates  # of all samples
    slices: Mapping[str, NoiseRates] = field(default_factory=dict)
    runs: tuple[str, ...]  # ids of the A/A runs, the newest first
    since: str  # day on which the oldest of them was concluded, ISO
    left_out: int = 0  # A/A runs that lost against their baseline while most did not


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A gate's answer with everything that it rests on."""

    answer: Answer
    title: str  # a line
    checks: tuple[Check, ...]
    power: str = ""  # the smallest drop that this comparison can see
    baseline_run: str | None = None
    noise: NoiseFloor | None = None  # what the baseline does by itself; None: not known


@dataclass(frozen=True, kw_only=True)
class EngineInfo:
    """What answers: goes into every provenance record."""

    engine: str  # vllm, openai or replay
    version: str
    model_digest: str  # content digest of weights and tokenizer, or the API's model name
    dtype: str = ""
    chat_template_digest: str = ""
    max_model_len: int | None = None  # tokens
    max_num_seqs: int | None = None  # concurrent sequences
    details: Mapping[str, Any] = field(default_factory=dict)
