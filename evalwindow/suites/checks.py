"""What makes a well-formed suite unusable: sizes, names that must exist, leaks, samples that can't be scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from evalwindow.config import Limits
from evalwindow.errors import BadInput, TemplateInvalid, UnknownName
from evalwindow.faults import Fault
from evalwindow.model import Candidate, Tier
from evalwindow.scorers.text import same_text_key
from evalwindow.suites.rows import Row
from evalwindow.suites.suite import Suite
from evalwindow.yamlfile import YamlFile

ALL = "all"  # the slice of every sample


def check_suite(suite: Suite, *, file: YamlFile, rows: Sequence[Row], limits: Limits) -> None:
    """Raises SuiteInvalid: the YAML's faults together, or the first line of the dataset that won't do."""
    faults = suite_faults(suite, limits=limits)
    if faults:
        raise file.refuse(faults)
    _check_prompts(suite, file=file, rows=rows)
    for sample, row in zip(suite.samples, rows, strict=True):
        for scorer in suite.spec.scorers:
            objection = scorer.objection(sample)
            if objection:
                raise row.fault(f"sample {sample.id!r} {objection}")


def suite_faults(suite: Suite, *, limits: Limits) -> list[Fault]:
    """What is wrong with the YAML as a whole, given its samples."""
    return [fault for check in _CHECKS for fault in check(suite)] + list(_over_limit(suite, limits))


def _over_limit(suite: Suite, limits: Limits) -> Iterator[Fault]:
    limit = limits.smoke_prompts if suite.tier is Tier.SMOKE else limits.regression_prompts
    count, epochs = len(suite.samples), suite.spec.epochs
    if count <= limit:
        return
    times = f" ({count * epochs} results with {epochs} epochs)" if epochs > 1 else ""
    advice = "set dataset.limit or leave out samples"
    yield Fault(path=("dataset",), what=f"{count} samples{times}; a {suite.tier} suite may have {limit}: {advice}")


def _labels(suite: Suite) -> Iterator[Fault]:
    labels = suite.spec.labels
    for index, label in enumerate(labels):
        if label in labels[:index]:
            what = f"two scorers are called {label!r}; give one of them another `name`"
            yield Fault(path=("scorers", index), what=what)


def _primary(suite: Suite) -> Iterator[Fault]:
    scorer = suite.spec.policy.scorer
    if scorer is not None and scorer not in suite.spec.labels:
        yield Fault(path=("policy", "scorer"), what=str(UnknownName("scorer", scorer, suite.spec.labels)))


def _choices(suite: Suite) -> Iterator[Fault]:
    choosing = [scorer.needs_choices for scorer in suite.spec.scorers]
    if suite.scores_choices and not all(choosing):
        what = "multiple_choice scores the choices and generates no text, so no other scorer can stand beside it"
        yield Fault(path=("scorers", choosing.index(False)), what=what)
    if suite.scores_choices and suite.spec.prompt.output_schema is not None:
        what = "multiple_choice generates no text that a schema could force"
        yield Fault(path=("prompt", "output_schema"), what=what)


def _slices(suite: Suite) -> Iterator[Fault]:
    policy, known = suite.spec.policy, {tag for sample in suite.samples for tag in sample.slices}
    for key, names in (("blocking", policy.blocking), ("advisory", policy.advisory)):
        for index, name in enumerate(names):
            if name not in known:
                yield Fault(path=("policy", key, index), what=str(UnknownName("slice", name, known)))
            elif Counter(policy.blocking + policy.advisory)[name] > 1:
                yield Fault(path=("policy", key, index), what=f"slice {name!r} is listed more than once")
    for name, floor in policy.floors.items():
        if name not in known | {ALL}:
            yield Fault(path=("policy", "floors", name), what=str(UnknownName("slice", name, known | {ALL})))
        elif not 0 <= floor <= 1:
            yield Fault(path=("policy", "floors", name), what=f"a floor is a mean score from 0 to 1, not {floor}")


def _must_pass(suite: Suite) -> Iterator[Fault]:
    known = {sample.id for sample in suite.samples}
    for index, name in enumerate(suite.spec.must_pass):
        if name not in known:
            yield Fault(path=("must_pass", index), what=_unknown_sample(name, known))


def _unknown_sample(name: str, known: set[str]) -> str:
    """The nearest id; never the list of all of them, which may have hundreds."""
    text = str(UnknownName("sample", name, known))
    return text if "did you mean" in text else f"no sample has the id {name!r}"


def _smoke(suite: Suite) -> Iterator[Fault]:
    if suite.tier is not Tier.SMOKE:
        return
    if suite.spec.epochs > 1:
        yield Fault(
            path=("epochs",), what="a smoke suite has 1 epoch: its tripwire asks failed prompts again by itself"
        )
    tripwire = any(sample.must_pass for sample in suite.samples) or any(each.assertion for each in suite.spec.scorers)
    if not tripwire:
        what = "a smoke suite needs a tripwire: a sample with must_pass: true, or a scorer with assertion: true"
        yield Fault(path=("tier",), what=what)


def _leaks(suite: Suite) -> Iterator[Fault]:
    shots = suite.spec.prompt.few_shots
    known = {same_text_key(sample.input): sample.id for sample in suite.samples} if shots else {}
    for index, shot in enumerate(shots):
        leaked = known.get(same_text_key(shot.input))
        if leaked is not None:
            what = f"is sample {leaked!r} of the dataset, whose answer would leak into the prompt"
            yield Fault(path=("prompt", "few_shots", index, "input"), what=what)


def _check_prompts(suite: Suite, *, file: YamlFile, rows: Sequence[Row]) -> None:
    """Every sample renders; raises SuiteInvalid at the template's line, and says which line of the dataset it was."""
    nobody = Candidate(model="")
    for sample, row in zip(suite.samples, rows, strict=True):
        try:
            suite.render(sample, nobody)
        except TemplateInvalid as invalid:
            raise _at_template(file, invalid, row=row) from None


def _at_template(file: YamlFile, invalid: TemplateInvalid, *, row: Row) -> BadInput:
    return TemplateInvalid(str(file.fault(("prompt", "template"), f"{invalid} ({row.where})")))


_CHECKS: tuple[Callable[[Suite], Iterator[Fault]], ...] = (
    _labels,
    _primary,
    _choices,
    _slices,
    _must_pass,
    _smoke,
    _leaks,
)
