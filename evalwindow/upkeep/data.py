"""Datasets: all of them validated, and whether their prompts are still of the kind that they were."""

from __future__ import annotations

from dataclasses import dataclass

from evalwindow.datasets import DatasetReport, asked, suite_paths, to_document, validate_all
from evalwindow.report.words import counted
from evalwindow.services import Services

DRIFT = "drift"  # name of the check


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What one suite's dataset says."""

    suite: str
    ok: bool  # it can be run
    drifted: bool  # its prompts differ in length from the version before
    text: str  # a sentence
    docs: str | None  # index of the Data Docs, relative to the home folder

    @property
    def noteworthy(self) -> bool:
        return self.drifted or not self.ok


def drift(services: Services) -> tuple[Looked, ...]:
    """Every suite of the config, validated as in a night; outcomes are kept. Raises nothing because of a dataset."""
    store, config = services.store, services.config
    names = list(suite_paths(config.suites))
    reports = validate_all(
        {name: asked(config, _models(services, name)) for name in names},
        folder=config.suites,
        limits=config.limits,
        home=services.settings.home.resolve(),
        known=store.dataset_report,
        last=lambda suite, digest: store.last_dataset_report(suite, other_than=digest),
    )
    for report in reports:
        if report.keepable:
            store.put_dataset_report(
                key=report.key, suite=report.suite, digest=report.digest, ok=report.ok, document=to_document(report)
            )
    return tuple(map(_looked, reports))


def _models(services: Services, suite: str) -> list[str]:
    """Those that a window runs it with: what a night has validated is then known."""
    windows = services.config.windows.values()
    return sorted({model for window in windows if suite in window.suites for model in window.models})


def _looked(report: DatasetReport) -> Looked:
    drifted = next((finding.text for finding in report.findings if finding.check == DRIFT), None)
    text = report.error or _errors(report) or drifted or f"{counted(report.samples, 'sample')}, nothing to object to"
    return Looked(suite=report.suite, ok=report.ok, drifted=drifted is not None, text=text, docs=report.docs)


def _errors(report: DatasetReport) -> str | None:
    if not report.errors:
        return None
    first, *more = report.errors
    return first.text + (f" (and {len(more)} more)" if more else "")
