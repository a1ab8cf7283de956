"""The web app of tests/real/web, for those who want in."""

import socket

import pytest

from tests.real.web.conftest import services, standin, suites, web

__all__ = ["services", "standin", "suites", "web"]


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
