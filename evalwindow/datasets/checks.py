"""The catalogue: what a dataset is checked for, in the words of the report and of the Data Docs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evalwindow.datasets.report import Finding, Severity
from evalwindow.templates import MAX_OUTPUT

VERSION = 1  # count up whenever a check says something else about the same data: kept outcomes are then made anew

ERROR, WARNING = Severity.ERROR, Severity.WARNING


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that is checked."""

    name: str
    severity: Severity
    title: str  # what is expected
    why: str
    complaint: str = ""  # the finding's sentence; {rows} is "1 line", "3 lines"


_ALL = (
    Check(
        name="suite",
        severity=ERROR,
        title="The suite's YAML can be used with this dataset",
        why="A suite that can't be loaded is refused before it costs anything.",
    ),
    Check(
        name="samples",
        severity=ERROR,
        title="There are samples, and no more than a suite of this tier may have",
        why="An empty dataset measures nothing; one over the limit is refused at admission.",
    ),
    Check(
        name="readable",
        severity=ERROR,
        title="Every line is one JSON object of clean UTF-8 text",
        why="Bad JSON, bytes that are no UTF-8, NUL and half surrogate pairs can't be asked, kept or shown.",
        complaint="{rows} can't be read: each must be one JSON object of clean UTF-8 text",
    ),
    Check(
        name="undamaged",
        severity=ERROR,
        title="No text holds U+FFFD",
        why="The replacement character stands where a program once failed to decode: what was there is lost.",
        complaint="{rows} can't be what was meant: U+FFFD stands where text was lost in a wrong encoding",
    ),
    Check(
        name="id",
        severity=ERROR,
        title="Every sample has an id of its own",
        why="Results are kept and compared by id.",
        complaint="{rows} can't be told apart: the id is missing, unusable or used twice",
    ),
    Check(
        name="prompt",
        severity=ERROR,
        title="Every sample asks something",
        why="A prompt that is missing or blank measures nothing.",
        complaint="{rows} would ask nothing: the prompt is missing, blank or no text",
    ),
    Check(
        name="target",
        severity=ERROR,
        title="Every sample has a target that the scorers can use",
        why="A scorer without a target it can read leaves the sample unscored.",
        complaint="{rows} can't be scored: the target is missing or of no use to a scorer",
    ),
    Check(
        name="choices",
        severity=ERROR,
        title="The target is one of the choices",
        why="Where nothing is generated, the right answer must be among those that are compared.",
        complaint="{rows} can't be scored: there must be two choices or more, and the target must be one of them",
    ),
    Check(
        name="schema",
        severity=ERROR,
        title="JSON targets follow the schema that answers must follow",
        why="An answer that follows the schema could never equal such a target.",
        complaint="{rows} can never be right: the target doesn't follow the schema that answers must follow",
    ),
    Check(
        name="columns",
        severity=ERROR,
        title="Slices, choices, must_pass and cluster have the right types",
        why="A tag that can't be read drops its sample from the slice that is judged.",
        complaint="{rows} can't be sorted in: slices, choices, must_pass or cluster must be of another type",
    ),
    Check(
        name="template",
        severity=ERROR,
        title="The prompt's template can be rendered",
        why="A missing variable is an error, never an empty text.",
        complaint="{rows} can't be rendered by the prompt's template",
    ),
    Check(
        name="length",
        severity=ERROR,
        title=f"The prompt has at most {MAX_OUTPUT:,} characters",
        why="Longer ones are not rendered.",
        complaint=f"{{rows}} can't be asked: a prompt may have {MAX_OUTPUT:,} characters",
    ),
    Check(
        name="tokens",
        severity=ERROR,
        title="The rendered prompt and its answer fit the context",
        why="What doesn't fit is cut without a word or refused, depending on the engine.",
        complaint="{rows} can't fit {model}: its context of {context:,} tokens, less {max_tokens:,} for the answer, "
        "has room for {room:,}",
    ),
    Check(
        name="duplicates",
        severity=ERROR,
        title="No prompt is asked twice",
        why="Compared are the rendered prompt and the choices, without case, whitespace and punctuation at the ends. "
        "Twice the same counts twice in every mean and narrows every interval. Samples that share a `cluster` may "
        "repeat: their standard error knows.",
        complaint="{rows} would ask what another line asks, but for case, whitespace or punctuation at the ends; "
        "remove them, or give them one `cluster` if that is meant",
    ),
    Check(
        name="few_shots",
        severity=ERROR,
        title="No prompt is among the few-shot examples",
        why="Its answer stands in every prompt.",
        complaint="{rows} can't measure anything: a few-shot example asks the same, and gives the answer",
    ),
    Check(
        name="slices",
        severity=ERROR,
        title="Every slice that the policy names has samples",
        why="A slice without samples can never be judged.",
    ),
    Check(
        name="slice_size",
        severity=WARNING,
        title="Every slice has the samples that its margin takes",
        why="Below that the gate says inconclusive even if no answer changes: see docs/gates.md.",
    ),
    Check(
        name="drift",
        severity=WARNING,
        title="Prompts are about as long as in the version before",
        why="Two-sample Kolmogorov-Smirnov over lengths in characters. Another mix of prompts is another measurement.",
    ),
)

CATALOGUE: Mapping[str, Check] = {check.name: check for check in _ALL}


def suite_finding(complaint: str, *, folder: Path) -> Finding:
    """One of the loader's complaints, which start with file:line; files are named from the suites' folder."""
    return Finding(check="suite", severity=CATALOGUE["suite"].severity, text=complaint.replace(f"{folder}/", ""))
