"""A small local stand-in for GitHub's REST API: serves files, takes checks, statuses and comments, records them all.

It knows two kinds of callers, as GitHub does: an App's installation token (it begins with "ghs_") may write check
runs; any other token gets a 403 for them. `POST /_fail` makes the next requests fail, `GET /_recorded` tells what
was received. Run it by `python -m demo.github_standin --port 8899 --files folder`, where the folder holds
<owner>/<name>/<commit>/<path>.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

APP_ID = 4711
APP_TOKEN_PREFIX = "ghs_"  # noqa: S105 - how GitHub marks them
BLOB_OVER = 1_000_000  # bytes; the contents API leaves larger ones to the blobs API


@dataclass
class Failure:
    """What the next `times` requests whose path holds `path` get; without a status the true answer, only late."""

    status: int | None = None
    times: int = 1
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0


@dataclass
class Standin:
    """What GitHub would know."""

    files: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)  # (repo, ref) -> path -> bytes
    check_runs: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    comments: list[dict[str, Any]] = field(default_factory=list)
    labels: dict[tuple[str, int], set[str]] = field(default_factory=dict)  # (repo, number of a pull request) -> names
    requests: list[dict[str, Any]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def put_files(self, repo: str, ref: str, files: dict[str, bytes]) -> None:
        self.files.setdefault((repo, ref), {}).update(files)

    def read_folder(self, folder: Path) -> None:
        """Every <owner>/<name>/<commit>/<path> of a folder."""
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            owner, name, ref, *rest = path.relative_to(folder).parts
            if rest:
                self.put_files(f"{owner}/{name}", ref, {"/".join(rest): path.read_bytes()})

    def recorded(self) -> dict[str, Any]:
        return {
            "check_runs": self.check_runs,
            "statuses": self.statuses,
            "comments": self.comments,
            "requests": self.requests,
        }

    def next_failure(self, path: str) -> Failure | None:
        for failure in self.failures:
            if failure.times > 0 and failure.path in path:
                failure.times -= 1
                return failure
        return None


def create_app(standin: Standin) -> FastAPI:
    """The API over one Standin."""
    app = FastAPI(title="GitHub stand-in", openapi_url=None)
    _add_controls(app, standin)
    _add_identity(app)
    _add_contents(app, standin)
    _add_checks(app, standin)
    _add_comments(app, standin)
    _add_labels(app, standin)

    @app.middleware("http")
    async def record(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        path = request.url.path
        if path.startswith("/_"):
            return await call(request)
        standin.requests.append({"method": request.method, "path": path, "query": str(request.url.query)})
        failure = standin.next_failure(path)
        if failure is None:
            return await call(request)
        await asyncio.sleep(failure.delay_s)
        if failure.status is None:
            return await call(request)
        return JSONResponse({"message": "told to fail"}, failure.status, failure.headers)

    return app


def _add_controls(app: FastAPI, standin: Standin) -> None:
    @app.get("/_recorded")
    async def recorded() -> dict[str, Any]:
        return standin.recorded()

    @app.post("/_fail")
    async def fail(failure: Failure) -> dict[str, str]:
        standin.failures.append(failure)
        return {"message": "noted"}

    @app.post("/_files/{owner}/{name}/{ref}")
    async def files(owner: str, name: str, ref: str, encoded: dict[str, str]) -> dict[str, int]:
        """Body: path -> base64 of the content."""
        standin.put_files(f"{owner}/{name}", ref, {path: base64.b64decode(text) for path, text in encoded.items()})
        return {"files": len(encoded)}


def _add_identity(app: FastAPI) -> None:
    @app.get("/user")
    async def user(request: Request) -> Response:
        if _is_app(request):
            return JSONResponse({"message": "Resource not accessible by integration"}, 403)
        return JSONResponse(_author(request)["user"])

    @app.get("/repos/{owner}/{name}/installation")
    async def installation(owner: str, name: str) -> dict[str, int]:
        return {"id": 99}

    @app.post("/app/installations/{number}/access_tokens", status_code=201)
    async def access_token(number: int) -> dict[str, str]:
        return {"token": f"{APP_TOKEN_PREFIX}{number}", "expires_at": "2099-01-01T00:00:00Z"}


def _add_contents(app: FastAPI, standin: Standin) -> None:
    @app.get("/repos/{owner}/{name}/contents/{path:path}")
    async def contents(owner: str, name: str, path: str, ref: str = "main") -> Response:
        files = standin.files.get((f"{owner}/{name}", ref), {})
        if path in files:
            return JSONResponse(_file_entry(path, files[path], with_content=True))
        inside = [file for file in files if file.startswith(f"{path}/")]
        if not inside:
            return _not_found()
        children = [file for file in inside if "/" not in file.removeprefix(f"{path}/")]
        return JSONResponse([_file_entry(file, files[file]) for file in children])

    @app.get("/repos/{owner}/{name}/git/blobs/{sha}")
    async def blob(owner: str, name: str, sha: str) -> Response:
        known = {_sha(data): data for files in standin.files.values() for data in files.values()}
        if sha not in known:
            return _not_found()
        return JSONResponse({"encoding": "base64", "content": base64.b64encode(known[sha]).decode()})


def _add_checks(app: FastAPI, standin: Standin) -> None:
    @app.post("/repos/{owner}/{name}/check-runs", status_code=201)
    async def create_check(owner: str, name: str, request: Request) -> Response:
        if not _is_app(request):
            return JSONResponse({"message": "Resource not accessible by personal access token"}, 403)
        run = {"id": next(standin.ids), "repo": f"{owner}/{name}", **await request.json()}
        standin.check_runs.append(run)
        return JSONResponse(run, 201)

    @app.patch("/repos/{owner}/{name}/check-runs/{number}")
    async def update_check(owner: str, name: str, number: int, request: Request) -> Response:
        return await _update(standin.check_runs, number, request)

    @app.get("/repos/{owner}/{name}/commits/{sha}/check-runs")
    async def list_checks(owner: str, name: str, sha: str, check_name: str = "") -> dict[str, Any]:
        runs = [run for run in standin.check_runs if run["head_sha"] == sha and run["repo"] == f"{owner}/{name}"]
        chosen = [run for run in runs if check_name in ("", run["name"])]
        return {"total_count": len(chosen), "check_runs": chosen}

    @app.post("/repos/{owner}/{name}/statuses/{sha}", status_code=201)
    async def create_status(owner: str, name: str, sha: str, request: Request) -> dict[str, Any]:
        status = {"id": next(standin.ids), "repo": f"{owner}/{name}", "sha": sha, **await request.json()}
        standin.statuses.append(status)
        return status


def _add_comments(app: FastAPI, standin: Standin) -> None:
    @app.post("/repos/{owner}/{name}/issues/{number}/comments", status_code=201)
    async def create_comment(owner: str, name: str, number: int, request: Request) -> dict[str, Any]:
        place = {"id": next(standin.ids), "repo": f"{owner}/{name}", "number": number, "edits": 0}
        comment = {**place, **_author(request), **await request.json()}
        standin.comments.append(comment)
        return comment

    @app.get("/repos/{owner}/{name}/issues/{number}/comments")
    async def list_comments(owner: str, name: str, number: int) -> list[dict[str, Any]]:
        here = [comment for comment in standin.comments if comment["repo"] == f"{owner}/{name}"]
        return [comment for comment in here if comment["number"] == number]

    @app.patch("/repos/{owner}/{name}/issues/comments/{number}")
    async def edit_comment(owner: str, name: str, number: int, request: Request) -> Response:
        return await _update(standin.comments, number, request)

    @app.delete("/repos/{owner}/{name}/issues/comments/{number}", status_code=204)
    async def delete_comment(owner: str, name: str, number: int) -> None:
        standin.comments[:] = [comment for comment in standin.comments if comment["id"] != number]


def _add_labels(app: FastAPI, standin: Standin) -> None:
    @app.delete("/repos/{owner}/{name}/issues/{number}/labels/{label:path}")
    async def delete_label(owner: str, name: str, number: int, label: str) -> Response:
        there = standin.labels.get((f"{owner}/{name}", number), set())
        if label not in there:
            return _not_found()
        there.discard(label)
        return JSONResponse([{"name": left} for left in sorted(there)])


async def _update(items: list[dict[str, Any]], number: int, request: Request) -> Response:
    for item in items:
        if item["id"] == number:
            item.update(await request.json(), edits=item.get("edits", 0) + 1)
            return JSONResponse(item)
    return _not_found()


def _is_app(request: Request) -> bool:
    return request.headers.get("authorization", "").removeprefix("token ").startswith(APP_TOKEN_PREFIX)


def _author(request: Request) -> dict[str, Any]:
    if _is_app(request):
        return {"user": {"login": "evalwindow[bot]", "type": "Bot"}, "performed_via_github_app": {"id": APP_ID}}
    return {"user": {"login": "evals", "type": "User"}, "performed_via_github_app": None}


def _file_entry(path: str, data: bytes, *, with_content: bool = False) -> dict[str, Any]:
    entry = {"type": "file", "path": path, "name": path.rsplit("/", 1)[-1], "size": len(data), "sha": _sha(data)}
    if not with_content:
        return entry
    small = len(data) <= BLOB_OVER
    content = base64.encodebytes(data).decode() if small else ""
    return {**entry, "encoding": "base64" if small else "none", "content": content}


def _sha(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _not_found() -> Response:
    return JSONResponse({"message": "Not Found"}, 404)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8899)
    parser.add_argument("--files", type=Path, help="folder with <owner>/<name>/<commit>/<path>")
    options = parser.parse_args()
    standin = Standin()
    if options.files:
        standin.read_folder(options.files)
    uvicorn.run(create_app(standin), host=options.host, port=options.port, log_level="warning")


if __name__ == "__main__":
    main()
