"""What a suite demands of a candidate before the gate says pass. See docs/gates.md."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from evalwindow.document import Document


class Promotion(StrEnum):
    """What becomes of a run that passed in a night."""

    NEVER = "never"
    APPROVAL = "approval"
    AUTOMATIC = "automatic"


class SmokePolicy(Document):
    """Wald's sequential probability ratio test behind the tripwire."""

    red_at: int = Field(2, ge=1, description="this many failed must-pass prompts are a FAIL at once")
    p0: float = Field(0.98, gt=0, lt=1, description="pass rate of a healthy must-pass prompt")
    p1: float = Field(0.80, gt=0, lt=1, description="pass rate of a broken one")
    alpha: float = Field(0.05, gt=0, lt=1, description="false alarm rate of the re-asks")
    beta: float = Field(0.15, gt=0, lt=1, description="miss rate of the re-asks")
    max_calls: int = Field(30, ge=1, description="re-asks of a prompt at most; undecided then is INCONCLUSIVE")


class Policy(Document):
    """The gate's settings of one suite."""

    scorer: str | None = Field(None, description="the scorer that is judged; default: the suite's first")
    margin: float = Field(0.03, gt=0, lt=1, description="largest drop of the mean score that is tolerated, 0..1")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="of each one-sided bound")
    blocking: tuple[str, ...] = Field(
        (), description="slices judged on their own that can fail the gate (Holm over them)"
    )
    advisory: tuple[str, ...] = Field((), description="slices reported on their own (Benjamini-Hochberg over them)")
    slice_margin: float | None = Field(None, gt=0, lt=1, description="margin for slices; default: margin")
    floors: dict[str, float] = Field({}, description="slice (or 'all') -> least mean score, 0..1")
    max_unscored: float = Field(
        0.02, ge=0, lt=1, description="share of unscored results above which nothing is concluded"
    )
    pass_at: float = Field(1.0, gt=0, le=1, description="smoke: a score below this is a failed prompt")
    smoke: SmokePolicy = SmokePolicy()
    promotion: Promotion = Field(
        Promotion.NEVER, description="a night's passed run becomes the baseline: never, after approval, or automatic"
    )
