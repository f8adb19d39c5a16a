"""Traces of all kinds: of LangChain's runs, of MLflow's own spans, with all that is odd in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from langchain_autotrace.records import ModelSeen, TraceFile, TraceUpdate
from langchain_autotrace.semconv import Attr, SpanType, Status
from tests.ship.mlflow_support import A_CHAIN, in_experiment
from tests.ship.support import end, event, finished, start, trace_id, whole

if TYPE_CHECKING:
    from langchain_autotrace.trace.spans import Trace


class Example(NamedTuple):
    """A trace of the corpus."""

    records: list[Any]
    in_bulk: bool = True
    """Whether it is written in bulk."""


USAGE: Final = {"input_tokens": 1_000, "output_tokens": 2_000, "total_tokens": 3_000}
MESSAGES: Final = {"messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hé?" * 700}]}
ANSWER: Final = {"choices": [{"message": {"role": "assistant", "content": [{"type": "text", "text": "Ja."}]}}]}


def root(
    *, inputs: Any = ..., outputs: Any = ..., attributes: dict[str, Any] | None = None, **fields: Any
) -> list[Any]:
    """A trace of one span."""
    return [start(1, 1, inputs=inputs, attributes=attributes, **fields), end(1, 1, outputs=outputs)]


def model_call(**attributes: Any) -> list[Any]:
    """A chain with a call of a model that has a price."""
    found = {Attr.MODEL: "gpt-4o-mini", Attr.PROVIDER: "openai", Attr.TOKEN_USAGE: USAGE, **attributes}
    kind: dict[str, Any] = {"type": SpanType.CHAT_MODEL, "attributes": found}
    return [
        start(1, 1, inputs=MESSAGES),
        start(1, 2, 1, inputs=MESSAGES, **kind),
        end(1, 2, outputs=ANSWER, attributes={}),
        end(1, 1, outputs=ANSWER),
    ]


def of_mlflow(*, attributes: dict[str, Any], **fields: Any) -> list[Any]:
    """A trace whose second span is one of MLflow's own API."""
    return [start(1, 1), start(1, 2, 1, attributes=attributes, **fields), end(1, 2, attributes={}), end(1, 1)]


def in_context(**context: Any) -> list[Any]:
    """A trace that says of itself what the context says."""
    return [start(1, 1, context=in_experiment(**context)), end(1, 1)]


def updated(**fields: Any) -> list[Any]:
    """A trace whose fields the program has set."""
    return [start(1, 1), TraceUpdate(trace_id(1), {"tags": {}, "metadata": {}, **fields}), end(1, 1)]


def of_chain(*others: Any, **metadata: str) -> list[Any]:
    """A trace of a chain that is logged as a model."""
    first = start(1, 1, run_id="r", details={"content_hash": HASH}, context=in_experiment(metadata=metadata))
    return [first, *others, end(1, 1)]


HASH: Final = "a" * 64
ERROR: Final = {"classes": ["ValueError", "Exception"], "message": "no\0", "stack": "Traceback …"}
EXAMPLES: Final[dict[str, Example]] = {
    "chain": Example(A_CHAIN),
    "two spans": Example(whole(1)),
    "many spans": Example(whole(1, spans=40)),
    "open root": Example([start(1, 1), start(1, 2, 1), end(1, 2, at=5), end(1, 1)]),
    "error": Example(
        [start(1, 1), end(1, 1, outputs=None)._replace(details={"error": ERROR})],
    ),
    "error of MLflow's": Example([start(1, 1), end(1, 1, status=Status.ERROR, message="x", outputs=None)]),
    "cancelled": Example(
        [
            start(1, 1),
            end(1, 1, outputs=None)._replace(details={"error": {"classes": ["asyncio.exceptions.CancelledError"]}}),
        ]
    ),
    "abandoned stream": Example(
        [start(1, 1), end(1, 1, outputs=None)._replace(details={"error": {"classes": ["GeneratorExit"]}, "chunks": 2})]
    ),
    "earlier and later spans": Example(
        [start(1, 1, at=2), start(1, 2, 1, at=1), end(1, 2, at=9), start(1, 3, 1), end(1, 1, at=3)]
    ),
    "price": Example(model_call()),
    "price given": Example(
        model_call(**{Attr.COST: {"input_cost": 1, "output_cost": 2.5, "total_cost": True, "more": 1}}),
    ),
    "price of a local model": Example(model_call(**{Attr.PROVIDER: "ollama"})),
    "no price": Example(model_call(**{Attr.MODEL: "unheard-of"})),
    "a model's name that is none": Example(model_call(**{Attr.MODEL: ["gpt", 5], Attr.PROVIDER: {"a": 1}})),
    "a long name of a model": Example(model_call(**{Attr.MODEL: "m" * 600, Attr.PROVIDER: "p" * 600})),
    "requested model": Example(model_call(**{Attr.REQUEST_MODEL: "gpt-4o"})),
    "only the requested model": Example(of_mlflow(attributes={Attr.REQUEST_MODEL: "gpt-4o"})),
    "usage": Example(model_call(**{Attr.TOKEN_USAGE: {"input_tokens": 3, "cache_read_input_tokens": 2, "odd": 1}})),
    "odd usage": Example(of_mlflow(attributes={Attr.TOKEN_USAGE: {"input_tokens": None, "output_tokens": True}})),
    "unknown usage": Example(of_mlflow(attributes={Attr.TOKEN_USAGE: {"tokens": 5}}), in_bulk=False),
    "usage within usage": Example(
        [
            start(1, 1, attributes={Attr.TOKEN_USAGE: USAGE, Attr.MODEL: "gpt-4o-mini", Attr.PROVIDER: "openai"}),
            start(1, 2, 1, attributes={Attr.TOKEN_USAGE: USAGE, Attr.MODEL: "gpt-4o", Attr.PROVIDER: "openai"}),
            end(1, 2, attributes={}),
            end(1, 1, attributes={}),
        ]
    ),
    "session and user": Example(of_mlflow(attributes={Attr.SESSION: "s\0" * 300, Attr.USER: "u"})),
    "odd session": Example(of_mlflow(attributes={Attr.SESSION: 0, Attr.USER: None}), in_bulk=False),
    "session that is a number": Example(of_mlflow(attributes={Attr.SESSION: 5, Attr.USER: {"name": "ada"}})),
    "empty session": Example(of_mlflow(attributes={Attr.SESSION: "", Attr.USER: ""})),
    "session of metadata": Example(in_context(metadata={"mlflow.trace.session": "s", "mlflow.trace.user": "u"})),
    "usage of metadata": Example(in_context(metadata={"mlflow.trace.tokenUsage": '{"input_tokens": 5}'})),
    "odd usage of metadata": Example(
        in_context(metadata={"mlflow.trace.tokenUsage": "[1]", "mlflow.trace.cost": "x"}), in_bulk=False
    ),
    "events": Example(
        [
            start(1, 1),
            event(1, 1, "chunk", at=0.5, index=0, flags=[True], parts={"a": 1}, nothing=None, ratio=0.1),
            event(1, 1, "gen_ai.user.message", at=0.6, content="hi"),
            end(1, 1),
        ]
    ),
    "event of another tracer": Example(
        [
            start(1, 1, inputs=None),
            event(1, 1, "gen_ai.content.prompt")._replace(details={"gen_ai.prompt": "hi"}),
            end(1, 1),
        ],
        in_bulk=False,
    ),
    "event without values": Example(
        [start(1, 1), start(1, 2, 1, inputs=None), event(1, 2, "tool.output", output="x"), end(1, 2), end(1, 1)]
    ),
    "NUL": Example(
        [
            start(
                1,
                1,
                name="a\0b",
                inputs={"k\0": ["v\0", "\\u0000"]},
                attributes={"x": "y\0"},
                context=in_experiment(tags={"t\0": "1\0"}, metadata={"m\0": "2\0"}),
            ),
            event(1, 1, "e\0", at=0.5, text="v\0"),
            end(1, 1, outputs="o\0", status=Status.ERROR, message="m\0"),
        ]
    ),
    "odd characters": Example(root(inputs="\u2028\x7f\x1b😀\ufffe", outputs={"é": ['\t\r\n\\"/']}, name="名\n")),
    "JSON within JSON": Example(root(inputs='{"a": [1, "b"]}', outputs='"\\"twice\\""', attributes={"x": "[1]"})),
    "what looks like JSON": Example(root(inputs="{no", outputs="[", attributes={"x": "5", "y": " {}", "z": "\n[1]"})),
    "JSON deep within": Example(root(inputs="[" * 50 + "]" * 50, outputs='  "x"')),
    "model in inputs": Example(root(inputs={"model": "gpt-5"}, outputs={"model": "other"})),
    "model in outputs": Example(root(inputs={"model": ""}, outputs={"model": "gpt-5"})),
    "model that is none": Example(root(inputs={"model": 5}, outputs={"model": "gpt-5"})),
    "model in JSON within JSON": Example(root(inputs='{"mod\\u0065l": "gpt-5"}', outputs=None)),
    "model and usage": Example(
        [
            start(1, 1, inputs={"model": "gpt-4o-mini"}, attributes={Attr.TOKEN_USAGE: USAGE}),
            end(1, 1, attributes={}),
        ]
    ),
    "nothing in it": Example(root(inputs=None, outputs=None)),
    "empty values": Example(root(inputs={}, outputs="")),
    "null": Example([start(1, 1)._replace(inputs=[None]), end(1, 1)._replace(outputs=[None])]),
    "long values": Example(root(inputs="x" * 5_000, outputs={"messages": [{"role": "user", "content": "y" * 5_000}]})),
    "messages": Example(root(inputs=MESSAGES, outputs=ANSWER)),
    "messages of agents": Example(
        root(inputs={"request": {"input": [{"role": "user", "content": "a"}]}}, outputs={"output": [{"type": "x"}]})
    ),
    "messages without text": Example(
        root(inputs={"messages": [{"role": "tool", "content": None}, 5]}, outputs={"messages": [1, 2]})
    ),
    "numbers": Example(root(inputs=[1, 2.5, 1e300, -0.0, 2**60], outputs=True)),
    "links": Example(
        [
            *of_mlflow(attributes={})[:2],
            end(1, 2, attributes={})._replace(
                details={"attributes": {}, "links": [{"trace_id": "tr-" + "a" * 32, "span_id": "b" * 16}]}
            ),
            end(1, 1),
        ]
    ),
    "attributes of a program": Example(of_mlflow(attributes={"mixed": [1, None], "a.b": {"c": "d"}, "mlflow.x": 1})),
    "attributes of other tracers": Example(
        of_mlflow(
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.response.model": "gpt-4o",
                "openinference.span.kind": "LLM",
                "input.value": "in",
                "output.value": "out",
                "llm.provider": "openai",
            },
            type=SpanType.UNKNOWN,
            inputs=None,
        )
    ),
    "usage of other tracers": Example(
        of_mlflow(attributes={"gen_ai.usage.input_tokens": 5, "gen_ai.usage.output_tokens": 6}), in_bulk=False
    ),
    "tags of spans": Example(of_mlflow(attributes={"mlflow.traceTag.a": "b"}), in_bulk=False),
    "conversation": Example(of_mlflow(attributes={"gen_ai.conversation.id": "c"}), in_bulk=False),
    "types": Example(of_mlflow(attributes={}, type="MY TYPE")),
    "type that is JSON": Example(of_mlflow(attributes={}, type='"x"')),
    "type among the attributes": Example(of_mlflow(attributes={Attr.SPAN_TYPE: [1]}), in_bulk=False),
    "tags and metadata": Example(
        in_context(
            tags={"team": "blue", "mlflow.traceName": "mine", "odd!key": "x" * 9_000},
            metadata={"build": "7", "m": "x" * 9_000, "mlflow.source.name": "other", "mlflow.trace.infoFinalized": "x"},
        )
    ),
    "updated": Example(
        updated(
            tags={"a": "1"},
            metadata={"b": "2"},
            name="renamed",
            client_request_id="request 7",
            request_preview="asked",
            response_preview="",
            state="ERROR",
        )
    ),
    "updated in part": Example(updated(request_preview="p" * 900)),
    "odd state": Example(updated(state="IN_PROGRESS"), in_bulk=False),
    "long name": Example(root(name="n" * 9_000)),
    "file": Example([TraceFile(trace_id(1), "f" * 32, "aGVsbG8="), *whole(1)], in_bulk=False),
    "in pieces": Example([start(1, 1, context=in_experiment(experiment_id="0")), end(1, 1)]),
    "chain with a description": Example(of_chain(ModelSeen(trace_id(1), HASH, {}))),  # type: ignore[typeddict-item]
    "chain without a description": Example(of_chain()),
    "chain of a run": Example(of_chain(**{"mlflow.sourceRun": "f" * 32})),
    "chain whose model the program has set": Example(of_chain(**{"mlflow.modelId": "m-1"})),
    "chain with a file": Example(of_chain(TraceFile(trace_id(1), "f" * 32, "aGVsbG8=")), in_bulk=False),
    "times": Example([start(1, 1, at=-1e-9), end(1, 1, at=0)]),
}


def traces(number: int, name: str) -> list[Trace]:
    """The example of that name, as the ``number``-th trace."""
    return [renumbered(finished(*EXAMPLES[name].records), number)]


def renumbered(trace: Trace, number: int) -> Trace:
    """The trace with another id."""
    other = f"{number:032x}"
    spans = [span._replace(trace_id=other) for span in trace.spans]
    made = trace._replace(trace_id=other, spans=spans)
    if trace.root is None:
        return made
    return made._replace(root=next(span for span in spans if span.span_id == trace.root.span_id))
