"""One Settings, read once from the environment, loud about a bad key."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from evalwindow.errors import ConfigInvalid

PREFIX = "EVALWINDOW_"
CLIENTS_OWN = ("url", "token")  # EVALWINDOW_URL and EVALWINDOW_TOKEN: read by the commands that talk to a server


class Settings(BaseSettings):
    """Where things are and which secrets open them; each field is EVALWINDOW_<NAME> in the environment."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    database_url: str = Field("", description="postgresql+psycopg://...; empty: embedded server under home")
    redis_url: str = Field("", description="redis://...; empty: embedded server under home")
    config: Path = Field(Path("evalwindow.yaml"), description="teams, models, pools, lanes, limits")
    home: Path = Field(Path("var"), description="sockets, reports, materialised adapters, embedded servers")
    host: str = "127.0.0.1"
    port: int = Field(8800, ge=0, le=65535)
    public_url: str = Field("", description="what links in checks and comments start with; empty: http://host:port")
    webhook_secret: SecretStr = SecretStr("")
    github_api_url: str = "https://api.github.com"
    github_token: SecretStr = SecretStr("")
    github_app_id: str = ""
    github_private_key: SecretStr = SecretStr("")
    lease_s: float = Field(20.0, gt=0, description="a shard whose lease is this old is given to somebody else")
    engine_patience_s: float = Field(180.0, gt=0, description="a prompt waits so long for an engine that restarts")
    max_attempts: int = Field(5, ge=1, description="a shard that was claimed this often without finishing has failed")
    poll_s: float = Field(0.25, gt=0, description="pause of the dispatcher between two rounds")
    log_level: str = "INFO"

    @property
    def base_url(self) -> str:
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment; raises ConfigInvalid that names the variable."""
    source = os.environ if environ is None else environ
    fields = {name[len(PREFIX) :].lower(): value for name, value in source.items() if name.startswith(PREFIX)}
    fields = {name: value for name, value in fields.items() if name not in CLIENTS_OWN}
    for name in fields:
        if name not in Settings.model_fields:
            close = difflib.get_close_matches(name, Settings.model_fields, n=1)
            hint = f"; did you mean {PREFIX}{close[0].upper()}?" if close else ""
            raise ConfigInvalid(f"unknown environment variable {PREFIX}{name.upper()}{hint}")
    try:
        return Settings(**fields)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = PREFIX + str(first["loc"][0]).upper()
        raise ConfigInvalid(f"environment variable {name}={first['input']!r}: {first['msg']}") from error
