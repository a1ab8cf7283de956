import pytest

from evalwindow.channels import ATTEMPTS, LONGEST_PAUSE_S, MAIL_ATTEMPTS, again_in_s
from evalwindow.errors import GitHubRefused, GitHubUnavailable, MailRefused, MailUnavailable

AWAY, REFUSED = MailUnavailable("away"), MailRefused("no such user")


def _pauses(error, attempts):
    return [again_in_s(attempt, error) for attempt in range(1, attempts)]


@pytest.mark.parametrize(
    "error, attempts", [(GitHubRefused("no", status=404), ATTEMPTS), (REFUSED, ATTEMPTS), (AWAY, MAIL_ATTEMPTS)]
)
def test_pauses_between_attempts_grow_and_end(error, attempts):
    pauses = _pauses(error, attempts)
    assert pauses == sorted(pauses)
    assert pauses[0] < 10
    assert pauses[-1] <= LONGEST_PAUSE_S + 1
    assert again_in_s(attempts, error) is None


def test_a_mail_server_may_be_away_for_a_long_weekend():
    days = sum(_pauses(AWAY, MAIL_ATTEMPTS)) / 86_400
    assert 4 < days < 6


def test_who_asks_for_a_longer_pause_gets_it():
    error = GitHubUnavailable("rate limit", retry_after=3 * LONGEST_PAUSE_S)
    assert min(_pauses(error, ATTEMPTS)) > 2 * LONGEST_PAUSE_S
