"""The alias of a model's version in a real MLflow registry."""

import pytest

from evalwindow import registry
from evalwindow.errors import BadInput, ServiceDown


def test_an_alias_moves_and_the_version_says_why(mlflow):
    registry.point(mlflow.entry("1"), {"evalwindow.run": "r1"})
    assert (mlflow.alias(), registry.pointed(mlflow.entry())) == ("1", "1")
    registry.point(mlflow.entry("2"), {"evalwindow.run": "r2"})
    assert (mlflow.alias(), registry.pointed(mlflow.entry())) == ("2", "2")
    assert (mlflow.tags("1"), mlflow.tags("2")) == ({"evalwindow.run": "r1"}, {"evalwindow.run": "r2"})


def test_setting_it_again_changes_nothing(mlflow):
    for _ in range(2):
        registry.point(mlflow.entry("2"), {"evalwindow.run": "r2"})
    assert mlflow.alias() == "2"
    assert mlflow.tags("2") == {"evalwindow.run": "r2"}


def test_aliases_are_told_apart_and_one_that_nobody_set_is_none(mlflow):
    registry.point(mlflow.entry("2", alias="canary"), {})
    assert registry.pointed(mlflow.entry(alias="canary")) == "2"
    assert registry.pointed(mlflow.entry()) is None


@pytest.mark.parametrize(
    "change, complaint",
    [
        ({"version": "9"}, "version 9 of 'support' in the registry at sqlite:///"),
        ({"name": "suport"}, "version 1 of 'suport' in the registry at sqlite:///"),
    ],
)
def test_what_the_registry_does_not_have_is_named(mlflow, change, complaint):
    entry = mlflow.entry(**change)
    for call in (registry.check, lambda entry: registry.point(entry, {"k": "v"})):
        with pytest.raises(BadInput, match="not found; set `registry` of the model in") as caught:
            call(entry)
        assert str(caught.value).startswith(complaint)
    registry.check(mlflow.entry("3"))


def test_an_alias_that_mlflow_keeps_for_itself_is_refused(mlflow):
    with pytest.raises(BadInput, match="latest"):
        registry.point(mlflow.entry(alias="latest"), {})
    assert mlflow.alias("latest") is None


def test_a_registry_that_is_away_is_named_without_its_password(mlflow):
    away = mlflow.entry(tracking_uri="http://me:secret@127.0.0.1:1/mlflow")
    with pytest.raises(ServiceDown, match=r"MLflow at http://127\.0\.0\.1:1/mlflow .*refused") as caught:
        registry.check(away)
    assert "secret" not in str(caught.value)
    assert "registry` of the model in evalwindow.yaml" in str(caught.value)


def test_a_registry_that_breaks_down_is_no_fault_of_the_config(mlflow):
    mlflow.breaks("disk full")
    with pytest.raises(ServiceDown, match="disk full"):
        registry.point(mlflow.entry(), {})
    mlflow.mended()
    registry.point(mlflow.entry(), {})
    assert mlflow.alias() == "1"
