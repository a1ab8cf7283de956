"""evalwindow in Airflow. Only names: what they do is in evalwindow.airflow."""

from functools import cached_property
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from evalwindow.airflow import listener
from evalwindow.airflow.links import RunPage
from evalwindow.airflow.timetable import WindowTimetable
from evalwindow.airflow.views import PREFIX, views


class EvalwindowPlugin(AirflowPlugin):
    name = "evalwindow"
    timetables = [WindowTimetable]
    listeners = [listener]
    operator_extra_links = [RunPage()]
    external_views = views()

    @cached_property  # mypy takes it for read-only, which it isn't
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """Looked at by the API server alone: the other processes never import a web framework."""
        from evalwindow.airflow.pages import create_app

        return [{"app": create_app(), "url_prefix": PREFIX, "name": "evalwindow"}]
