import pytest

from evalwindow.errors import NotFound


def test_a_token_opens_its_teams_door(store):
    red, blue = store.add_token("red"), store.add_token("blue")
    assert (store.team_of_token(red), store.team_of_token(blue)) == ("red", "blue")
    assert red.startswith("ew_")


@pytest.mark.parametrize("change", [lambda t: t[:-1], lambda t: t + "0", lambda t: t.upper(), lambda t: t[3:]])
def test_a_token_that_is_a_little_wrong_opens_nothing(store, change):
    assert store.team_of_token(change(store.add_token("red"))) is None


@pytest.mark.parametrize("token", ["", "ew", "ew__", "nonsense", "ew_\x00_\ud800", "ew_a_b_c"])
def test_nonsense_opens_nothing(store, token):
    assert store.team_of_token(token) is None


def test_one_tokens_secret_does_not_fit_another_ones_id(store):
    first, second = (store.add_token("red").split("_") for _ in range(2))
    assert store.team_of_token(f"ew_{first[1]}_{second[2]}") is None


def test_a_revoked_token_opens_nothing_and_stays_listed(store):
    token = store.add_token("red")
    token_id = token.split("_")[1]
    store.revoke_token(token_id)
    store.revoke_token(token_id)
    assert store.team_of_token(token) is None
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
