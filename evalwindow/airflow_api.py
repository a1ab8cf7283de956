"""Airflow's REST API as far as a start, a test and the tour need it: log in, trigger, look, answer.

`python -m evalwindow.airflow_api URL [COMPONENT]` exits with 0 when it answers and the component is healthy.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from pydantic import BaseModel

from evalwindow.errors import BadInput, Conflict, EvalwindowError, NotFound, ServiceDown, Unauthorized

TIMEOUT_S = 30.0  # of one request: the first one after a start imports a lot
POLL_S = 0.5
SETTLED_S = 4.0  # a task that goes on before the scheduler saw it park is failed (apache/airflow#71580)
PAGE = 100  # rows that Airflow gives at most
FINAL = frozenset({"success", "failed"})  # states of a DAG run

_ERRORS: dict[int, type[EvalwindowError]] = {
    400: BadInput,
    401: Unauthorized,
    403: Unauthorized,
    404: NotFound,
    409: Conflict,
    422: BadInput,
}
Result = TypeVar("Result")


class DagRun(BaseModel):
    """One run of a DAG."""

    dag_run_id: str
    dag_id: str
    state: str  # queued, running, success, failed
    start_date: datetime | None = None
    end_date: datetime | None = None

    @property
    def final(self) -> bool:
        return self.state in FINAL


class TaskInstance(BaseModel):
    """One task of a run; `map_index` is -1 where it is not mapped."""

    task_id: str
    map_index: int
    state: str | None  # None: not looked at yet
    try_number: int
    start_date: datetime | None = None
    end_date: datetime | None = None
    rendered_map_index: str | None = None


@dataclass(frozen=True, kw_only=True)
class Component:
    """What Airflow knows of its scheduler, triggerer or DAG processor."""

    healthy: bool
    heartbeat: datetime | None  # the latest one, of whichever process was there


def read_health(url: str) -> dict[str, Component]:
    """By component: scheduler, triggerer, dag_processor. Needs no login; ServiceDown while nobody answers."""
    document = _call("GET", f"{url}/api/v2/monitor/health")
    parts = {name: document[name] for name in ("scheduler", "triggerer", "dag_processor")}
    return {name: _component(name, part) for name, part in parts.items()}


def _component(name: str, part: Mapping[str, Any]) -> Component:
    heartbeat = part.get(f"latest_{name}_heartbeat")
    seen = datetime.fromisoformat(heartbeat) if heartbeat else None
    return Component(healthy=part["status"] == "healthy", heartbeat=seen)


@dataclass(frozen=True, kw_only=True)
class AirflowApi:
    """A logged-in user. Every method may raise ServiceDown, Unauthorized, NotFound, BadInput or Conflict."""

    url: str
    token: str = field(repr=False)

    @classmethod
    def login(cls, url: str, *, user: str, password: str) -> AirflowApi:
        """Raises Unauthorized when the user or the password is wrong."""
        body = {"username": user, "password": password}
        url = url.rstrip("/")
        return cls(url=url, token=_call("POST", f"{url}/auth/token", body=body)["access_token"])

    def dag_ids(self) -> frozenset[str]:
        """Of all DAGs that are parsed and not stale."""
        return frozenset(one["dag_id"] for one in self._all("/dags", "dags"))

    def import_errors(self) -> dict[str, str]:
        """File -> traceback, of DAG files that could not be read."""
        return {one["filename"]: one["stack_trace"] for one in self._all("/importErrors", "import_errors")}

    def await_dag(self, dag_id: str, *, timeout_s: float) -> None:
        """Return once the DAG can be triggered; ServiceDown after `timeout_s`, with the import errors."""

        def known() -> bool | None:
            return dag_id in self.dag_ids() or None

        wait_for(known, timeout_s=timeout_s, otherwise=lambda: f"no DAG {dag_id!r}; {self.import_errors()}")

    def trigger(self, dag_id: str, *, conf: Mapping[str, Any] | None = None) -> str:
        """Start a run by hand; its id. `conf` fills the DAG's params: BadInput where one doesn't fit its schema."""
        body = {"logical_date": None, "conf": dict(conf or {})}
        return str(self.call("POST", f"{_dag(dag_id)}/dagRuns", body=body)["dag_run_id"])

    def dag_run(self, dag_id: str, run_id: str) -> DagRun:
        return DagRun.model_validate(self.call("GET", _run(dag_id, run_id)))

    def dag_runs(self, dag_id: str) -> tuple[DagRun, ...]:
        """The latest 100, newest first."""
        found = self.call("GET", f"{_dag(dag_id)}/dagRuns?limit={PAGE}&order_by=-run_after")["dag_runs"]
        return tuple(DagRun.model_validate(one) for one in found)

    def wait(self, dag_id: str, run_id: str, *, timeout_s: float) -> DagRun:
        """The run once it succeeded or failed; ServiceDown after `timeout_s` that names the tasks' states."""

        def ended() -> DagRun | None:
            run = self.dag_run(dag_id, run_id)
            return run if run.final else None

        return wait_for(ended, timeout_s=timeout_s, otherwise=lambda: f"{run_id}: {self._states(dag_id, run_id)}")

    def task_instances(self, dag_id: str, run_id: str) -> tuple[TaskInstance, ...]:
        """All of a run, mapped ones by index."""
        found = self._all(f"{_run(dag_id, run_id)}/taskInstances", "task_instances")
        tasks = (TaskInstance.model_validate(one) for one in found)
        return tuple(sorted(tasks, key=lambda one: (one.task_id, one.map_index)))

    def await_task(
        self, dag_id: str, run_id: str, task_id: str, *states: str, timeout_s: float, map_index: int = -1
    ) -> TaskInstance:
        """The task once it is in one of these states; ServiceDown after `timeout_s`."""

        def there() -> TaskInstance | None:
            tasks = self.task_instances(dag_id, run_id)
            fits = (one for one in tasks if (one.task_id, one.map_index) == (task_id, map_index))
            return next((one for one in fits if one.state in states), None)

        return wait_for(there, timeout_s=timeout_s, otherwise=lambda: f"{run_id}: {self._states(dag_id, run_id)}")

    def set_state(self, dag_id: str, run_id: str, task_id: str, state: str, *, map_index: int = -1) -> None:
        """As the UI's "mark as": `state` is success, failed or skipped."""
        self.call("PATCH", _task(dag_id, run_id, task_id, map_index), body={"new_state": state})

    def clear(self, dag_id: str, run_id: str, *task_ids: str, only_failed: bool = False) -> None:
        """Let these tasks, or all of the run, and what follows them, run again."""
        body: dict[str, Any] = {"dag_run_id": run_id, "dry_run": False, "only_failed": only_failed}
        body |= {"include_downstream": True, "reset_dag_runs": True}
        body |= {"task_ids": list(task_ids)} if task_ids else {}
        self.call("POST", f"{_dag(dag_id)}/clearTaskInstances", body=body)

    def answer(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        *,
        options: tuple[str, ...],
        params: Mapping[str, Any] | None = None,
        map_index: int = -1,
    ) -> None:
        """What a person would choose in the UI of a task that asks: ("Approve",) or ("Reject",).

        Waits until the task has been asking for SETTLED_S. Conflict when somebody has answered before.
        """
        path = f"{_task(dag_id, run_id, task_id, map_index)}/hitlDetails"
        asked = datetime.fromisoformat(self.call("GET", path)["created_at"])
        time.sleep(max(0.0, SETTLED_S - (datetime.now(UTC) - asked).total_seconds()))
        body = {"chosen_options": list(options), "params_input": dict(params or {})}
        self.call("PATCH", path, body=body)

    def xcom(self, dag_id: str, run_id: str, task_id: str, *, key: str = "return_value", map_index: int = -1) -> Any:
        """A value that a task handed on; NotFound where it handed on none."""
        task = f"{_run(dag_id, run_id)}/taskInstances/{quote(task_id, safe='')}"
        path = f"{task}/xcomEntries/{quote(key, safe='')}?{urlencode({'map_index': map_index, 'deserialize': 'true'})}"
        return self.call("GET", path)["value"]

    def call(self, method: str, path: str, *, body: Mapping[str, Any] | None = None) -> Any:
        """Anything below /api/v2; the answer's JSON."""
        return _call(method, f"{self.url}/api/v2{path}", body=body, token=self.token)

    def _all(self, path: str, key: str) -> Iterator[dict[str, Any]]:
        """Every row of a list, page by page."""
        offset, total = 0, 1
        while offset < total:
            page = self.call("GET", f"{path}?limit={PAGE}&offset={offset}")
            yield from page[key]
            offset, total = offset + PAGE, page["total_entries"]

    def _states(self, dag_id: str, run_id: str) -> str:
        tasks = self.task_instances(dag_id, run_id)
        return ", ".join(f"{one.task_id}[{one.map_index}] {one.state}" for one in tasks)


def _dag(dag_id: str) -> str:
    return f"/dags/{quote(dag_id, safe='')}"


def _run(dag_id: str, run_id: str) -> str:
    return f"{_dag(dag_id)}/dagRuns/{quote(run_id, safe='')}"


def _task(dag_id: str, run_id: str, task_id: str, map_index: int) -> str:
    return f"{_run(dag_id, run_id)}/taskInstances/{quote(task_id, safe='')}/{map_index}"


def wait_for(look: Callable[[], Result | None], *, timeout_s: float, otherwise: Callable[[], str]) -> Result:
    """What `look` gives once it gives something; ServiceDown after `timeout_s`, with what `otherwise` says then."""
    until = time.monotonic() + timeout_s
    while (found := look()) is None:
        if time.monotonic() > until:
            raise ServiceDown(f"waited {timeout_s:.0f} s in vain for Airflow: {otherwise()}")
        time.sleep(POLL_S)
    return found


def _call(method: str, url: str, *, body: Mapping[str, Any] | None = None, token: str = "") -> Any:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers, method=method)  # noqa: S310  our own URL
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310  likewise
            return json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        with error:
            text = " ".join(error.read().decode(errors="replace").split())[:500]
        raise _ERRORS.get(error.code, ServiceDown)(f"{method} {url} answered {error.code}: {text}") from error
    except OSError as error:
        advice = "look at the logs of airflow-api-server"
        raise ServiceDown(service="Airflow", host=url, reason=error, advice=advice) from error


def main(argv: list[str]) -> int:
    """A container's health check."""
    url, components = argv[1], argv[2:]
    try:
        health = read_health(url)
    except EvalwindowError as error:
        print(error)  # noqa: T201  docker keeps the words of a failed check
        return 1
    unhealthy = [name for name in components if name not in health or not health[name].healthy]
    print(*unhealthy, "unhealthy" if unhealthy else "healthy")  # noqa: T201  likewise
    return 1 if unhealthy else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
