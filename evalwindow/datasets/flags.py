"""Lines -> columns that a check can be a simple expectation on. The one module that knows polars.

What comes out holds line numbers, ids, truth values and lengths, and no text of the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from evalwindow.datasets.examine import Examined
from evalwindow.datasets.report import Lengths

#: Checks whose flag is the examination of the line alone; "id" also looks at the other lines.
BY_LINE = (
    *("readable", "undamaged", "id", "prompt", "target", "choices", "schema"),
    *("columns", "template", "few_shots"),
)
EXACT = 1_000  # lengths up to here are kept exactly, longer ones to three digits
OTHERS_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Flags:
    """A column each, all of one length."""

    columns: Mapping[str, list[Any]]  # line, id, characters, tokens_0.., and a flag for each check: True is good
    reasons: Mapping[tuple[str, int], str]  # (check, line) -> what is wrong there
    characters: Lengths
    tokens: tuple[Lengths, ...]  # of each of the models asked


def flag(lines: Iterable[Examined], *, models: int) -> Flags:
    """All lines with the checks' flags; `models` is how many kinds of token counts each line has."""
    examined = list(lines)
    frame = _frame(examined, models=models)
    flagged = frame.with_columns(
        (pl.col("id_ok") & ~(pl.col("id").is_not_null() & pl.col("id").is_duplicated())).alias("id_ok"),
        (~_asked_again()).alias("duplicates_ok"),
    )
    reasons = {(check, seen.line): what for seen in examined for check, what in seen.faults.items()}
    twice = flagged.filter(pl.col("id").is_not_null() & pl.col("id").is_duplicated())
    reasons |= _reasons("id", twice, by="id", text="the id is also that of line")
    reasons |= _reasons("duplicates", flagged.filter(~pl.col("duplicates_ok")), by="asks", text="asks the same as line")
    counts = [f"tokens_{index}" for index in range(models)]
    return Flags(
        columns=flagged.drop("asks", "cluster").to_dict(as_series=False),
        reasons=reasons,
        characters=lengths(flagged["characters"]),
        tokens=tuple(lengths(flagged[name]) for name in counts),
    )


def lengths(values: pl.Series) -> Lengths:
    """Quantiles (the nearest value that occurs) and histogram of what is not null."""
    known = values.drop_nulls()
    if known.is_empty():
        return Lengths()
    p25, median, p75, p95 = (int(known.quantile(q, "nearest") or 0) for q in (0.25, 0.5, 0.75, 0.95))
    least, most = int(known.sort()[0]), int(known.sort()[-1])
    return Lengths(
        count=len(known), least=least, p25=p25, median=median, p75=p75, p95=p95, most=most, histogram=_histogram(known)
    )


def _histogram(known: pl.Series) -> tuple[tuple[int, int], ...]:
    digits = pl.col("length").cast(pl.String).str.len_chars().cast(pl.Int64)
    unit = pl.when(pl.col("length") < EXACT).then(1).otherwise(pl.lit(10).pow(digits - 3)).cast(pl.Int64)
    counted = (
        pl.DataFrame({"length": known.cast(pl.Int64)})
        .group_by((pl.col("length") // unit * unit).alias("length"))
        .agg(pl.len().alias("count"))
        .sort("length")
    )
    return tuple((int(length), int(count)) for length, count in counted.iter_rows())


def _frame(examined: Sequence[Examined], *, models: int) -> pl.DataFrame:
    series = [
        pl.Series("line", [seen.line for seen in examined], dtype=pl.Int64),
        pl.Series("id", [seen.id for seen in examined], dtype=pl.String),
        pl.Series("characters", [seen.characters for seen in examined], dtype=pl.Int64),
        pl.Series("asks", [seen.asks for seen in examined], dtype=pl.String),
        pl.Series("cluster", [seen.sample and seen.sample.cluster for seen in examined], dtype=pl.String),
    ]
    series += [
        pl.Series(f"tokens_{index}", [seen.tokens[index] for seen in examined], dtype=pl.Int64)
        for index in range(models)
    ]
    series += [
        pl.Series(f"{check}_ok", [check not in seen.faults for seen in examined], dtype=pl.Boolean) for check in BY_LINE
    ]
    return pl.DataFrame(series)


def _asked_again() -> pl.Expr:
    """Lines that ask the same as another one, unless all that do are of one cluster."""
    alike = pl.col("asks")
    meant = pl.col("cluster").is_not_null().all().over(alike) & (pl.col("cluster").n_unique().over(alike) == 1)
    return alike.is_not_null() & alike.is_duplicated() & ~meant


def _reasons(check: str, rows: pl.DataFrame, *, by: str, text: str) -> dict[tuple[str, int], str]:
    """For each of these lines, which others have the same value in column `by`."""
    found: dict[tuple[str, int], str] = {}
    for lines in rows.group_by(by, maintain_order=True).agg("line")["line"].to_list():
        for line in lines:
            others = [other for other in lines[: OTHERS_NAMED + 1] if other != line][:OTHERS_NAMED]
            more = " and more" if len(lines) > OTHERS_NAMED + 1 else ""
            found[check, line] = f"{text} {', '.join(map(str, others))}{more}"
    return found
