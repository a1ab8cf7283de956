"""What the tests of the running Airflow trigger: it says what a task sees, and asks a person."""

import os

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param, dag, task


@dag(schedule=None, params={"numbers": Param([1], type="array"), "sleep_s": Param(0, type="number")})
def probe():
    @task
    def seen() -> dict[str, str]:
        """Names of EVALWINDOW_* variables and where modules come from; no secrets go into XCom."""
        import evalwindow
        from evalwindow.settings import read_settings

        settings = read_settings()
        return {
            "database": settings.database_url,
            "home": str(settings.home),
            "package": str(evalwindow.__file__),
            "airflow_home": os.environ["AIRFLOW_HOME"],
        }

    @task
    def numbers(params: dict) -> list[int]:
        return params["numbers"]

    @task
    def double(number: int, params: dict) -> int:
        import time

        time.sleep(params["sleep_s"])
        return 2 * number

    ask = ApprovalOperator(task_id="ask", subject="Shall it go on?")
    seen() >> double.expand(number=numbers()) >> ask


probe()
