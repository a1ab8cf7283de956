"""Where Airflow's UI shows the pages: an entry of its navigation, and a tab on a DAG's run."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit

from airflow.sdk.configuration import conf

PREFIX = "/evals"  # of the pages, below Airflow's own address

#: Of its own colours: Airflow shows it as it is, on a light, a dark and, where it is chosen, a blue ground.
_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="#fff" stroke-width="2"'
    ' stroke-linecap="round" stroke-linejoin="round"><rect x="1" y="1" width="22" height="22" rx="5" fill="#4f7cc4"'
    ' stroke="none"/><path d="M5.5 16.5l4.5-5.5 3.5 3 5-7"/></svg>'
)


def views() -> list[dict[str, Any]]:
    """Airflow fills DAG_ID and RUN_ID in. Each view has a route of its own: Airflow looks views up by that alone."""
    pages = urlsplit(str(conf.get("api", "base_url", fallback=""))).path.rstrip("/") + PREFIX
    icon = "data:image/svg+xml," + quote(_ICON)
    return [
        {
            "name": "Evals",
            "href": f"{pages}/",
            "destination": "nav",
            "url_route": "evals",
            "nav_top_level": True,
            "icon": icon,
        },
        {
            "name": "Evals",
            "href": f"{pages}/?dag={{DAG_ID}}&run={{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "night",
            "icon": icon,
        },
    ]
