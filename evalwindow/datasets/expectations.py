"""Great Expectations, which runs the checks and writes the Data Docs. The one module that knows it.

Its frames hold line numbers, ids, names of slices, truth values and counts, so no text of the data can get into its
results or pages: with that, values may be shown, and the pages name lines.
"""

from __future__ import annotations

import html
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalwindow.datasets.report import Severity
from evalwindow.errors import CheckCrashed

SITE = "local"
_SEVERITIES = {Severity.ERROR: "critical", Severity.WARNING: "warning"}


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What is expected of one column, or of the number of rows."""

    name: str  # unique in its table
    severity: Severity
    title: str
    why: str
    column: str | None  # None: the number of rows
    least: int | None = None  # with neither bound: every value is true
    most: int | None = None


@dataclass(frozen=True, kw_only=True)
class Table:
    """Columns and what is expected of them."""

    name: str
    columns: Mapping[str, Sequence[Any]]
    index: tuple[str, ...]  # columns that name a row
    expected: tuple[Expected, ...]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one expectation."""

    name: str
    met: bool
    count: int  # rows that don't meet it
    rows: tuple[Mapping[str, Any], ...]  # index of each of them, in the table's order


def check(tables: Iterable[Table], *, title: str, run: str, folder: Path) -> dict[str, Outcome]:
    """Outcomes by the expectations' names; the Data Docs are in `folder`, index.html first.

    One context a call; several calls in one process are fine one after another, never in threads: Great Expectations
    keeps its current project in a global. Raises CheckCrashed where an expectation could not be evaluated.
    """
    gx = load()
    context = gx.get_context(mode="ephemeral", project_config=project(folder))
    source = context.data_sources.add_pandas(title)
    outcomes: dict[str, Outcome] = {}
    for table in tables:
        checkpoint = _checkpoint(gx, context, source, table, title=title)
        named = gx.RunIdentifier(run_name=run)
        result = checkpoint.run(batch_parameters={"dataframe": _dataframe(table)}, run_id=named)
        for validation in result.run_results.values():
            outcomes |= {each.name: each for each in map(_outcome, validation.results)}
    context.build_data_docs(site_names=[SITE])  # once, for an action at each checkpoint writes the index anew
    if not (folder / "index.html").is_file():
        raise CheckCrashed(check="Data Docs", reason=f"there is no index.html in {folder}")
    _drop_animations(folder)
    return outcomes


def load() -> Any:
    """The library, which takes seconds the first time."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    logging.getLogger("great_expectations").setLevel(logging.WARNING)  # its import says 150 things where somebody logs
    import great_expectations

    return great_expectations


def project(folder: Path) -> Any:
    """Everything in memory but the pages."""
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    site = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "show_cta_footer": False,
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder.resolve())},
    }
    return DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
        data_docs_sites={SITE: site},
    )


def _checkpoint(gx: Any, context: Any, source: Any, table: Table, *, title: str) -> Any:
    name = f"{title}.{table.name}"
    asset = source.add_dataframe_asset(table.name)
    suite = gx.ExpectationSuite(name=name, expectations=[_expectation(each) for each in table.expected])
    definition = gx.ValidationDefinition(
        name=name, data=asset.add_batch_definition_whole_dataframe(table.name), suite=context.suites.add(suite)
    )
    checkpoint = gx.Checkpoint(
        name=name,
        validation_definitions=[context.validation_definitions.add(definition)],
        result_format={
            "result_format": "COMPLETE",
            "unexpected_index_column_names": list(table.index),
            "return_unexpected_index_query": False,
        },
    )
    return context.checkpoints.add(checkpoint)


def _expectation(expected: Expected) -> Any:
    from great_expectations import expectations as gxe

    about = {
        "description": expected.title,
        "notes": expected.why,
        "severity": _SEVERITIES[expected.severity],
        "meta": {"name": expected.name},
    }
    bounds = {"min_value": expected.least, "max_value": expected.most}
    if expected.column is None:
        return gxe.ExpectTableRowCountToBeBetween(**bounds, **about)
    if expected.least is None and expected.most is None:
        return gxe.ExpectColumnValuesToBeInSet(column=expected.column, value_set=[True], **about)
    return gxe.ExpectColumnValuesToBeBetween(column=expected.column, **bounds, **about)


def _dataframe(table: Table) -> Any:
    """Texts are escaped: the pages show an id as it is, markup included."""
    import pandas as pd

    return pd.DataFrame({name: [_shown(value) for value in values] for name, values in table.columns.items()})


def _shown(value: Any) -> Any:
    return html.escape(value) if isinstance(value, str) else value


def _named(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row's index as it was before `_shown`."""
    return {name: html.unescape(value) if isinstance(value, str) else value for name, value in row.items()}


def _outcome(result: Any) -> Outcome:
    name = result.expectation_config.meta["name"]
    crash = _crash(result.exception_info)
    if crash:
        raise CheckCrashed(check=name, reason=crash)
    details = result.result
    return Outcome(
        name=name,
        met=bool(result.success),
        count=int(details.get("unexpected_count", 0)),
        rows=tuple(_named(row) for row in details.get("unexpected_index_list") or ()),
    )


def _crash(info: Mapping[str, Any] | None) -> str | None:
    """What an expectation raised, if it did. It is told flat, or by the id of the metric that raised."""
    if not info:
        return None
    for each in [info] if "raised_exception" in info else info.values():
        if each.get("raised_exception"):
            return str(each.get("exception_message"))
    return None


def _drop_animations(folder: Path) -> None:
    """3 of a site's 4 MB are two animations of a tutorial that these pages don't show."""
    for animation in (folder / "static" / "images").glob("*.gif"):
        animation.unlink()
