"""The pages over a tracking server."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from langchain_autotrace.view import store
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
    assert sum(one["traces"] for one in remote.ask("/api/overview").json()["buckets"]) == 3
    assert [one["name"] for one in remote.ask("/api/overview/models").json()["models"]] == list(ui_store.MODELS)
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


def test_files_of_a_tracking_server(remote: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attachments, and spans that are kept as files, are read from the command's server, not the environment's."""
    import mlflow

    file_id = "0b1c0b1c-0000-4000-8000-000000000001"
    photo = b"\x89PNG\r\n\x1a\n" + bytes(40)
    reference = f"mlflow-attachment://{file_id}?content_type=image%2Fpng&trace_id=tr-1&size={len(photo)}"
    asked = ui_store.make_trace(
        ui_store.make_span("asks", START + 9_000, 5, inputs={"photo": reference}), experiment="photos"
    )
    ui_store.write(remote.uri, asked._replace(files={file_id: base64.b64encode(photo).decode()}))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setattr(mlflow.tracking._tracking_service.utils, "_tracking_uri", None)
    answer = remote.ask(f"/trace/tr-{asked.trace_id}/file/{file_id}")
    assert (answer.status, answer.headers["Content-Type"], answer.body) == (200, "image/png", photo)
    with store.reading(remote.uri) as client:
        info = client.get_trace(f"tr-{asked.trace_id}").info
        repository = client._tracing_client._get_artifact_repo_for_trace(info)
        assert repository.artifact_uri.startswith(remote.uri)


def test_a_server_that_is_down() -> None:
    """The pages come, and say that the tracking server does not answer."""
    with served("http://127.0.0.1:9") as site:
        assert site.ask("/").status == 200
        answer = site.ask("/api/traces")
    assert (answer.status, "127.0.0.1:9" in answer.json()["error"]) == (503, True)
