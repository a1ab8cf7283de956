"""The form that starts a night by hand, and what a DAG run says about its night."""

import datetime as dt
from types import SimpleNamespace

import pytest
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import ParamValidationError

from evalwindow.airflow.params import choices, hours, night_key, night_params
from evalwindow.config import ApiModel, Config, ReplayModel, Window

RUN = "0" * 26
API = ApiModel(engine="openai", base_url="http://127.0.0.1:1/v1", model="parrot")
WINDOW = Window(cron="0 22 * * *", duration_minutes=480, team="search", suites=("echo", "other"), models=("parrot",))


@pytest.fixture
def form(tmp_path):
    replay = ReplayModel(engine="replay", outputs=tmp_path)
    models = {"parrot": API, "crow": API, "recorded": replay}
    return ParamsDict(night_params(Config(models=models, windows={"nightly": WINDOW}), WINDOW))


def filled(form, **answers):
    form.update(answers)
    return form.validate()


def test_what_is_preset_is_what_the_schedule_takes(form):
    assert filled(form) == {
        "suites": ["echo", "other"],
        "models": ["parrot"],
        "baseline": "production",
        "window_minutes": 480,
        "dry_run": False,
    }


@pytest.mark.parametrize(
    "answers",
    [
        {"suites": ["echo"]},
        {"models": ["crow"]},
        {"models": ["crow", "parrot"]},
        {"baseline": RUN},
        {"window_minutes": 1},
        {"window_minutes": 1440},
        {"dry_run": True},
    ],
)
def test_it_takes(form, answers):
    assert filled(form, **answers).items() >= answers.items()


@pytest.mark.parametrize(
    "answers",
    [
        {"suites": []},
        {"suites": ["ecco"]},
        {"suites": ["echo", "echo"]},
        {"suites": "echo"},
        {"models": ["recorded"]},  # scored where it was recorded, never in a night
        {"models": []},
        {"baseline": "yesterday"},
        {"baseline": RUN + "0"},
        {"window_minutes": 0},
        {"window_minutes": 1441},
        {"window_minutes": 1.5},
        {"dry_run": "yes"},
    ],
)
def test_it_refuses(form, answers):
    with pytest.raises(ParamValidationError):
        filled(form, **answers)


def test_every_question_has_a_title_and_says_what_it_does(form):
    for name in form:
        param = form.get_param(name)
        assert param.schema["title"] and len(param.description) > 20


def test_a_window_longer_than_a_day_may_be_as_long_as_it_is():
    long = WINDOW.model_copy(update={"duration_minutes": 2880})
    assert night_params(Config(models={"parrot": API}), long)["window_minutes"].resolve() == 2880


def test_answers_in_the_words_of_the_night(form):
    assert choices(filled(form))["baseline"] is None
    assert choices(filled(form, baseline=RUN))["baseline"] == RUN
    assert choices(filled(form))["suites"] == ("echo", "other")


def at(hour):
    return dt.datetime(2026, 6, 1, hour, tzinfo=dt.UTC)


def test_a_scheduled_night_has_the_hours_of_its_window_even_when_it_begins_late(form):
    run = SimpleNamespace(
        run_type="scheduled", data_interval_start=at(1), data_interval_end=at(9), start_date=at(7), run_after=at(1)
    )
    assert hours(run, filled(form, window_minutes=5)) == (at(1), at(9))


def test_a_night_by_hand_lasts_as_long_as_the_form_says_from_when_it_could_start(form):
    run = SimpleNamespace(
        run_type="manual", data_interval_start=at(1), data_interval_end=at(1), start_date=at(7), run_after=at(1)
    )
    assert hours(run, filled(form, window_minutes=60)) == (at(7), at(8))


def test_one_dag_run_is_one_night():
    assert night_key(SimpleNamespace(dag_id="nightly_regression", run_id="manual__1")) == "nightly_regression/manual__1"
