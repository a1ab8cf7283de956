import datetime as dt

import pytest

from evalwindow.errors import Conflict, NotFound
from evalwindow.store.rows import Scope

DAY = dt.timedelta(days=1)


def _now():
    return dt.datetime.now(dt.UTC)


def _id(token):
    return token.split("_")[1]


def test_a_token_opens_its_teams_door(store):
    red, blue = store.add_token("red"), store.add_token("blue")
    assert (store.bearer(red).team, store.bearer(blue).team) == ("red", "blue")
    assert red.startswith("ew_")


@pytest.mark.parametrize("change", [lambda t: t[:-1], lambda t: t + "0", lambda t: t.upper(), lambda t: t[3:]])
def test_a_token_that_is_a_little_wrong_opens_nothing(store, change):
    assert store.bearer(change(store.add_token("red"))) is None


@pytest.mark.parametrize("token", ["", "ew", "ew__", "nonsense", "ew_\x00_\ud800", "ew_a_b_c"])
def test_nonsense_opens_nothing(store, token):
    assert store.bearer(token) is None


def test_one_tokens_secret_does_not_fit_another_ones_id(store):
    first, second = (store.add_token("red").split("_") for _ in range(2))
    assert store.bearer(f"ew_{first[1]}_{second[2]}") is None


def test_a_revoked_token_opens_nothing_and_stays_listed(store):
    token = store.add_token("red")
    token_id = token.split("_")[1]
    store.revoke_token(token_id)
    store.revoke_token(token_id)
    assert store.bearer(token) is None
    [row] = store.tokens("red")
    assert row.id == token_id
    assert row.revoked_at is not None
    assert store.tokens("blue") == []


def test_revoking_an_unknown_token_is_not_found(store):
    with pytest.raises(NotFound, match="token 'nope'"):
        store.revoke_token("nope")


def test_the_secret_is_nowhere_in_the_database(world):
    secret = world.store.add_token("red").split("_")[2]
    with world.store._transaction() as connection:
        kept = connection.exec_driver_sql("SELECT * FROM team_token").all()
    assert secret not in repr(kept)


def test_a_token_carries_its_scopes(store):
    assert store.bearer(store.add_token("red")).scopes == {Scope.SUBMIT, Scope.PROMOTE}
    assert store.bearer(store.add_token("red", scopes=[Scope.READ])).scopes == {Scope.READ}


def test_a_token_opens_nothing_past_its_end(store):
    assert store.bearer(store.add_token("red", expires_at=_now() - DAY)) is None
    assert store.bearer(store.add_token("red", expires_at=_now() + DAY)).team == "red"


def test_while_a_rotated_token_has_its_grace_both_work(store):
    old = store.add_token("red", scopes=[Scope.SUBMIT])
    new = store.rotate_token(_id(old), grace=DAY)
    assert store.bearer(old).replaced_by == _id(new)
    assert store.bearer(new).scopes == {Scope.SUBMIT}
    assert store.bearer(new).expires_at is None
    store.rotate_token(_id(new), grace=dt.timedelta(0))
    assert store.bearer(new) is None


def test_a_grace_never_lengthens_a_life_and_the_new_token_lives_as_long_as_the_old_one_was_to(store):
    old = store.add_token("red", expires_at=_now() + DAY)
    end = store.bearer(old).expires_at
    new = store.rotate_token(_id(old), grace=30 * DAY)
    assert store.bearer(old).expires_at == end
    assert abs(store.bearer(new).expires_at - _now() - DAY) < DAY / 2


@pytest.mark.parametrize("end", ["expired", "revoked"])
def test_what_has_ended_is_not_rotated_back_to_life(store, end):
    token = store.add_token("red", expires_at=_now() - DAY if end == "expired" else None)
    if end == "revoked":
        store.revoke_token(_id(token))
    with pytest.raises(Conflict, match="has ended"):
        store.rotate_token(_id(token), grace=DAY)
    with pytest.raises(NotFound):
        store.rotate_token("nope", grace=DAY)


def test_the_last_use_is_kept_and_a_wrong_secret_is_no_use(store):
    token = store.add_token("red")
    store.bearer(token[:-1] + ("0" if token[-1] != "0" else "1"))
    assert store.tokens("red")[0].last_used_at is None
    store.bearer(token)
    first = store.tokens("red")[0].last_used_at
    store.bearer(token)
    assert first is not None
    assert store.tokens("red")[0].last_used_at == first  # at most once a minute


def test_a_token_from_before_scopes_may_what_it_could(world):
    token = world.store.add_token("red", scopes=[Scope.READ])
    with world.store._transaction() as connection:
        connection.exec_driver_sql("UPDATE team_token SET scopes = DEFAULT")
    assert world.store.bearer(token).scopes == {Scope.SUBMIT, Scope.PROMOTE}
