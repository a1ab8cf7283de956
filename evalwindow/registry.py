"""The MLflow registry: which version of a model carries an alias. MLflow is imported where it is needed: it takes 2 s.

MLflow knows no compare-and-set: whoever moves an alias holds `Store.alias_lock` meanwhile. Its own variables
(MLFLOW_TRACKING_TOKEN, MLFLOW_TRACKING_USERNAME ...) open a registry that asks for a login.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from evalwindow.config import Registered
from evalwindow.errors import BadInput, ServiceDown

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: Somebody waits for the answer: with MLflow's own 7 retries of 120 s it would never come. What is set already stays.
PATIENCE = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
MISSING = "RESOURCE_DOES_NOT_EXIST"
REFUSALS = (MISSING, "INVALID_PARAMETER_VALUE", "PERMISSION_DENIED", "UNAUTHENTICATED")


def check(registered: Registered) -> None:
    """Raises BadInput when the registry has no such version, ServiceDown when it is away."""
    with _client(registered) as client:
        client.get_model_version(registered.name, registered.version)


def point(registered: Registered, tags: Mapping[str, str]) -> None:
    """Move the alias to the version and write on the version why. Again changes nothing. Raises as `check`."""
    with _client(registered) as client:
        for key, value in tags.items():
            client.set_model_version_tag(registered.name, registered.version, key, value)
        client.set_registered_model_alias(registered.name, registered.alias, registered.version)


def pointed(registered: Registered) -> str | None:
    """The version that the alias is on; None: on none. Raises as `check`."""
    with _client(registered) as client:
        version = client.get_registered_model(registered.name).aliases.get(registered.alias)
    return None if version is None else str(version)  # a database gives a number, a server a text


@contextmanager
def _client(registered: Registered) -> Iterator[MlflowClient]:
    """MLflow's client; what it raises inside the block becomes an error of ours."""
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        reason, advice = "mlflow is not installed here", "pip install 'evalwindow[registry]'"
        raise ServiceDown(service="MLflow", host=place(registered), reason=reason, advice=advice) from error
    uri = registered.tracking_uri
    try:
        yield MlflowClient(tracking_uri=uri, registry_uri=uri)
    except MlflowException as error:
        reason = " ".join(str(error).replace(uri, place(registered)).split())[:500]
        if error.error_code in REFUSALS:
            what = f"version {registered.version} of {registered.name!r} in the registry at {place(registered)}"
            raise BadInput(f"{what}: {reason}; set `registry` of the model in evalwindow.yaml right") from error
        advice = "start it, or set `registry` of the model in evalwindow.yaml right"
        raise ServiceDown(service="MLflow", host=place(registered), reason=reason, advice=advice) from error


def place(registered: Registered) -> str:
    """Where the registry is, without its password."""
    parts = urlsplit(registered.tracking_uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
