"""Who is told about a night, and of which of its entries. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from evalwindow.config import MailTo
from evalwindow.report.night import NightLine, NightView

VERDICTS = ("PASS", "FAIL", "INCONCLUSIVE")


def recipients(view: NightView) -> Mapping[str, tuple[NightLine, ...]]:
    """Address -> what it is told of, in the view's order; who is told of nothing is left out.

    An address in several entries of the window's `mail` gets what any of them wants, once; upper and lower case are
    the same address, spelled as it came first.
    """
    rules = rules_of(view)
    told = {
        address: tuple(line for line in view.lines if any(wants(rule, line) for rule in mine))
        for address, mine in rules.items()
    }
    return {address: lines for address, lines in told.items() if lines}


def rules_of(view: NightView) -> Mapping[str, tuple[MailTo, ...]]:
    """Address -> the entries of the window's `mail` that name it."""
    spelled: dict[str, str] = {}
    rules: dict[str, list[MailTo]] = defaultdict(list)
    for rule in view.window.mail if view.window else ():
        for address in dict.fromkeys(rule.to):
            rules[spelled.setdefault(address.casefold(), address)].append(rule)
    return {address: tuple(mine) for address, mine in rules.items()}


def wants(rule: MailTo, line: NightLine) -> bool:
    """What decided nothing is no pass and always news: it is wanted by `failure` and by `change`."""
    if rule.suites and line.entry.suite not in rule.suites:
        return False
    if rule.when == "failure":
        return line.word != "PASS"
    return rule.when == "always" or line.changed or line.word not in VERDICTS
