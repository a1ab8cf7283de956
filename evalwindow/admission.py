"""Who gets in: everything that can be wrong with a submission is said here, before any GPU time is spent."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from evalwindow.config import Config, WarmModel
from evalwindow.engines.adapters import check_adapter
from evalwindow.engines.digests import local_model
from evalwindow.errors import CandidateInvalid, NotFound, PromptTooLong, UnknownName
from evalwindow.model import Candidate, Sampling, Source, Tier
from evalwindow.sharding import Prompt, cut
from evalwindow.suites import Suite
from evalwindow.tokens import PromptCounter


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A wish for one run of one suite."""

    key: str  # the same key is the same run: admitting it again changes nothing
    team: str
    suite: str
    candidate: Candidate
    source: Source = field(default_factory=Source)
    use_cache: bool = True
    ordinal: int | None = None  # orders the commits of a pull request; an older one never supersedes a newer
    owner: str | None = None  # who waits for it outside: only that one may cancel it
    night_id: str | None = None
    window_end: dt.datetime | None = None  # aware; no prompt of it starts after this, nor after the night's end
    baseline_run: str | None = None  # judged against this run; None: against the promoted one


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """What will run: the suite as it is now, cut into shards of sample ids, in the order of asking."""

    submission: Submission
    suite: Suite
    pool: str
    shards: tuple[tuple[str, ...], ...]


#: artifact(digest): the files of a stored adapter; raises NotFound
Artifact = Callable[[str], Mapping[str, bytes]]
#: counter_of(pool name): how to count tokens for that pool's model, or None where this host can't
CounterOf = Callable[[str], PromptCounter | None]


def decide(
    submission: Submission,
    *,
    config: Config,
    suites: Mapping[str, Suite],
    artifact: Artifact,
    counter_of: CounterOf = lambda pool: None,
) -> Admitted:
    """The plan of a run; raises BadInput with what is wrong and what would be right."""
    _known(kind="team", name=submission.team, known=config.teams)
    _known(kind="suite", name=submission.suite, known=suites)
    _known(kind="model", name=submission.candidate.model, known=config.models)
    suite = suites[submission.suite]
    pool = config.models[submission.candidate.model].pool
    _check_adapter(submission.candidate, config=config, artifact=artifact)
    _check_judges(suite, pool=pool, config=config)
    prompts = _prompts(suite, submission.candidate, config=config, counter=counter_of(pool))
    shards = cut(prompts, lane=None if suite.tier is Tier.SMOKE else config.lanes.of(suite.tier))
    return Admitted(submission=submission, suite=suite, pool=pool, shards=shards)


def _known(*, kind: str, name: str, known: Mapping[str, object], where: str = "") -> None:
    if name not in known:
        raise UnknownName(kind, name, known, where=where)


def _check_adapter(candidate: Candidate, *, config: Config, artifact: Artifact) -> None:
    """An adapter needs a base model that takes one, and has to fit it."""
    if candidate.adapter is None:
        return
    pool = _pool_for_adapter(candidate, config=config)
    lora = config.pools[pool].lora
    if lora is None:
        raise CandidateInvalid(f"candidate.adapter: pool {pool!r} serves no LoRA adapters (set pools.{pool}.lora)")
    try:
        check_adapter(artifact(candidate.adapter), lora=lora, base=local_model(config.pools[pool]))
    except (CandidateInvalid, NotFound) as invalid:
        raise CandidateInvalid(f"candidate.adapter: {invalid}") from invalid


def _pool_for_adapter(candidate: Candidate, *, config: Config) -> str:
    model = config.models[candidate.model]
    if not isinstance(model, WarmModel):
        raise CandidateInvalid(
            f"candidate.adapter: model {candidate.model!r} is behind an API, which takes no LoRA adapter; "
            f"name a model with engine: vllm"
        )
    if model.adapter is not None:
        raise CandidateInvalid(
            f"candidate.adapter: model {candidate.model!r} is itself an adapter; name its base model instead"
        )
    return model.pool


def _check_judges(suite: Suite, *, pool: str, config: Config) -> None:
    """A judge answers from the candidate's own pool or from an API: a worker reaches no other engine."""
    where = f"suite {suite.name!r}, judge"
    for judge in sorted(suite.judges):
        _known(kind="model", name=judge, known=config.models, where=where)
        model = config.models[judge]
        if isinstance(model, WarmModel) and model.pool != pool:
            raise CandidateInvalid(
                f"{where}: {judge!r} is warm in pool {model.pool!r}, but the candidate runs in pool {pool!r}; "
                f"name a judge of that pool, or one behind an API"
            )


def _prompts(suite: Suite, candidate: Candidate, *, config: Config, counter: PromptCounter | None) -> list[Prompt]:
    """Render every prompt, so that a missing variable or an over-long one costs nothing but this moment."""
    sampling = suite.sampling(candidate, 0)
    context = _context(candidate, config=config, counter=counter)
    prompts = []
    for sample in suite.samples:
        messages = suite.render(sample, candidate)
        prompt = Prompt.of(sample.id, messages, counter=counter)
        prompts.append(prompt)
        if counter is not None and context is not None:
            _check_room(
                suite,
                sample_id=sample.id,
                model=candidate.model,
                tokens=prompt.tokens,
                context=context,
                sampling=sampling,
            )
    return prompts


def _context(candidate: Candidate, *, config: Config, counter: PromptCounter | None) -> int | None:
    model = config.models[candidate.model]
    if not isinstance(model, WarmModel):
        return getattr(model, "context", None)
    return config.pools[model.pool].max_model_len or (counter.context if counter else None)


def _check_room(suite: Suite, *, sample_id: str, model: str, tokens: int, context: int, sampling: Sampling) -> None:
    room = context - sampling.max_tokens
    if tokens > room:
        raise PromptTooLong(
            sample=sample_id,
            suite=suite.name,
            tokens=tokens,
            model=model,
            room=room,
            context=context,
            max_tokens=sampling.max_tokens,
        )
