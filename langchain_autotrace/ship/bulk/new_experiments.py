"""Makes the rows of new experiments: what MLflow's ``create_experiment`` leaves in its database."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, Any, Final

from langchain_autotrace.ship.sqlite_file import ARTIFACT_ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_autotrace.ship.bulk.databases import Database

_TABLE: Final = "experiments"
_COLUMNS: Final = (
    "name", "artifact_location", "lifecycle_stage", "creation_time", "last_update_time", "workspace",
)  # fmt: skip
_ID: Final = "experiment_id"
_LONGEST_NAME: Final = 500
_WORKSPACE: Final = "default"
_PLAIN: Final = re.compile(r"/[^/?#;\\][^?#;\\]*")
"""An absolute path that is the same as a URI: no query, fragment or parameters, and no host."""


def experiment_location(root: str, experiment_id: int) -> str | None:
    """Return the address of an experiment's artifacts; None where only MLflow knows how to write it.

    Args:
        root: folder of the database's artifacts.
        experiment_id: the experiment.
    """
    return f"{root}/{experiment_id}" if _PLAIN.fullmatch(root) and not root.endswith("/") else None


def create_experiments(database: Database, cursor: Any, names: Iterable[str]) -> None:  # noqa: ANN401 - a driver's
    """Insert the experiments that are missing, within the transaction that has begun.

    Leaves those out that only MLflow knows how to create, or is to refuse.
    """
    root = database.artifact_root()
    if os.environ.get(ARTIFACT_ROOT) or experiment_location(root, 0) is None or not _has_known_columns(cursor):
        return
    for name in names:
        cursor.execute(f"SELECT 1 FROM {_TABLE} WHERE name = {database.mark}", (name,))  # noqa: S608 - names of ours
        if cursor.fetchone() is None and len(name) <= _LONGEST_NAME:
            _create(database, cursor, name, root)


def _has_known_columns(cursor: Any) -> bool:  # noqa: ANN401
    cursor.execute(f"SELECT * FROM {_TABLE} WHERE 1 = 0")  # noqa: S608
    return {column[0] for column in cursor.description} == {_ID, *_COLUMNS}


def _create(database: Database, cursor: Any, name: str, root: str) -> None:  # noqa: ANN401
    now = int(time.time() * 1000)
    marks = ", ".join([database.mark] * len(_COLUMNS))
    statement = f"INSERT INTO {_TABLE} ({', '.join(_COLUMNS)}) VALUES ({marks})"  # noqa: S608
    experiment_id = database.insert_one(cursor, statement, (name, None, "active", now, now, _WORKSPACE), _ID)
    cursor.execute(
        f"UPDATE {_TABLE} SET artifact_location = {database.mark} WHERE {_ID} = {database.mark}",  # noqa: S608
        (experiment_location(root, experiment_id), experiment_id),
    )
