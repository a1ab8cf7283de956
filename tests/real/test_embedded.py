"""The embedded servers start, end with their process however it ends, and start again on what it left behind."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest
import redis as redis_client

from evalwindow import embedded
from evalwindow.embedded import Server, start_postgres, start_redis
from evalwindow.errors import Conflict, ServiceDown


def start_fast_postgres(home: Path) -> Server:
    return start_postgres(home, durable=False)


STARTS = [start_fast_postgres, start_redis]


@pytest.fixture(scope="module")
def own_home():
    """One home for all tests here: each leaves it as a start finds it, and only the first makes a database."""
    folder = Path(tempfile.mkdtemp(prefix="evalwindow-"))
    yield folder
    shutil.rmtree(folder)


def _connect(server: Server) -> psycopg.Connection:
    return psycopg.connect(server.url.replace("+psycopg", ""), autocommit=True)


def _redis(server: Server) -> redis_client.Redis:
    return redis_client.Redis.from_url(server.url)


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def _await(condition) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.05)


def _child(start, home: Path) -> subprocess.Popen[str]:
    """A process of its own that starts a server, prints its pid and waits."""
    code = f"from {__name__} import *\nprint({start.__name__}(Path({str(home)!r})).pid, flush=True); time.sleep(600)"
    root = Path(embedded.__file__).parents[1]
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=root)


def test_postgresql_keeps_its_data_from_start_to_start(own_home):
    server = start_fast_postgres(own_home)
    with _connect(server) as connection:
        connection.execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)")
    server.stop()
    again = start_postgres(own_home)
    with _connect(again) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (7,)
        assert connection.info.server_version >= 180000
    assert again.url == server.url
    again.stop()


def test_redis_keeps_its_data_its_port_and_its_password_from_start_to_start(own_home):
    server = start_redis(own_home)
    _redis(server).set("kept", "7")
    server.stop()
    again = start_redis(own_home)
    assert _redis(again).get("kept") == b"7"
    assert again.url == server.url
    again.stop()


def test_redis_takes_another_port_when_its_own_is_taken(own_home):
    server = start_redis(own_home)
    server.stop()
    with tempfile.TemporaryDirectory() as elsewhere:
        (Path(elsewhere) / "redis").mkdir()
        shutil.copy(own_home / "redis" / "address", Path(elsewhere) / "redis" / "address")
        squatter = start_redis(Path(elsewhere))
        assert squatter.url == server.url
        moved = start_redis(own_home)
        assert _redis(moved).ping()
        assert moved.url != server.url
        moved.stop()
        squatter.stop()


def test_redis_loses_nothing_and_refuses_rather_than_evicts(redis):
    settings = _redis(redis).config_get("*")
    wanted = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction", "bind": "127.0.0.1"}
    assert {name: settings[name] for name in wanted} == wanted


def test_redis_lets_nobody_in_without_its_password(redis):
    with pytest.raises(redis_client.AuthenticationError):
        redis_client.Redis(port=_redis(redis).connection_pool.connection_kwargs["port"]).ping()


def test_only_the_owner_gets_to_the_socket_of_postgresql(postgres, home):
    assert (home / "postgres").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("start", STARTS)
def test_stopping_ends_the_server_and_again_is_harmless(own_home, start):
    server = start(own_home)
    server.stop()
    server.stop()
    assert _gone(server.pid)


@pytest.mark.parametrize("start", STARTS)
def test_a_second_start_on_the_same_home_is_refused(own_home, start, monkeypatch):
    monkeypatch.setattr(embedded, "LOCK_S", 0.1)
    server = start(own_home)
    with pytest.raises(Conflict, match=rf"already runs on {own_home}.*EVALWINDOW_HOME"):
        start(own_home)
    assert not _gone(server.pid)
    server.stop()


@pytest.mark.parametrize("start", STARTS)
def test_a_server_ends_with_a_process_that_is_killed_and_its_home_is_free(own_home, start):
    child = _child(start, own_home)
    pid = int(child.stdout.readline())
    assert not _gone(pid)
    child.kill()
    child.communicate()
    _await(lambda: _gone(pid))
    start(own_home).stop()


@pytest.mark.parametrize("start", STARTS)
def test_a_server_that_was_killed_itself_starts_again(own_home, start):
    server = start(own_home)
    os.kill(server.pid, signal.SIGKILL)
    _await(lambda: _gone(server.pid))
    server.stop()
    again = start(own_home)
    assert not _gone(again.pid)
    again.stop()


@pytest.mark.parametrize("start", STARTS)
def test_ctrl_c_in_the_terminal_is_not_for_the_server(own_home, start):
    server = start(own_home)
    assert os.getsid(server.pid) != os.getsid(0)
    server.stop()


def test_a_home_with_a_long_path_works(own_home):
    deep = own_home / ("x" * 120)
    server = start_fast_postgres(deep)
    with _connect(server) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    server.stop()


def test_a_server_that_can_not_start_says_why(own_home):
    start_fast_postgres(own_home).stop()
    version = own_home / "postgres" / "data" / "PG_VERSION"
    version.write_text("9\n")
    with pytest.raises(ServiceDown, match=r"embedded PostgreSQL .*not compatible"):
        start_postgres(own_home)
    version.write_text("18\n")
    start_postgres(own_home).stop()
