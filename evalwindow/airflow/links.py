"""Where a task leads in evalwindow, and where a night leads in Airflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink
from airflow.sdk.bases.xcom import BaseXCom
from airflow.sdk.configuration import conf

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

PAGE = "page"  # XCom key: URL of the run's page


class RunPage(BaseOperatorLink):
    """The button on a task: the page of the run that it waits for."""

    name = "Run page"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        return BaseXCom.get_value(ti_key=ti_key, key=PAGE) or ""


def url_of(dag_run: Any) -> str:
    """Of Airflow's page of a DAG's run."""
    base = str(conf.get("api", "base_url", fallback="")).rstrip("/")
    return f"{base}/dags/{quote(dag_run.dag_id, safe='')}/runs/{quote(dag_run.run_id, safe='')}"
