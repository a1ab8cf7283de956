"""Which breaker guards what."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalwindow.breakers.ids import (
    GITHUB,
    SMTP,
    Kind,
    breaker_of,
    kind_of,
    of_errors,
    of_pool,
    of_provider,
    of_submissions,
    rule_of,
    team_of,
)
from evalwindow.config import ApiModel, Breaker, Breakers, Config, Pool, ReplayModel, WarmModel
from evalwindow.errors import BadInput

CONFIG = Config(
    pools={"warm": Pool(model="m")},
    models={
        "base": WarmModel(engine="vllm", pool="warm"),
        "tuned": WarmModel(engine="vllm", pool="warm", adapter=Path("tuned")),
        "big": ApiModel(engine="openai", base_url="http://127.0.0.1:9", model="big"),
        "taped": ReplayModel(engine="replay", outputs=Path("taped.jsonl")),
    },
    breakers=Breakers(providers=Breaker(failures=7)),
)


def test_models_of_a_pool_share_its_breaker_and_each_api_has_one() -> None:
    guards = {model: breaker_of(CONFIG, model) for model in (*CONFIG.models, "gone")}
    assert guards == {"base": "pool:warm", "tuned": "pool:warm", "big": "provider:big", "taped": None, "gone": None}


@pytest.mark.parametrize(
    "breaker_id, kind, team",
    [
        (of_pool("warm"), Kind.ENGINES, None),
        (of_provider("big"), Kind.PROVIDERS, None),
        (GITHUB, Kind.NOTIFIERS, None),
        (SMTP, Kind.NOTIFIERS, None),
        (of_errors("ads"), Kind.TEAM_ERRORS, "ads"),
        (of_submissions("a/b"), Kind.TEAM_SUBMISSIONS, "a/b"),
    ],
)
def test_an_id_says_what_it_guards_and_whose_it_is(breaker_id: str, kind: Kind, team: str | None) -> None:
    assert (kind_of(breaker_id), team_of(breaker_id)) == (kind, team)
    assert rule_of(CONFIG, breaker_id) == getattr(CONFIG.breakers, kind)


def test_a_rule_is_that_of_its_kind() -> None:
    assert rule_of(CONFIG, "provider:big").failures == 7


@pytest.mark.parametrize("breaker_id", ["", "warm", "notifier:pager", "team:ads"])
def test_what_is_no_id_is_refused_with_examples(breaker_id: str) -> None:
    with pytest.raises(BadInput, match="an id like pool:warm"):
        kind_of(breaker_id)
