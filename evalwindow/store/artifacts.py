"""Files that runs refer to by content, e.g. a pull request's LoRA adapter."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import func, insert, literal_column, select
from sqlalchemy.dialects.postgresql import insert as upsert

from evalwindow.content import digest_of
from evalwindow.errors import NotFound
from evalwindow.store.database import Database
from evalwindow.store.tables import artifact, artifact_file


class Artifacts(Database):
    def put_artifact(self, kind: str, name: str, files: Mapping[str, bytes]) -> str:
        """Keep files under the digest of their names and contents; putting them again only makes them new again."""
        digest = digest_of(files)
        row = {"digest": digest, "kind": kind, "name": name, "size": sum(map(len, files.values()))}
        contents = [{"digest": digest, "path": path, "content": content} for path, content in files.items()]
        again = {"created_at": func.now()}
        statement = upsert(artifact).values(row).on_conflict_do_update(index_elements=[artifact.c.digest], set_=again)
        with self._transaction() as connection:
            created = connection.scalar(statement.returning(literal_column("xmax = 0")))
            if created and contents:
                connection.execute(insert(artifact_file), contents)
        return digest

    def artifact(self, digest: str) -> dict[str, bytes]:
        """The files of an artifact by path; raises NotFound."""
        files = select(artifact_file.c.path, artifact_file.c.content).where(artifact_file.c.digest == digest)
        with self._transaction() as connection:
            if connection.execute(select(artifact.c.digest).where(artifact.c.digest == digest)).first() is None:
                raise NotFound(kind="artifact", name=digest)
            return {row.path: row.content for row in connection.execute(files)}
