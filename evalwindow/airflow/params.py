"""The form that starts a night by hand, and what it or the schedule says about a night."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from airflow.sdk import Param

from evalwindow.config import Config, ReplayModel, Window

PRODUCTION = "production"
RUN_ID = "[0-9a-hjkmnp-tv-z]{26}"
DAY_MINUTES = 24 * 60


def night_params(config: Config, window: Window) -> dict[str, Param]:
    """What a person may choose; what is preset is what the schedule takes."""
    models = [name for name, model in config.models.items() if not isinstance(model, ReplayModel)]
    return {
        "suites": _several(window.suites, among=window.suites, title="Suites", what="Evaluate these suites."),
        "models": _several(
            window.models,
            among=[*window.models, *models],
            title="Models",
            what="The candidates: each suite is run with each of them. Names are those of evalwindow.yaml.",
        ),
        "baseline": Param(
            PRODUCTION,
            type="string",
            title="Baseline",
            description=f"What the candidates are judged against: `{PRODUCTION}`, the run that was promoted for each "
            "suite; or, with one suite, the id of any concluded run of it.",
            pattern=f"^({PRODUCTION}|{RUN_ID})$",
            examples=[PRODUCTION],
        ),
        "window_minutes": Param(
            window.duration_minutes,
            type="integer",
            title="Window (minutes)",
            description="After so many minutes no prompt starts any more. What is unfinished then goes on in the "
            "window's next night. A scheduled night ends with its window, whatever this says.",
            minimum=1,
            maximum=max(DAY_MINUTES, window.duration_minutes),
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description="Only say what would be run, and check the datasets. No GPU, no verdict, no mail.",
        ),
    }


def _several(preset: Any, *, among: Any, title: str, what: str) -> Param:
    names = list(dict.fromkeys(among))
    return Param(
        list(preset),
        type="array",
        title=title,
        description=what,
        items={"type": "string", "enum": names},
        examples=names,  # Airflow's form offers these
        minItems=1,
        uniqueItems=True,
    )


def choices(params: Mapping[str, Any]) -> dict[str, Any]:
    """The form's answers in the words of open_night."""
    chosen = params["baseline"]
    return {
        "suites": tuple(params["suites"]),
        "models": tuple(params["models"]),
        "baseline": None if chosen == PRODUCTION else chosen,
        "dry_run": params["dry_run"],
    }


def hours(dag_run: Any, params: Mapping[str, Any]) -> tuple[dt.datetime, dt.datetime]:
    """When a night starts and ends: the same at every try.

    A scheduled one has the window's own hours, even when it begins late. One that a person starts lasts as long as the
    form says, from when Airflow let it start: it may have waited for the night before it.
    """
    if dag_run.run_type == "scheduled":
        return dag_run.data_interval_start, dag_run.data_interval_end
    start = dag_run.start_date or dag_run.run_after
    return start, start + dt.timedelta(minutes=params["window_minutes"])


def night_key(dag_run: Any) -> str:
    """One DAG run is one night."""
    return f"{dag_run.dag_id}/{dag_run.run_id}"
