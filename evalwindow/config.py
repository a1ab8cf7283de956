"""evalwindow.yaml: who may run what, on which engine, in which lane."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt, StringConstraints

from evalwindow.document import Document
from evalwindow.model import Tier

API_POOL = "api"  # shards of models that an external API answers; no GPU behind it
REPLAY_POOL = "replay"  # shards of recorded outputs: worked on by the process that submits them, never queued


Address = Annotated[str, StringConstraints(pattern=r"^[^@\s<>,;:\"]+@[^@\s<>,;:\"]+$", max_length=254)]


class Limits(Document):
    """Sizes over which input is refused."""

    smoke_prompts: PositiveInt = 10
    regression_prompts: PositiveInt = 500
    body_bytes: PositiveInt = 1_000_000
    adapter_bytes: PositiveInt = 64 * 2**20


class Lane(Document):
    """Queue, concurrency and engine priority of a tier."""

    slots: PositiveInt = Field(
        description="prompts in flight on one engine: so many are free for smoke, at most so many are regression's"
    )
    priority: int = Field(0, description="vLLM's request priority: lower runs first")
    shard_size: PositiveInt = Field(50, description="samples a shard, at most")
    shard_tokens: PositiveInt = Field(
        100_000, description="prompt tokens a shard, at most; one long sample may have more"
    )
    consumers: PositiveInt = Field(8, description="shards that one consumer works on at once")
    team_shards: PositiveInt = Field(6, description="of these, one team's at most: another's next shard finds room")
    team_tokens: float = Field(
        0.5, gt=0, le=1, description="share of the engine's KV cache that one team's prompts may hold at once"
    )


class Lanes(Document):
    smoke: Lane = Lane(slots=10, priority=-10)
    regression: Lane = Lane(slots=54, priority=0)
    beside_smoke: float = Field(
        1.25, ge=1, description="while smoke runs, regression may make an engine's step so many times as long, no more"
    )
    held_back: float = Field(
        0.5, ge=0, le=1, description="share of the time that smoke may hold regression back; 0: never, 1: always"
    )
    lend_after_s: float | None = Field(
        60.0, ge=0, description="when no smoke has come for so long, regression has its slots, too; null: never"
    )

    def of(self, tier: Tier) -> Lane:
        return self.smoke if tier is Tier.SMOKE else self.regression


class Lora(Document):
    max_adapters: PositiveInt = Field(4, description="LoRA adapters resident at once")
    max_rank: PositiveInt = 16
    modules: tuple[str, ...] = Field(
        ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
        min_length=1,
        description="modules that adapters may change; never lm_head: with it vLLM's prompt logprobs are wrong",
    )


class Canary(Document):
    """A prompt whose answer is known: an engine that answers otherwise never gets ready."""

    prompt: str
    expect: str
    max_tokens: PositiveInt = 16


class Hours(Document):
    """A recurring stretch of time."""

    cron: str = Field(description="when it begins: five fields of cron, in `timezone`")
    duration_minutes: PositiveInt
    timezone: str = Field("UTC", description="IANA name, e.g. Europe/Berlin")


class KeepWarm(Document):
    """When an engine may rest, and how. The first prompt wakes it."""

    idle_minutes: float = Field(gt=0, description="without a prompt, before it rests")
    hours: tuple[Hours, ...] = Field((), description="in these it never rests; besides them windows keep it warm")
    rest: Literal["sleep", "stop"] = Field(
        "sleep", description="sleep: weights go to main memory, the engine stays (GPU only); stop: a cold start to wake"
    )


class Gpu(Document):
    """What several pools share."""

    memory_gib: float = Field(gt=0)


class Pool(Document):
    """One warm model on one or more engines."""

    model: str = Field(description="path of the weights, or a hub name where a hub can be reached")
    revision: str | None = None
    dtype: str = "auto"
    max_model_len: PositiveInt | None = None
    max_num_seqs: PositiveInt = 64
    lora: Lora | None = None
    canary: Canary | None = None
    gpu: str | None = Field(None, description="name in `gpus`: pools on one GPU must fit into it together")
    memory_gib: float | None = Field(
        None, gt=0, description="GPU memory for weights, activations and KV cache; default: 0.92 of the GPU's"
    )
    step_tokens: PositiveInt | None = Field(
        None, description="tokens an engine's step computes at most: long prompts are read in chunks of it"
    )
    batch_invariant: bool = Field(False, description="answers that don't depend on the batch; slower, GPU only")
    calibrate: bool = Field(True, description="measure step times at each start: the lanes' limits follow from them")
    keep_warm: KeepWarm | None = Field(None, description="when the engine may rest; default: never")
    arguments: tuple[str, ...] = Field((), description="further arguments of vLLM's API server, as they are")
    environment: dict[str, str] = Field({}, description="further environment variables of the engine")
    gpu_price_per_hour: float = Field(0.0, ge=0)
    cold_start_s: float = Field(180.0, ge=0, description="what a cold job of its own would pay before its first token")
    shutdown_s: PositiveInt = 30
    hang_s: float = Field(
        120.0,
        gt=0,
        description="an engine that has prompts and computes no token for so long is ended and started anew",
    )


class Registered(Document):
    """A model's version in an MLflow registry: promoting its run moves the alias there."""

    tracking_uri: str = Field(description="of MLflow: http(s)://..., or its database: sqlite:///..., postgresql://...")
    name: str = Field(min_length=1, description="of the registered model")
    version: str = Field(pattern=r"^[0-9]+$", description="the version that this entry of models serves")
    alias: str = Field("production", min_length=1)


class WarmModel(Document):
    """A model that a pool serves: its base weights, or a LoRA adapter on them."""

    engine: Literal["vllm"]
    pool: str
    adapter: Path | None = Field(None, description="folder of a LoRA adapter (safetensors)")
    registry: Registered | None = None


class ApiModel(Document):
    """A model behind an OpenAI-compatible URL."""

    engine: Literal["openai"]
    base_url: str
    model: str
    api_key_env: str | None = Field(None, description="environment variable of the worker that holds the key")
    max_concurrency: PositiveInt = 16
    timeout_s: float = Field(60.0, gt=0)
    context: PositiveInt | None = Field(None, description="tokens of context, if known")
    price_input: float = Field(0.0, ge=0, description="money per million prompt tokens")
    price_output: float = Field(0.0, ge=0, description="money per million output tokens")
    registry: Registered | None = None

    @property
    def pool(self) -> str:
        return API_POOL


class ReplayModel(Document):
    """Recorded outputs that are scored like a model's; `evalwindow score` makes one for its run."""

    engine: Literal["replay"]
    outputs: Path = Field(description="JSONL of {id, output, epoch?}")

    @property
    def pool(self) -> str:
        return REPLAY_POOL


ModelConfig = Annotated[WarmModel | ApiModel | ReplayModel, Field(discriminator="engine")]


class MailTo(Document):
    """Who gets a night's gate mail."""

    to: tuple[Address, ...] = Field(min_length=1)
    when: Literal["always", "change", "failure"] = Field(
        "always", description="change: verdicts that differ from the night before; failure: all but pass"
    )
    suites: tuple[str, ...] = Field((), description="only these suites; default: all of the window")


class Window(Document):
    """Hours in which regression runs may start work. One that overlaps the next occurrence ends where that starts."""

    cron: str = Field(description="when it opens: five fields of cron, in `timezone`")
    duration_minutes: PositiveInt = Field(description="elapsed time, also in the nights when the clock changes")
    timezone: str = Field("UTC", description="IANA name, e.g. Europe/Berlin")
    team: str = Field(description="whose share of the GPUs it uses")
    suites: tuple[str, ...] = Field(min_length=1)
    models: tuple[str, ...] = Field(min_length=1, description="candidates: names of `models`")
    branch: str = Field("main", description="whose baselines are the reference")
    budget_gpu_minutes: float | None = Field(None, gt=0, description="at this much GPU time the window closes early")
    aa: bool = Field(True, description="run each baseline again against itself; if that fails, the night is void")
    mail: tuple[MailTo, ...] = ()


class Quota(Document):
    """What a team may have at once, and in a period; null is no limit."""

    smoke_runs: PositiveInt | None = Field(20, description="smoke runs that are not final, at once")
    queued_samples: PositiveInt | None = Field(50_000, description="samples of regression runs that wait or run")
    submissions_per_minute: PositiveInt | None = Field(
        60, description="runs asked for, refused ones too; with more, the team is refused for a while"
    )
    gpu_minutes: float | None = Field(None, gt=0, description="GPU time in a period; runs that go on are held then")
    api_cost: float | None = Field(None, gt=0, description="money for API models in a period, likewise")
    period: Literal["day", "week", "month"] = Field(
        "day", description="of the calendar, in UTC; a week starts on Monday"
    )


class Breaker(Document):
    """When something that fails is left alone, and for how long."""

    failures: PositiveInt = Field(5, description="in a row, before it is left alone")
    cooldown_s: float = Field(30.0, gt=0, description="until one probe may try; doubles each time that the probe fails")
    longest_s: float = Field(900.0, gt=0, description="the cooldown grows no longer than this")


class Breakers(Document):
    """One circuit breaker for each thing of a kind."""

    engines: Breaker = Breaker(failures=3)  # one a pool: shards that found no engine
    providers: Breaker = Breaker()  # one an API model: shards that it did not answer
    notifiers: Breaker = Breaker()  # GitHub, the mail server
    team_errors: Breaker = Breaker(failures=10, cooldown_s=300.0, longest_s=3600.0)  # runs that were mostly errors
    team_submissions: Breaker = Breaker(failures=1, cooldown_s=60.0, longest_s=3600.0)  # see quota


class Alerts(Document):
    """Who hears when a breaker opens or closes."""

    to: tuple[Address, ...] = ()


class Team(Document):
    repos: tuple[str, ...] = Field((), description="owner/name of the repositories whose pull requests it owns")
    owns: tuple[str, ...] = Field((), description="suites whose baselines only this team, or an admin, may promote")
    fork_label: str = Field("run-evals", description="label that lets a fork's pull request in")
    quota: Quota | None = Field(None, description="instead of the quota of all teams")


class Retention(Document):
    """How many days what is kept; null is for ever. Scores, verdicts and costs are never removed."""

    outputs_days: PositiveInt | None = Field(
        90, description="texts of answers since their run ended, or since it was replaced as a baseline"
    )
    cache_days: PositiveInt | None = Field(30, description="cached answers since somebody last asked for them")
    reports_days: PositiveInt | None = Field(
        30, description="pages and JSON as files; they go with the outputs at the latest"
    )
    datasets_days: PositiveInt | None = Field(
        90, description="outcomes of validations with their Data Docs; the two newest versions of a suite's data stay"
    )
    adapters_days: PositiveInt | None = Field(
        30, description="uploaded LoRA adapters and copies of them, since they were put or evaluated"
    )
    engines_days: PositiveInt | None = Field(7, description="engines since their last sign of life")
    events_days: PositiveInt | None = Field(30, description="webhooks that were handled, since they came")
    breakers_days: PositiveInt | None = Field(
        90, description="what breakers did, with the mails about it; the latest of each stays"
    )


class Config(Document):
    suites: Path = Path("suites")
    limits: Limits = Limits()
    lanes: Lanes = Lanes()
    gpus: dict[str, Gpu] = {}
    pools: dict[str, Pool] = {}
    models: dict[str, ModelConfig]
    quota: Quota = Field(Quota(), description="of each team that has none of its own")
    breakers: Breakers = Breakers()
    alerts: Alerts = Alerts()
    teams: dict[str, Team] = {}
    windows: dict[str, Window] = {}
    retention: Retention = Retention()

    def quota_of(self, team: str) -> Quota:
        """What limits this team."""
        own = self.teams[team].quota if team in self.teams else None
        return own or self.quota
