"""The pages over a tracking server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.full_server import tracking_server
from tests.support import copies
from tests.view import ui_store
from tests.view.ui_site import Site, served

pytestmark = pytest.mark.server
START = 1_764_000_000_000


@pytest.fixture
def remote(full_mlflow: str, empty_database: Path, tmp_path: Path) -> Iterator[Site]:
    """The pages over a tracking server with three traces."""
    uri = copies(empty_database)(tmp_path)
    ui_store.write(
        uri,
        ui_store.turn(START, "One?", "First.", session="s", user="ada"),
        ui_store.turn(START + 5_000, "Two?", "Second.", session="s", user="ada"),
        ui_store.agent(START + 7_000, "Atlantis", fails=True),
    )
    with tracking_server(full_mlflow, tmp_path) as address, served(address) as site:
        yield site


def test_a_tracking_server(remote: Site) -> None:
    """List, filters, sessions, overview, contents, trace, comparison and delete work by MLflow's API alone."""

    def questions(query: str) -> list[str]:
        return [one["request"] for one in remote.ask(f"/api/traces?{query}").json()["traces"]]

    failed = "How warm is it in Atlantis?"
    assert questions("") == [failed, "Two?", "One?"]
    assert questions("model=claude-sonnet-4-5") == [failed]
    assert questions("session=s&user=ada&sort=duration&order=asc&text=o") == ["One?", "Two?"]
    assert [one["traces"] for one in remote.ask("/api/sessions").json()["sessions"]] == [2]
    overview = remote.ask("/api/overview").json()
    assert sum(one["traces"] for one in overview["buckets"]) == 3
    assert [one["name"] for one in overview["models"]] == list(ui_store.MODELS)
    assert remote.ask("/api/choices").json()["users"] == ["ada"]
    lines = remote.ask("/api/contents?text=no+such+city").body.splitlines()
    assert [one["request"] for line in lines for one in json.loads(line)["traces"]] == [failed]
    ids = [one["id"] for one in remote.ask("/api/traces").json()["traces"]]
    assert remote.ask(f"/api/trace/{ids[0]}").json()["spans"][0]["name"] == "weather_agent"
    assert len(remote.ask(f"/api/compare?a={ids[1]}&b={ids[2]}").json()["pairs"]) == 2
    assert remote.ask("/api/models").json() == {"models": []}
    body = json.dumps({"ids": ids[:2]}).encode()
    answer = remote.ask("/api/delete", method="POST", headers=remote.page_headers(), body=body)
    assert answer.json() == {"deleted": 2}
    assert questions("") == ["One?"]


def test_a_server_that_is_down() -> None:
    """The pages come, and say that the tracking server does not answer."""
    with served("http://127.0.0.1:9") as site:
        assert site.ask("/").status == 200
        answer = site.ask("/api/traces")
    assert (answer.status, "127.0.0.1:9" in answer.json()["error"]) == (503, True)
