"""Where the pages are: the same ones are served by the web app and inside Airflow."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlencode


@dataclass(frozen=True, kw_only=True)
class Links:
    """Paths below the place that the pages are mounted at; they end without a slash."""

    base: str = ""
    home: str = "/nights"  # the list of nights, below `base`
    runs: str | None = None  # the list of all runs, where there is one beside the nights
    pools: str | None = None  # the pools and their engines, where they are shown

    def nights(self, **query: str | None) -> str:
        """The list of nights; `query` None is left out."""
        return f"{self.base}{self.home}{_query(query)}"

    def night(self, night_id: str) -> str:
        return f"{self.base}/nights/{quote(night_id, safe='')}"

    def run(self, run_id: str) -> str:
        return f"{self.base}/runs/{quote(run_id, safe='')}"

    def trends(self, suite: str | None = None, branch: str | None = None) -> str:
        return f"{self.base}/trends{_query({'suite': suite, 'branch': branch})}"

    def compare(
        self, run: str | None = None, other: str | None = None, *, show: str | None = None, page: int = 1
    ) -> str:
        """Two runs sample by sample; without them the form that asks for two."""
        query = {"run": run, "other": other, "show": show, "page": str(page) if page > 1 else None}
        return f"{self.base}/compare{_query(query)}"

    def datadocs(self, path: str) -> str:
        """A file of the data docs by its path under <home>/datadocs."""
        return f"{self.base}/datadocs/{quote(path)}"


def _query(query: dict[str, str | None]) -> str:
    given = {name: value for name, value in query.items() if value}
    return f"?{urlencode(given)}" if given else ""
