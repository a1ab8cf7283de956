"""One Settings, read once from the environment, loud about a bad key."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from evalwindow.errors import ConfigInvalid
from evalwindow.mailbox import mailbox
from evalwindow.smtp_url import SmtpUrl, parse_smtp_url

PREFIX = "EVALWINDOW_"
CLIENTS_OWN = ("url", "token")  # EVALWINDOW_URL and EVALWINDOW_TOKEN: read by the commands that talk to a server


class Settings(BaseSettings):
    """Where things are and which secrets open them; each field is EVALWINDOW_<NAME> in the environment."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    database_url: str = Field("", repr=False, description="postgresql+psycopg://...; empty: embedded server under home")
    redis_url: str = Field("", repr=False, description="redis://...; empty: embedded server under home")
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
    airflow_database_url: str = Field(
        "",
        repr=False,
        description="postgresql+psycopg://... of Airflow's own tables; empty: a database beside the embedded one",
    )
    airflow_port: int = Field(8080, ge=0, le=65535, description="of Airflow's UI and API on the loopback interface")
    smtp_url: SecretStr = Field(
        SecretStr(""),
        description="smtp://[user:password@]host[:port][?starttls=required|never][&ca=FILE] or smtps://...",
    )
    mail_from: str = Field("", validate_default=True, description="who mails are from: Evals <evals@example.com>")
    mail_timeout_s: float = Field(20.0, gt=0, le=40, description="one mail is handed in within this time")
    lease_s: float = Field(20.0, gt=0, description="a shard whose lease is this old is given to somebody else")
    engine_patience_s: float = Field(180.0, gt=0, description="a prompt waits so long for an engine that restarts")
    drain_s: float = Field(
        20.0, gt=0, le=25, description="prompts that an engine has at SIGTERM get so long; then shards go back without"
    )
    max_attempts: int = Field(5, ge=1, description="a shard that was claimed this often without finishing has failed")
    poll_s: float = Field(
        0.25, gt=0, description="pause of the dispatcher between two looks while PostgreSQL can't wake it"
    )
    log_level: str = "INFO"

    @field_validator("smtp_url")
    @classmethod
    def _smtp_url(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value():
            parse_smtp_url(value.get_secret_value())
        return value

    @field_validator("mail_from")
    @classmethod
    def _mail_from(cls, value: str, info: ValidationInfo) -> str:
        smtp_url = info.data.get("smtp_url")
        if value or (smtp_url and smtp_url.get_secret_value()):
            mailbox(value)
        return value

    @property
    def smtp(self) -> SmtpUrl | None:
        """The server that mails are handed in to; None: no mail is sent."""
        url = self.smtp_url.get_secret_value()
        return parse_smtp_url(url) if url else None

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
        field = str(first["loc"][0])
        secret = Settings.model_fields[field].annotation is SecretStr
        given = "" if secret else f"={first['input']!r}"
        # The ValidationError holds the secret, so it is no cause.
        raise ConfigInvalid(f"environment variable {PREFIX}{field.upper()}{given}: {_why(first)}") from None


def _why(error: ErrorDetails) -> str:
    return error["msg"].removeprefix("Value error, ")
