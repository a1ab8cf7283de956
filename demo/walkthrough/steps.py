"""The tour's parts but the night: a baseline, two pull requests, real problems, the cache."""

from __future__ import annotations

from demo.walkthrough.ledger import Ledger, right_share
from demo.walkthrough.pulls import Pull, Told, open_pull, pull_with_adapter
from demo.walkthrough.screen import Moved, bar, say
from demo.walkthrough.stage import Stage
from evalwindow.model import Answer, Check
from evalwindow.report.document import RunDocument, SampleDocument
from evalwindow.report.words import counted, interval, percent, points, seconds
from evalwindow.web.documents import Progress

REGRESSION, SMOKE, REAL = "demo-regression", "demo-smoke", "gsm8k"
LONGEST_S = 300.0
SHOWN_FAILURES = 3
STYLES = {Answer.PASS: "green", Answer.FAIL: "red", Answer.INCONCLUSIVE: "yellow"}


async def make_baseline(stage: Stage, ledger: Ledger) -> None:
    """Run the production model over the regression suite and promote the run."""
    with bar("500 prompts of seven skills go to the model that is in production today") as moved:
        run = await run_suite(stage, suite=REGRESSION, model="demo", moved=moved)
    ledger.add("the production model", run, expected=Answer.INCONCLUSIVE)
    say(f"{right_share(run)} right in {_took(run)}. There is nothing to compare it with yet, and an absent baseline")
    say("is never a pass: INCONCLUSIVE. A person promotes it, with a reason:")
    made = await stage.client.promote({"run": run.id, "by": "release-owner", "reason": "what production answers today"})
    say(f"baseline of {made.suite} on {made.branch}: run {made.run}, by {made.promoted_by}", style="green")


async def judge_pulls(stage: Stage, ledger: Ledger) -> None:
    """A good and a broken pull request, from the signed webhook to the check on GitHub."""
    good = pull_with_adapter(1, "retrained, as good as before", ledger.adapter("demo-as-good"))
    broken = pull_with_adapter(2, "retrained, forgot how to sort", ledger.adapter("demo-lost-sort"))
    say("Each pull request brings a LoRA adapter and a .evalwindow.yaml that asks for 10 smoke prompts. GitHub's")
    say("webhook is signed; the adapter is served on the warm base model, nothing is loaded anew.")
    for pull, expected in ((good, Answer.PASS), (broken, Answer.FAIL)):
        told = await open_pull(stage, pull)
        run = await stage.client.run(told.check["external_id"])
        ledger.add(f"pull request #{pull.number}", run, expected=expected)
        _say_told(stage, pull, told, run)
        await _say_failures(stage, run)


async def solve_real_problems(stage: Stage, ledger: Ledger) -> None:
    """GSM8K through the same way."""
    say("500 grade-school problems of GSM8K's test split (MIT). Real text, few-shots, long prompts, answer extraction.")
    say("The tiny model was never taught any of this and will know nothing; what is shown is the way, not the score.")
    with bar("500 problems") as moved:
        run = await run_suite(stage, suite=REAL, model="demo", moved=moved)
    ledger.add("500 real problems", run, expected=Answer.INCONCLUSIVE)
    summary = run.summary
    tokens = summary.prompt_tokens if summary else 0
    say(f"{right_share(run)} right in {_took(run)}, {tokens:,} prompt tokens. No baseline: {word_of(run)}.")


async def ask_again(stage: Stage, ledger: Ledger) -> None:
    """A resubmission is answered by the cache."""
    run = await run_suite(stage, suite=REGRESSION, model="demo-as-good")
    ledger.add("the same again", run, expected=Answer.PASS)
    if run.summary:
        known = f"{run.summary.cache_hits} of {run.summary.results} answers were known"
        say(f"demo-as-good once more: {known}, {run.summary.gpu_s:.1f} GPU-seconds, verdict in {_took(run)}.")


async def run_suite(stage: Stage, *, suite: str, model: str, moved: Moved | None = None) -> RunDocument:
    """Submit by the run API and wait for the verdict, as a CI job does."""
    accepted = await stage.client.submit({"suite": suite, "candidate": {"model": model}})

    def seen(run: RunDocument, progress: Progress) -> None:
        if moved is not None:
            moved(progress.done, progress.total)

    return await stage.client.wait(accepted.id, timeout_s=LONGEST_S, seen=seen)


def _say_told(stage: Stage, pull: Pull, told: Told, run: RunDocument) -> None:
    conclusion = told.check["conclusion"]
    mark = {"success": "✔", "failure": "✘"}.get(conclusion, "?")
    comments = sum(comment["number"] == pull.number for comment in stage.github.comments)
    told_of = f"{mark} check {conclusion}, {seconds(told.seconds)} after the webhook, {counted(comments, 'comment')}"
    say(f"#{pull.number} {pull.title!r}: {told_of}", style=style_of(run))
    say(f"   {told.check['output']['title']}")


async def _say_failures(stage: Stage, run: RunDocument) -> None:
    failing = (await stage.client.samples(run.id, failing=True)).samples
    for sample in failing[:SHOWN_FAILURES]:
        say(f"   {sample.id}: asked {_short(sample.prompt[-1].content)}")
        say(f"   {'':{len(sample.id)}}  wanted {_short(sample.target)}, got {_short(_output(sample))}")
    if len(failing) > SHOWN_FAILURES:
        say(f"   and {len(failing) - SHOWN_FAILURES} more, in the check and on the page")


def say_checks(run: RunDocument) -> None:
    """What decided, with its numbers; the whole suite where nothing failed."""
    checks = run.verdict.checks if run.verdict else ()
    paired = [check for check in checks if check.kind == "paired"]
    failed = [check for check in paired if check.answer is Answer.FAIL and check.blocking]
    for check in failed or paired[:1]:
        say(f"   {_measured(check)}")
    if run.verdict and run.answer is Answer.PASS:
        say(f"   {run.verdict.power}")


def _measured(check: Check) -> str:
    margin = f"{check.margin * 100:g}" if check.margin is not None else "–"
    return (
        f"{check.slice}: {percent(check.baseline)} -> {percent(check.candidate)}, that is {points(check.delta)} points "
        f"({interval(check)}) where {margin} are tolerated"
    )


def _output(sample: SampleDocument) -> str:
    return (sample.answers[0].output or "nothing") if sample.answers else "nothing"


def _short(text: str, most: int = 60) -> str:
    flat = " ".join(text.split())
    return repr(flat if len(flat) <= most else f"{flat[:most]}…")


def word_of(run: RunDocument) -> str:
    return (run.answer or run.state).upper()


def style_of(run: RunDocument) -> str:
    return STYLES[run.answer] if run.answer else "yellow"


def _took(run: RunDocument) -> str:
    return seconds((run.concluded_at - run.created_at).total_seconds() if run.concluded_at else None)
