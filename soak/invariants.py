"""What has to be true once the dust has settled, whatever was killed before: counted, with the ids of what is wrong.

Looks at the database and at what others received: the stand-in for GitHub, a mail server, whoever submitted.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from email.message import EmailMessage
from typing import Any

from sqlalchemy import Connection, text

from demo.github_standin import Standin
from evalwindow.model import Answer, RunState
from evalwindow.report.comment import MARKER
from evalwindow.store import Store
from soak import questions

CLOSE = 1e-6  # sums of the same floats in another order
POLL_S = 0.1
SHOWN = 5  # of the ids of what is wrong, in words


@dataclass(frozen=True, kw_only=True)
class Received:
    """What others know: what was promised to them, and what they were told."""

    github: Standin | None = None  # None: nobody was there to be told
    mails: Sequence[EmailMessage] | None = None
    deliveries: Iterable[str] = ()  # ids of webhook deliveries that the web app took and that ask for runs
    runs: Iterable[str] = ()  # ids of runs that the API admitted


@dataclass(frozen=True, kw_only=True)
class Broken:
    """What is wrong, in words with ids. Nothing of it may be."""

    lost: tuple[str, ...] = ()  # a sample without a result, a run that broke down, an event that came to nothing
    duplicated: tuple[str, ...] = ()  # a sample in two shards, a result that no shard asked for
    stuck: tuple[str, ...] = ()  # not final
    concluded_twice: tuple[str, ...] = ()
    told_twice: tuple[str, ...] = ()  # two checks, comments or mails about one thing
    untold: tuple[str, ...] = ()  # nothing, or not the truth
    miscounted: tuple[str, ...] = ()  # GPU-seconds, money, results or runs that don't add up

    @property
    def counts(self) -> dict[str, int]:
        return {field.name: len(getattr(self, field.name)) for field in fields(self)}

    def __bool__(self) -> bool:
        return any(self.counts.values())

    def __str__(self) -> str:
        lines = [f"{name}: {_words(getattr(self, name))}" for name, count in self.counts.items() if count]
        return "\n".join(lines) or "nothing is wrong"


def watch(url: str) -> None:
    """Let PostgreSQL itself write down every end of a run, so that a second one can't hide. Again is harmless."""
    with _connection(url) as connection:
        for statement in questions.WATCH:
            connection.execute(text(statement))


def settle(url: str, *, seconds: float) -> tuple[str, ...]:
    """Wait until nothing is under way, and for so long at most; what still is then. PostgreSQL may be away meanwhile.

    Raises ServiceDown when it is at the end.
    """
    end = time.monotonic() + seconds
    store = Store(url)
    try:
        while True:
            late = time.monotonic() > end
            try:
                under_way = _under_way(store)
            except Exception:  # it is being started again
                if late:
                    raise
                under_way = ("PostgreSQL is away",)
            if late or not under_way:
                return under_way
            time.sleep(POLL_S)
    finally:
        store.close()


def check(url: str, received: Received = Received()) -> Broken:
    """Count what is wrong. Ask when nothing is under way any more: what is, counts as stuck."""
    with _connection(url) as connection:
        mailed = _two_mails(received.mails or ())
        checked = _check_runs(connection, received.github) if received.github else ()
        commented = _comments(connection, received.github) if received.github else ()
        twice = (*_two_checks(received.github), *_two_comments(received.github)) if received.github else ()
        return Broken(
            lost=(*_lost_results(connection), *_rows(connection, questions.LOST), *_promised(connection, received)),
            duplicated=(*_rows(connection, questions.TWICE), *_unasked(connection)),
            stuck=_rows(connection, questions.UNDER_WAY),
            concluded_twice=_concluded_twice(connection),
            told_twice=(*twice, *mailed),
            untold=(*_rows(connection, questions.UNTOLD), *checked, *commented, *_unsent(connection, received.mails)),
            miscounted=tuple(_miscounted(connection)),
        )


def repeated_mails(mails: Iterable[EmailMessage]) -> tuple[str, ...]:
    """Mails that were handed in again under the same Message-ID: programs show them once.

    A server that took a mail and died before it said so can't be told from one that didn't take it.
    """
    seen: defaultdict[str, int] = defaultdict(int)
    for mail in mails:
        seen[f"{mail['Message-ID']} to {mail['To']}"] += 1
    return tuple(f"{key} {times} times" for key, times in seen.items() if times > 1)


@contextmanager
def _connection(url: str) -> Iterator[Connection]:
    """One transaction on a connection of its own."""
    store = Store(url)
    try:
        with store._transaction() as connection:
            yield connection
    finally:
        store.close()


def _under_way(store: Store) -> tuple[str, ...]:
    with store._transaction() as connection:
        return _rows(connection, questions.UNDER_WAY)


def _rows(connection: Connection, statements: Sequence[str], **values: Any) -> tuple[str, ...]:
    return tuple(found for statement in statements for found in connection.scalars(text(statement), values))


def _epochs(connection: Connection) -> dict[str, Any]:
    """How often each suite asks; as two columns."""
    known = {row.digest: row.document["spec"].get("epochs", 1) for row in connection.execute(text(questions.SUITES))}
    return {"digests": list(known), "epochs": list(known.values())}


def _lost_results(connection: Connection) -> tuple[str, ...]:
    return _rows(connection, (questions.NO_RESULT,), **_epochs(connection))


def _unasked(connection: Connection) -> tuple[str, ...]:
    return _rows(connection, (questions.UNASKED,), **_epochs(connection))


def _promised(connection: Connection, received: Received) -> Iterator[str]:
    """What was taken from somebody and isn't there."""
    events = {row.delivery: row for row in connection.execute(text("SELECT delivery, state, error FROM event"))}
    runs = set(connection.scalars(text("SELECT id FROM run")))
    yield from (f"webhook delivery {each}: taken, and not there" for each in received.deliveries if each not in events)
    refused = [each for each in received.deliveries if each in events and events[each].state == "refused"]
    yield from (f"webhook delivery {each}: taken, and refused: {events[each].error}" for each in refused)
    yield from (f"run {each}: admitted, and not there" for each in received.runs if each not in runs)


def _concluded_twice(connection: Connection) -> tuple[str, ...]:
    watched = connection.scalar(text("SELECT to_regclass('soak.ending') IS NOT NULL"))
    return _rows(connection, (questions.ENDED_TWICE,)) if watched else ()


def _miscounted(connection: Connection) -> Iterator[str]:
    for row in connection.execute(text(questions.USAGE)):
        for name in ("gpu_s", "cost", "results", "runs"):
            booked, found = getattr(row, name), getattr(row, f"{name}_found")
            if not _same(booked, found):
                yield f"team {row.team}: {name} booked {booked}, in its runs {found}"
    for row in connection.execute(text(questions.SUMMARIES)):
        if row.results != row.results_found or not _same(row.gpu_s, row.gpu_s_found):
            said, found = f"{row.results} results, {row.gpu_s} s", f"{row.results_found}, {row.gpu_s_found} s"
            yield f"run {row.id}: its summary says {said}; its rows {found}"
    for row in connection.execute(text(questions.ENGINES)):
        if row.used_s > row.busy_s + CLOSE or (not row.in_flight and not _same(row.busy_s, row.used_s)):
            parts = f"its lanes and losses make {row.used_s} s"
            yield f"engine {row.worker} of {row.pool}: busy for {row.busy_s} s, {parts}"


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= CLOSE * max(1.0, abs(one), abs(other))


def _check_runs(connection: Connection, github: Standin) -> Iterator[str]:
    """Every final run has a check with its answer."""
    said = {check["external_id"]: check for check in github.check_runs}
    for row in connection.execute(text(questions.ANSWERS)):
        check, right = said.get(row.id), _conclusion(row.state, row.answer)
        if check is None and _has_status(github, row.head_sha, f"evalwindow/{row.suite}"):
            continue  # of a token that may not write checks
        if check is None:
            yield f"run {row.id}: {row.state}, and no check says so"
        elif check.get("conclusion") != right:
            yield f"run {row.id}: its check says {check.get('conclusion')!r}, right is {right!r}"


def _has_status(github: Standin, sha: str, context: str) -> bool:
    last = [status for status in github.statuses if (status["sha"], status["context"]) == (sha, context)][-1:]
    return any(status["state"] != "pending" for status in last)


def _conclusion(state: str, answer: str | None) -> str:
    """The words of GitHub, spelt out here once more: this is what tells whether evalwindow's own are right."""
    if state == RunState.CONCLUDED:
        of_answer = {Answer.PASS: "success", Answer.FAIL: "failure", Answer.INCONCLUSIVE: "action_required"}
        return of_answer[Answer(str(answer))]
    return "failure" if state == RunState.FAILED else "cancelled"


def _comments(connection: Connection, github: Standin) -> Iterator[str]:
    """Every pull request's comment tells of its newest commit, once a run of that is concluded."""
    bodies = {(comment["repo"], comment["number"]): comment["body"] for comment in _ours(github)}
    for row in connection.execute(text(questions.NEWEST)):
        place = f"{row.repo}#{row.pull_request}"
        body = bodies.get((row.repo, row.pull_request))
        if body is None:
            yield f"{place}: no comment tells of run {row.id}"
        elif row.head_sha[:10] not in body:
            yield f"{place}: its comment doesn't tell of the newest commit {row.head_sha[:10]}"


def _ours(github: Standin) -> list[Mapping[str, Any]]:
    return [comment for comment in github.comments if comment["body"].startswith(MARKER)]


def _two_checks(github: Standin) -> tuple[str, ...]:
    keys = ("repo", "head_sha", "name", "external_id")
    return _twice("checks", (tuple(check.get(key) for key in keys) for check in github.check_runs))


def _two_comments(github: Standin) -> tuple[str, ...]:
    return _twice("comments", ((comment["repo"], comment["number"]) for comment in _ours(github)))


def _two_mails(mails: Iterable[EmailMessage]) -> tuple[str, ...]:
    """Different mails to one address about one night. One about a breaker is of an event of its own."""
    of_nights = [mail for mail in mails if mail["X-Evalwindow-Night"]]
    known = {(str(mail["X-Evalwindow-Night"]), str(mail["To"]), str(mail["Message-ID"])) for mail in of_nights}
    return _twice("mails", ((night, to) for night, to, _ in known))


def _unsent(connection: Connection, mails: Sequence[EmailMessage] | None) -> Iterator[str]:
    """What counts as mailed was received."""
    if mails is None:
        return
    known = {str(mail["Message-ID"]) for mail in mails}
    for row in connection.execute(text(questions.MAILED)):
        if row.external_id not in known:
            yield f"delivery {row.id}: sent as {row.external_id}, and nobody received it"


def _twice(what: str, keys: Iterable[tuple[Any, ...]]) -> tuple[str, ...]:
    times: defaultdict[tuple[Any, ...], int] = defaultdict(int)
    for key in keys:
        times[key] += 1
    return tuple(f"{count} {what} at {' '.join(map(str, key))}" for key, count in times.items() if count > 1)


def _words(found: Sequence[str]) -> str:
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"{len(found)} ({'; '.join(found[:SHOWN])}{more})"
