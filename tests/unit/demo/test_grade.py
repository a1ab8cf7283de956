"""The held-out prompts: a fixed share of them is harder than anything trained on."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from demo import grade
from demo.skills import SKILLS, STRETCH

PER_SKILL = 50


def test_each_skill_gets_its_prompts_once() -> None:
    samples = grade.held_out(PER_SKILL, seed=1)
    assert [sample.skill for sample in samples] == [skill for skill in SKILLS for _ in range(PER_SKILL)]
    assert len({sample.prompt for sample in samples}) == len(samples)


def test_a_fixed_share_is_stretch_and_the_rest_is_what_it_would_be_without() -> None:
    mixed, ordinary = grade.held_out(PER_SKILL, seed=1), grade.held_out(PER_SKILL, seed=1, stretch=False)
    known = {sample.prompt for sample in ordinary}
    harder = [sample.skill for sample in mixed if sample.prompt not in known]
    assert {skill: harder.count(skill) for skill in SKILLS} == {
        skill: PER_SKILL * grade.STRETCH_SHARE if skill in STRETCH else 0 for skill in SKILLS
    }
