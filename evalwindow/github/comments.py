"""The one comment of a pull request."""

from __future__ import annotations

from evalwindow.github.repository import Repository


async def put_comment(repo: Repository, number: int, body: str, *, marker: str, known_id: str | None) -> str:
    """Edit our comment in place, or write it; its id. Ours is the known one, else what we wrote behind the marker."""
    if known_id is not None and await repo.edit_comment(known_id, body):
        return known_id
    mine = await _mine(repo, number, marker)
    if mine and await repo.edit_comment(mine[0], body):
        return mine[0]
    made = await repo.create_comment(number, body)
    return await _merge_twins(repo, number, body, marker=marker, made=made)


async def _merge_twins(repo: Repository, number: int, body: str, *, marker: str, made: str) -> str:
    """Two publishers may have found no comment at the same moment: the older comment stays."""
    mine = await _mine(repo, number, marker)
    if not mine or mine[0] == made:
        return made
    await repo.edit_comment(mine[0], body)
    await repo.delete_comment(made)
    return mine[0]


async def _mine(repo: Repository, number: int, marker: str) -> list[str]:
    """Ids of our comments, the oldest first. Anybody may write the marker, so the author counts too."""
    marked = [comment for comment in await repo.comments(number) if comment["body"].startswith(marker)]
    return [str(comment["id"]) for comment in marked if await repo.wrote(comment)]
