"""Whole programs with files in their values: images, audio and PDFs become attachments of the trace."""

from __future__ import annotations

import asyncio
import base64
import random
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import mlflow
import pytest
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from mlflow.entities import Trace
from mlflow.tracing.client import TracingClient

import langchain_autotrace
from tests.support import deliver, spans_named, stored

RANDOM = random.Random(1)
PHOTO = b"\x89PNG\r\n\x1a\n" + RANDOM.randbytes(1_500_000)
PHOTO_URL = "data:image/png;base64," + base64.b64encode(PHOTO).decode()
QUESTION = HumanMessage([{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": PHOTO_URL}}])


class ToolCaller(GenericFakeChatModel):
    """A model that answers with the messages given, whatever tools it is bound to."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        """Return the model itself."""
        return self


@tool
def enlarge(part: str) -> list[dict[str, Any]]:
    """Enlarge a part of the photo."""
    return [{"type": "text", "text": part}, {"type": "image_url", "image_url": {"url": PHOTO_URL}}]


def agent() -> Any:
    """An agent that looks at a photo in three steps: model, tool, model."""
    calls = [{"name": "enlarge", "args": {"part": "left"}, "id": "1"}]
    return create_agent(ToolCaller(messages=iter([AIMessage("", tool_calls=calls), AIMessage("A cat.")])), [enlarge])


def files_of(uri: str, trace: Trace) -> dict[str, tuple[str, bytes]]:
    """Media type and content of each attachment that the spans refer to, read with MLflow's client."""
    client = TracingClient(uri)
    found: dict[str, tuple[str, bytes]] = {}
    for word in (word for span in trace.data.spans for word in str(span.to_dict()).replace("\\", "").split('"')):
        if word.startswith("mlflow-attachment://"):
            parsed = urlparse(word.split("'")[0])
            file_id, query = str(parsed.hostname), parse_qs(parsed.query)
            assert query["trace_id"] == [trace.info.trace_id]
            repository = client._get_artifact_repo_for_trace(trace.info)
            content = Path(repository.download_artifacts(f"attachments/{file_id}")).read_bytes()
            assert query["size"] == [str(len(content))]
            found[file_id] = (query["content_type"][0], content)
    return found


def run(way: str, question: Any = QUESTION) -> None:
    """Run the agent in a way to run it."""
    given = {"messages": [question]}
    if way == "invoke":
        agent().invoke(given)
    elif way == "stream":
        list(agent().stream(given))
    else:
        asyncio.run(agent().ainvoke(given))


@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke"])
def test_a_photo_in_an_agent(way: str, store: str, tmp_path: Path) -> None:
    """A photo of 1.5 MB that an agent of three steps sees and its tool returns is stored once, and whole."""
    langchain_autotrace.autolog(tracking_uri=store, shipper="external")
    before = size_of(tmp_path)
    run(way)
    deliver()
    (trace,) = stored(store)

    assert list(files_of(store, trace).values()) == [("image/png", PHOTO)]
    # The journal is gone, and MLflow's empty database was there before.
    assert size_of(tmp_path) - before < 2_200_000
    for model in spans_named(trace, "ToolCaller"):
        assert "truncated" not in str(model.attributes)
        question = model.inputs["messages"][0]["content"]
        assert question[0] == {"type": "text", "text": "What?"}
        assert question[1]["image_url"]["url"].startswith("mlflow-attachment://")


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"redact": lambda value: value}, "[image/png, 1,500,008 bytes: not captured]"),
        ({"max_file_bytes": 1_000_000}, "[image/png, 1,500,008 bytes: larger than max_file_bytes]"),
    ],
    ids=["hook", "too large"],
)
def test_a_photo_that_is_not_kept(settings: dict[str, Any], shown: str, store: str) -> None:
    """Where a photo is not kept, each span says its type and size, and no part of it is stored."""
    langchain_autotrace.autolog(tracking_uri=store, shipper="external", **settings)
    run("invoke")
    deliver()
    (trace,) = stored(store)

    assert files_of(store, trace) == {}
    assert PHOTO_URL[-100:] not in str([span.to_dict() for span in trace.data.spans])
    (first, _) = spans_named(trace, "ToolCaller")
    assert first.inputs["messages"][0]["content"][1]["image_url"]["url"] == shown


def test_content_off(store: str) -> None:
    """Without content a trace has neither a photo nor its type."""
    langchain_autotrace.autolog(tracking_uri=store, shipper="external", capture_content=False)
    run("invoke")
    deliver()
    (trace,) = stored(store)

    assert files_of(store, trace) == {}
    assert "image" not in str([span.to_dict() for span in trace.data.spans])


def test_files_in_states_and_spans_of_mlflow(store: str) -> None:
    """Bytes in a state, and a file in a span of MLflow's own API within a run, are attachments of the trace."""
    pdf = b"%PDF-1.7\n\xff" + RANDOM.randbytes(5_000)
    langchain_autotrace.autolog(tracking_uri=store, shipper="external")

    def read(state: dict[str, Any]) -> dict[str, Any]:
        with mlflow.start_span("ocr") as span:
            span.set_inputs({"page": {"mime_type": "image/x-own", "data": base64.b64encode(pdf[9:]).decode()}})
        return {"text": "read", "upload": state["upload"]}

    RunnableLambda(read).invoke({"upload": pdf})
    deliver()
    (trace,) = stored(store)

    assert sorted(files_of(store, trace).values()) == [("application/pdf", pdf), ("image/x-own", pdf[9:])]
