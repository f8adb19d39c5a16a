"""Chains that run become models in the store: which, how many, of what, and linked to which traces."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import threading
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, TypedDict
from uuid import UUID

import mlflow
import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import PromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import ConfigurableField, Runnable, RunnableLambda, RunnablePassthrough
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import START, StateGraph

import langchain_autotrace
from langchain_autotrace.capture.guard import internal_errors
from langchain_autotrace.errors import SettingsError
from langchain_autotrace.models import observe
from tests.models.chains import CHAIN, chain
from tests.models.support import Logged, document, files, logged, models, traces_of
from tests.support import deliver, stored


class State(TypedDict):
    topic: str


def graph(function: Any) -> Any:
    """A graph of one node."""
    builder = StateGraph(State)
    builder.add_node("node", function)
    builder.add_edge(START, "node")
    return builder.compile()


def start(store: str, **settings: Any) -> None:
    """Log models, with examples; the test delivers."""
    langchain_autotrace.autolog(
        tracking_uri=store, shipper="external", log_models=True, log_input_examples=True, **settings
    )


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What this package has warned of."""
    ours = [record for record in caplog.records if record.name.startswith("langchain_autotrace")]
    return [record.getMessage() for record in ours if record.levelno == logging.WARNING]


def test_ways_to_run(store: str) -> None:
    """However a chain is run, and as however many objects, it is one model, named by all its traces."""
    start(store)
    given = {"topic": "x"}

    async def run() -> None:
        await chain().ainvoke(given)
        await chain().abatch([given, given])
        async for _ in chain().astream(given):
            pass
        async for _ in chain().astream_events(given, version="v2"):
            pass

    one = chain()
    one.invoke(given)
    one.invoke(given, {"run_name": "named"})
    one.batch([given, given])
    list(one.stream(given))
    list(chain().transform(iter([given])))
    thread = threading.Thread(target=chain().invoke, args=(given,))
    thread.start()
    thread.join()
    asyncio.run(run())
    deliver()

    assert logged(store) == [Logged(CHAIN, "READY", "true", 12)]


def test_what_is_a_chain(store: str) -> None:
    """The outermost runnable is logged: what it is made of is not, and no prompt, parser, tool or retriever alone."""

    class Retriever(BaseRetriever):
        def _get_relevant_documents(self, query: str, **_: Any) -> list[Any]:
            return []

    @tool
    def double(number: int) -> int:
        """Double it."""
        return 2 * number

    start(store)
    graph(lambda state: {"topic": chain("In a graph: {topic}").invoke(state)}).invoke({"topic": "x"})
    PromptTemplate.from_template("{a}").invoke({"a": 1})
    StrOutputParser().invoke("x")
    double.invoke({"number": 1})
    Retriever().invoke("x")
    FakeListChatModel(responses=["x"]).invoke([HumanMessage("hi")])
    chain().with_fallbacks([chain("Else {topic}")]).invoke({"topic": "x"})
    (RunnablePassthrough.assign(found=chain()) | RunnablePassthrough()).with_config(run_name="bound").invoke(
        {"topic": "x"}
    )
    with mlflow.start_span("around"):
        chain("Within a span: {topic}").invoke({"topic": "x"})
    deliver()

    assert logged(store) == [
        Logged("FakeListChatModel", "READY", "true", 1),
        Logged("LangGraph-node", "READY", "false", 1),
        Logged(CHAIN, "READY", "true", 1),
        Logged(CHAIN, "READY", "true", 1),
        Logged("bound", "READY", "true", 1),
    ]
    assert len(stored(store)) == 9


def test_what_is_another_chain(store: str) -> None:
    """A change of the program's is another model; what a call leaves behind, and a request's labels, are not."""
    start(store)
    one = chain()
    one.invoke({"topic": "x"})
    one.first.template = "Sing of {topic}"  # type: ignore[attr-defined] # the prompt
    one.invoke({"topic": "x"})
    one.last.name = "parser"  # type: ignore[attr-defined] # the parser
    one.invoke({"topic": "x"})

    counting = PromptTemplate.from_template("{topic}") | FakeListChatModel(responses=["1", "2", "3"])
    for request in range(4):
        counting.with_config(metadata={"request": request}, tags=[str(request)]).invoke({"topic": "x"})
    deliver()

    assert [len(traces_of(store, model)) for model in models(store)] == [1, 1, 1, 4]


def test_calls_that_overlap(store: str) -> None:
    """Calls of one chain at the same time, and the state that they share, are one model."""
    start(store)
    one = PromptTemplate.from_template("{topic}") | FakeListChatModel(responses=list("abcdefgh"), sleep=0.01)
    one.batch([{"topic": str(number)} for number in range(20)])
    deliver()

    assert [model.traces for model in logged(store)] == [20]


def test_files(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model has MLflow's files: chain, loader, example, signature of a real input and output, requirements."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    start(store, extra_tags={"team": "search"})
    one: Any = PromptTemplate.from_template("{topic}") | FakeListChatModel(responses=["Yes."]) | StrOutputParser()
    (one.with_fallbacks([ChatOpenAI(model="gpt-4o", temperature=0.5) | StrOutputParser()])).invoke({"topic": "cats"})
    deliver()

    (model,) = models(store)
    found = files(store, model, tmp_path / "files")
    assert sorted(found) == [
        "MLmodel",
        "chain.json",
        "chain.py",
        "conda.yaml",
        "input_example.json",
        "python_env.yaml",
        "requirements.txt",
        "serving_input_example.json",
    ]
    assert document(found["input_example.json"]) == {"topic": "cats"}
    assert document(found["serving_input_example.json"]) == {"inputs": {"topic": "cats"}}
    assert [line.partition("==")[0] for line in found["requirements.txt"].splitlines()] == [
        "mlflow",
        "langchain-core",
        "langchain-openai",
        "pydantic",
    ]
    assert document(found["chain.json"])["secrets"] == ["OPENAI_API_KEY"]
    assert '"type":"string","name":"topic","required":true' in found["MLmodel"].replace("\\", "")
    assert (model.params["ChatOpenAI.model_name"], model.params["ChatOpenAI.temperature"]) == ("gpt-4o", "0.5")
    assert (model.tags["team"], model.model_type, model.source_run_id) == ("search", "langchain", None)


def test_switches_of_the_model(store: str, tmp_path: Path) -> None:
    """Without an example and a signature the model has none."""
    langchain_autotrace.autolog(
        tracking_uri=store, shipper="external", log_models=True, log_model_signatures=False, experiment="bare"
    )
    chain().invoke({"topic": "x"})
    deliver()

    experiment = mlflow.MlflowClient(store).get_experiment_by_name("bare")
    assert experiment is not None
    (model,) = models(store, experiment.experiment_id)
    found = files(store, model, tmp_path / "files")
    assert "input_example.json" not in found
    assert "signature" not in found["MLmodel"]


def test_a_description(store: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be built again is logged with structure, example and reason, and one warning for all its calls."""
    start(store)
    described: Runnable[Any, Any] = RunnableLambda(lambda topic: {"topic": topic}) | chain()
    for _ in range(3):
        described.invoke("cats")
    deliver()

    (model,) = models(store)
    assert logged(store) == [Logged(f"RunnableLambda-{CHAIN}", "READY", "false", 3)]
    assert "it is a lambda" in model.tags["langchain_autotrace.reason"]
    assert sorted(files(store, model, tmp_path / "files")) == [
        "MLmodel",
        "chain.json",
        "input_example.json",
        "serving_input_example.json",
    ]
    (warning,) = warned(caplog)
    assert "first.func" in warning
    assert "model_code" in warning
    with pytest.raises(langchain_autotrace.AutotraceError, match="cannot be loaded, only its description was logged"):
        langchain_autotrace.load_model(f"models:/{model.model_id}", tracking_uri=store)


def test_loading(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model is loaded from the store that autolog() writes to, by its id, version or alias, and answers as before."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///elsewhere.db")
    start(store, registered_model_name="teller")
    chain().invoke({"topic": "x"})
    deliver()
    (model,) = models(store)
    client = mlflow.MlflowClient(store, registry_uri=store)
    client.set_registered_model_alias("teller", "best", "1")

    version = client.get_model_version("teller", "1")
    assert (version.source, client.get_model_version_download_uri("teller", "1")) == (
        f"models:/{model.model_id}",
        model.artifact_location,
    )
    assert document(models(store)[0].tags["mlflow.modelVersions"]) == [{"name": "teller", "version": 1}]
    uris = ["models:/teller/1", "models:/teller/latest", "models:/teller@best", model.artifact_location]
    for uri in (f"models:/{model.model_id}", model.model_id, *uris):
        assert langchain_autotrace.load_model(uri).invoke({"topic": "y"}) == "Yes."
    with pytest.raises(langchain_autotrace.AutotraceError, match="m-none"):
        langchain_autotrace.load_model("models:/m-none")


CODE = """
from typing import TypedDict

import mlflow
from langgraph.graph import START, StateGraph

class State(TypedDict):
    topic: str

SUFFIX = "!"
builder = StateGraph(State)
builder.add_node("node", lambda state: {"topic": state["topic"] + SUFFIX})
builder.add_edge(START, "node")
graph = builder.compile()

mlflow.models.set_model(graph)
"""


def test_code_of_the_program(store: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A graph whose file is given can be loaded, with the caller's word; another chain than the file's cannot."""
    (tmp_path / "chain.py").write_text(CODE)
    start(store, model_code="chain.py")
    program: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(CODE.replace("mlflow.models.set_model(graph)", ""), "program.py", "exec", dont_inherit=True), program)
    program["graph"].invoke({"topic": "x"})
    graph(lambda state: {"topic": state["topic"] + "?"}).invoke({"topic": "x"})
    deliver()

    loadable, other = sorted(models(store), key=lambda model: model.tags["langchain_autotrace.loadable"], reverse=True)
    uri = f"models:/{loadable.model_id}"
    with pytest.raises(langchain_autotrace.AutotraceError, match="allow_code=True"):
        langchain_autotrace.load_model(uri)
    assert langchain_autotrace.load_model(uri, allow_code=True).invoke({"topic": "y"}) == {"topic": "y!"}
    assert other.tags["langchain_autotrace.reason"] == (
        "chain.py: it builds a different chain from the one that ran; the chain itself "
        "(langgraph.graph.state.CompiledStateGraph): a graph cannot be written as JSON; pass the file that builds the "
        "chain with autolog(model_code=...)"
    )
    assert [warning for warning in warned(caplog) if "a different chain" in warning] != []


def test_a_description_whose_code_is_given_later(store: str, tmp_path: Path) -> None:
    """A description becomes a model that can be loaded, under the same id, once its file is given."""
    text = CODE.replace("mlflow.models.set_model(graph)", "")
    for settings in ({}, {"model_code": "chain.py"}):
        (tmp_path / "chain.py").write_text(CODE)
        start(store, **settings)
        program: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(text, "program.py", "exec", dont_inherit=True), program)
        program["graph"].invoke({"topic": "x"})
        deliver()

    (model,) = models(store)
    assert logged(store) == [Logged("LangGraph-node", "READY", "true", 2)]
    loaded = langchain_autotrace.load_model(f"models:/{model.model_id}", allow_code=True)
    assert loaded.invoke({"topic": "y"}) == {"topic": "y!"}


def test_odd_names(store: str) -> None:
    """Any name of a run and any tag is made one that MLflow takes."""
    start(store, extra_tags={"a/../b": "x", "mlflow.artifactLocation": "elsewhere", "": "y" * 9_000})
    for number, name in enumerate(("a/b:c", "'%\".", "\n", "x" * 5_000, "\0é🐈")):
        chain(f"{number} {{topic}}").invoke({"topic": "x"}, {"run_name": name})
    deliver()

    assert [model.name for model in models(store)] == ["a_b_c", "____", "chain", "x" * 200, "\0é🐈"]


def test_functions_of_a_module(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function of an importable module is logged by its name, and loaded with the caller's word for its package."""
    (tmp_path / "shouting.py").write_text("def _shout(text):\n    return text + '!'\n")
    monkeypatch.syspath_prepend(tmp_path)
    import shouting  # type: ignore[import-not-found]

    start(store)
    (chain() | shouting._shout).invoke({"topic": "x"})
    deliver()

    (model,) = models(store)
    assert logged(store) == [Logged(f"{CHAIN}-_shout", "READY", "true", 1)]
    with pytest.raises(langchain_autotrace.AutotraceError, match=r"allow=\['shouting'\]"):
        langchain_autotrace.load_model(f"models:/{model.model_id}")
    loaded = langchain_autotrace.load_model(f"models:/{model.model_id}", allow=["shouting"])
    assert loaded.invoke({"topic": "y"}) == "Yes.!"


def test_runs_and_models_of_the_program(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an active run the model is that run's; a model that the program has set active comes first."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    start(store)
    with mlflow.start_run() as run:
        chain().invoke({"topic": "x"})
    client = mlflow.MlflowClient(store)
    own = client.create_logged_model("0", name="own")
    mlflow.set_active_model(model_id=own.model_id)
    try:
        chain().invoke({"topic": "y"})
    finally:
        mlflow.clear_active_model()
    deliver()

    theirs, ours = models(store)
    assert (ours.source_run_id, len(traces_of(store, ours))) == (run.info.run_id, 1)
    outputs = client.get_run(run.info.run_id).outputs
    assert outputs is not None
    assert [output.model_id for output in outputs.model_outputs] == [ours.model_id]
    assert (theirs.model_id, len(traces_of(store, theirs))) == (own.model_id, 1)


def test_a_first_run_that_fails(store: str) -> None:
    """No model comes of runs that fail, are abandoned or interrupted; with the first good one, their traces name it."""
    start(store)
    one = PromptTemplate.from_template("{topic}") | FakeListChatModel(responses=["Yes."]) | StrOutputParser()
    with pytest.raises(KeyError):
        one.invoke({})
    stream: Any = one.stream({"topic": "x"})
    next(stream)
    stream.close()
    deliver()
    assert models(store) == []

    one.invoke({"topic": "x"})
    deliver()
    assert [model.traces for model in logged(store)] == [3]


def test_too_many(store: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain that is built for each request makes a limited number of models, and one warning."""
    monkeypatch.setattr(observe, "MAX_MODELS", 3)
    start(store)
    for number in range(6):
        chain(f"{number} {{topic}}").invoke({"topic": "x"})
    deliver()

    assert (len(models(store)), len(stored(store))) == (3, 6)
    (warning,) = warned(caplog)
    assert "pass the changing part as an input" in warning


def test_examples_that_are_none(store: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An input that JSON does not have, or that is too large, is no example; the model is logged, and it is said."""
    start(store, max_value_bytes=2_000)
    same: Runnable[Any, Any] = RunnablePassthrough()
    same.invoke(object())
    (same | RunnablePassthrough()).invoke("x" * 3_000)
    deliver()

    for number, model in enumerate(models(store)):
        assert "input_example.json" not in files(store, model, tmp_path / str(number))
    one, other = warned(caplog)
    assert "object cannot be written as JSON" in one
    assert "max_value_bytes" in other


SECRETS = {
    "argument": "sk-argumentargumentargument1",
    "header": "Bearer headerheaderheader1",
    "password": "passwordpassword1",
    "body": "bodybodybodybody1",
    "prompt": "sk-promptpromptpromptprompt1",
    "bound": "sk-boundboundboundbound1",
}


def test_secrets(store: str, tmp_path: Path) -> None:
    """No key, header or password is in a file or a table, whatever part of the chain it was given to."""
    start(store, experiment="secrets")
    model = ChatOpenAI(
        model="gpt-4o",
        api_key=SECRETS["argument"],  # type: ignore[arg-type] # as users write it
        base_url=f"http://user:{SECRETS['password']}@127.0.0.1:9/v1",
        default_headers={"Authorization": SECRETS["header"]},
        extra_body={"api_key": SECRETS["body"]},
    )
    fallback: Any = model.bind(password=SECRETS["bound"]) | StrOutputParser()
    chain(f"With {SECRETS['prompt']}: {{topic}}").with_fallbacks([fallback]).invoke({"topic": "x"})
    deliver()

    experiment = mlflow.MlflowClient(store).get_experiment_by_name("secrets")
    assert experiment is not None
    (found,) = models(store, experiment.experiment_id)
    assert found.tags["langchain_autotrace.loadable"] == "false"
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert len(everything) > 10_000
    assert [name for name, secret in SECRETS.items() if secret.rpartition(" ")[2].encode() in everything] == []
    left_out = document(files(store, found, tmp_path / "files")["chain.json"])["left_out"]
    assert [path.rpartition(".")[2] for path in left_out] == [
        "template",
        "openai_api_base",
        "Authorization",
        "api_key",
        "password",
    ]


def test_the_hook(store: str, tmp_path: Path) -> None:
    """The redact hook sees the chain and the example; what it changes of the chain cannot be loaded."""

    def hook(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace("Ada", "somebody")
        if isinstance(value, list):
            return [hook(item) for item in value]
        return {key: hook(item) for key, item in value.items()} if isinstance(value, dict) else value

    start(store, redact=hook)
    chain("Ada asks of {topic}").invoke({"topic": "x"})
    chain().invoke({"topic": "Ada"})
    deliver()

    found = {model.tags["langchain_autotrace.loadable"]: model for model in models(store)}
    assert "redact hook" in found["false"].tags["langchain_autotrace.reason"]
    texts = [files(store, model, tmp_path / name) for name, model in found.items()]
    assert [document(text["input_example.json"]) for text in texts] == [{"topic": "x"}, {"topic": "somebody"}]
    assert "Ada" not in "".join(text for one in texts for text in one.values())


def test_settings_that_do_not_go_together(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Settings that would do nothing, or that contradict each other, are said."""
    langchain_autotrace.autolog(shipper="external", log_input_examples=True, registered_model_name="x")
    (warning,) = warned(caplog)
    assert warning.endswith("have no effect without log_models=True: log_input_examples, registered_model_name")
    with pytest.raises(SettingsError, match="a model contains prompts"):
        langchain_autotrace.autolog(log_models=True, capture_content=False)
    with pytest.raises(SettingsError, match=f"there is no Python file at {tmp_path}/none.py"):
        langchain_autotrace.autolog(log_models=True, model_code="none.py")
    Path("folder.py").mkdir()
    with pytest.raises(SettingsError, match="should be a Python file"):
        langchain_autotrace.autolog(log_models=True, model_code="folder.py")


class Evil(Runnable[Any, Any]):
    """Has no attribute that it was not given."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def invoke(self, input: Any, config: Any = None, **_: Any) -> Any:  # noqa: A002 - LangChain's name
        named: Any = {**(config or {}), "run_name": "evil"}
        return self._call_with_config(lambda value: value, input, named)


class Incomparable:
    __hash__ = None  # type: ignore[assignment] # a list has none either

    def __eq__(self, other: object) -> bool:
        raise ValueError


def test_odd_chains(store: str) -> None:
    """Whatever a chain holds and is given, it runs as it would, its trace is stored, and it is a model."""
    cycle: list[Any] = []
    cycle.append(cycle)
    held = [cycle, Incomparable(), 2**100, float("nan"), "\ud800", {1: {"lc": 2}}, {str(n): n for n in range(3_000)}]
    keeps: Any = RunnableLambda(lambda value, **_: value)
    same: Any = RunnablePassthrough()
    start(store)
    runs: list[tuple[Any, Any]] = [(keeps.bind(held=one), 1) for one in held]
    runs += [(Evil(), 1), *[(same, one) for one in (None, 2**100, float("nan"), "\ud800", b"x", {1}, Incomparable())]]
    returned = [one.invoke(given) is given for one, given in runs]
    deliver()

    assert returned == [True] * len(runs)
    assert (len(stored(store)), internal_errors.count) == (len(runs), 0)
    assert len(models(store)) == len(held) + 2


def test_a_fault_of_ours(store: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong in looking at a chain, its result and trace are as they would be."""
    monkeypatch.delenv("LANGCHAIN_AUTOTRACE_STRICT")
    monkeypatch.delattr(observe, "content_of")
    start(store)
    assert chain().invoke({"topic": "x"}) == "Yes."
    deliver()

    assert (len(stored(store)), models(store)) == (1, [])
    assert ["content_of" in warning for warning in warned(caplog)] == [True]


def test_configurable_values(store: str) -> None:
    """Values given through ``configurable`` are part of what ran: another model, which loads with them."""
    start(store)
    field = ConfigurableField(id="words")
    one = PromptTemplate.from_template("{topic}") | FakeListChatModel(responses=["a"]).configurable_fields(
        responses=ConfigurableField(id="answers"), name=field
    )
    given: dict[str, Any] = {"topic": "x"}
    one.invoke(given)
    one.invoke(given, {"configurable": {"answers": ["b"]}})
    one.invoke(given, {"configurable": {"answers": ["b"], "thread_id": "1", "other": 2}})
    one.batch([given, given], {"configurable": {"answers": ["b"]}})
    asyncio.run(one.ainvoke(given, {"configurable": {"answers": ["b"]}}))
    one.invoke(given, {"configurable": {"thread_id": "1", "other": 2}})
    one.with_config(configurable={"answers": ["b"]}).invoke(given)
    deliver()

    first, second = models(store)
    assert (len(traces_of(store, first)), len(traces_of(store, second))) == (2, 6)
    answers = [langchain_autotrace.load_model(model.model_id).invoke(given).content for model in (first, second)]
    assert answers == ["a", "b"]


class Size(Enum):
    SMALL = "s"


def test_inputs_of_other_types(store: str, tmp_path: Path) -> None:
    """Dates, paths, decimals, UUIDs and enums in an input are texts in the example, and in the signature."""
    start(store)
    given: dict[str, Any] = {
        "topic": dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
        "day": dt.date(2026, 1, 2),
        "path": Path("/a/b"),
        "price": Decimal("1.50"),
        "id": UUID(int=1),
        "size": Size.SMALL,
    }
    chain().invoke(given)
    deliver()

    (model,) = models(store)
    found = files(store, model, tmp_path / "files")
    assert document(found["input_example.json"]) == {
        "topic": "2026-01-02T03:04:05+00:00",
        "day": "2026-01-02",
        "path": "/a/b",
        "price": "1.50",
        "id": "00000000-0000-0000-0000-000000000001",
        "size": "s",
    }
    assert found["MLmodel"].replace("\\", "").count('"type":"string"') == len(given) + 1
