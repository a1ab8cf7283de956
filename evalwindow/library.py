"""The suites folder, read again when something in it changes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evalwindow.config import Limits
from evalwindow.errors import SuiteInvalid
from evalwindow.suites import BrokenSuite, Suite, read_suites

Signature = tuple[tuple[str, int, int], ...]
Shelf = tuple[dict[str, Suite], tuple[BrokenSuite, ...]]


class SuiteLibrary:
    """Suites by name; a broken file is an error for whoever asks for it, never a silently old suite."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder, self._limits = folder, limits
        self._seen: tuple[Signature, Shelf] | None = None

    def sound(self) -> Shelf:
        """(the suites that can be used, by name; the files that can't)."""
        signature, seen = self._signature(), self._seen
        if seen is None or seen[0] != signature:
            seen = self._seen = signature, read_suites(self._folder, self._limits)
        return seen[1]

    def all(self) -> dict[str, Suite]:
        """Every suite of the folder; raises SuiteInvalid while any of them is broken."""
        suites, broken = self.sound()
        if broken:
            raise SuiteInvalid("\n".join(each.complaint for each in broken))
        return suites

    def asked_for(self, name: str) -> Mapping[str, Suite]:
        """The sound suites; raises SuiteInvalid with what is wrong with `name` where that one is broken."""
        suites, broken = self.sound()
        mine = [each.complaint for each in broken if each.name == name]
        if mine and name not in suites:
            raise SuiteInvalid("\n".join(mine))
        return suites

    def _signature(self) -> Signature:
        files = sorted(path for path in self._folder.rglob("*") if path.is_file())
        return tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files)
