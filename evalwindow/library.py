"""The suites folder, read again when something in it changes."""

from __future__ import annotations

from pathlib import Path

from evalwindow.config import Limits
from evalwindow.suites import Suite, load_suites


class SuiteLibrary:
    """Suites by name; a broken file is an error at the next look-up, never a silently old suite."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder, self._limits = folder, limits
        self._seen: tuple[tuple[str, int, int], ...] | None = None
        self._suites: dict[str, Suite] = {}

    def all(self) -> dict[str, Suite]:
        seen = self._signature()
        if seen != self._seen:
            self._suites = load_suites(self._folder, self._limits)
            self._seen = seen
        return self._suites

    def _signature(self) -> tuple[tuple[str, int, int], ...]:
        files = sorted(path for path in self._folder.rglob("*") if path.is_file())
        return tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files)
