"""Tells whether a database has the tables of a known revision, for writing in bulk and for reading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from langchain_autotrace.ship.bulk.revisions import COMPUTED, Revision, known_revision

if TYPE_CHECKING:
    from langchain_autotrace.ship.bulk.databases import Database

_DEFAULT_WORKSPACE: Final = "default"
_REVISION_TABLE: Final = "alembic_version"
_REVISION: Final = "SELECT version_num FROM alembic_version"
_WORKSPACES: Final = "SELECT 1 FROM experiments WHERE workspace IS NOT NULL AND workspace <> {mark} LIMIT 1"


def has_tables(database: Database, cursor: Any) -> bool:  # noqa: ANN401 - a driver's
    """Return whether MLflow has made its tables."""
    cursor.execute(database.has_table, (_REVISION_TABLE,))
    return cursor.fetchone()[0] is not None


def named_revision(database: Database, cursor: Any) -> Revision | None:  # noqa: ANN401
    """Return the known revision that the database names; None for any other, and where there are workspaces."""
    cursor.execute(_REVISION)
    names = [row[0] for row in cursor.fetchall()]
    revision = known_revision(names[0]) if len(names) == 1 else None
    if revision is None:
        return None
    cursor.execute(_WORKSPACES.format(mark=database.mark), (_DEFAULT_WORKSPACE,))
    return None if cursor.fetchone() else revision


def has_columns(cursor: Any, revision: Revision) -> bool:  # noqa: ANN401
    """Return whether the tables have the columns of the revision, no more and no less."""
    for table, columns in revision.tables.items():
        cursor.execute(f"SELECT * FROM {table} WHERE 1 = 0")  # noqa: S608 - a name of ours
        if {column[0] for column in cursor.description} - COMPUTED != set(columns):
            return False
    return True
