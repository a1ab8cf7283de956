"""What a soak has shown, as a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from rich.console import Console
from rich.table import Table

from soak.invariants import Broken

TITLES = ("lost", "duplicated", "stuck", "concluded twice", "told twice", "untold", "miscounted")


@dataclass(frozen=True, kw_only=True)
class Struck:
    """One or two faults at once, and when a pull request that was opened after them had its verdict."""

    names: tuple[str, ...]
    recovered_s: float | None  # from the beginning of the faults; None: not within the patience


@dataclass(kw_only=True)
class Report:
    """All of it."""

    seed: int
    struck: list[Struck] = field(default_factory=list)
    runs: int = 0
    results: int = 0
    webhooks: int = 0
    repeated: int = 0  # webhooks that came again
    gpu_s: float = 0.0
    settled_s: float = 0.0  # after the last fault and the last wish, until nothing was under way
    broken: Broken = field(default_factory=Broken)
    repeated_mails: Sequence[str] = ()

    @property
    def ok(self) -> bool:
        return not self.broken and all(each.recovered_s is not None for each in self.struck)

    def show(self, console: Console) -> None:
        console.print(self._faults())
        totals = Table(title="At the end", title_justify="left")
        counts = dict(zip(TITLES, self.broken.counts.values(), strict=True))
        for title in counts:
            totals.add_column(title, justify="right")
        totals.add_row(*map(str, counts.values()))
        console.print(totals)
        if self.broken:
            console.print(str(self.broken), style="bold red", markup=False)
        console.print(
            f"seed {self.seed}: {self.runs:,} runs with {self.results:,} results, {self.gpu_s:.1f} GPU-seconds, "
            f"{self.webhooks:,} webhooks and {self.repeated:,} of them again; everything was still "
            f"{self.settled_s:.0f} s after the last one.",
            markup=False,
            highlight=False,
        )
        for mail in self.repeated_mails:
            console.print(f"handed in again under its Message-ID, so shown once: {mail}", markup=False)

    def _faults(self) -> Table:
        table = Table(title="Verdicts on GitHub of pull requests opened after a fault", title_justify="left")
        table.add_column("fault")
        for title in ("times", "after s, median", "most"):
            table.add_column(title, justify="right")
        took: defaultdict[str, list[float | None]] = defaultdict(list)
        for each in self.struck:
            took[" + ".join(each.names)].append(each.recovered_s)
        for name, all_s in sorted(took.items()):
            known = [seconds for seconds in all_s if seconds is not None]
            late = "never" if len(known) < len(all_s) else f"{max(known):.1f}"
            table.add_row(name, str(len(all_s)), f"{median(known):.1f}" if known else "never", late)
        return table
