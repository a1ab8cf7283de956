"""A stand-in for GitHub on a real socket, and clients of it: an App's and a plain token's."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import SecretStr

from demo.github_standin import APP_ID, Standin, create_app
from evalwindow.github.client import GitHub
from evalwindow.settings import Settings
from tests.real.github.serving import serving


@pytest_asyncio.fixture
async def github_url(standin: Standin) -> AsyncIterator[str]:
    async with serving(create_app(standin)) as url:
        yield url


@pytest.fixture(scope="session")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest_asyncio.fixture
async def app_client(github_url: str, private_key: str) -> AsyncIterator[GitHub]:
    settings = Settings(github_api_url=github_url, github_app_id=str(APP_ID), github_private_key=SecretStr(private_key))
    client = GitHub.from_settings(settings)
    assert client is not None
    yield client
    await client.aclose()


@pytest.fixture(params=["app", "token"])
def any_client(request: pytest.FixtureRequest, app_client: GitHub, token_client: GitHub) -> GitHub:
    return app_client if request.param == "app" else token_client


@pytest_asyncio.fixture
async def token_client(github_url: str) -> AsyncIterator[GitHub]:
    client = GitHub.from_settings(Settings(github_api_url=github_url, github_token=SecretStr("ghp_plain")))
    assert client is not None
    yield client
    await client.aclose()
