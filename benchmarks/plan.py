"""What is measured, of whom, and how often. Standard library only: `run.py` reads it before anything is installed."""

from __future__ import annotations

import os
from dataclasses import dataclass

BASELINE = "off"
FLOOR = "noop"
OURS = "ours"
BEFORE = "before"
BEFORE_VARIABLE = "AUTOTRACE_BEFORE"
"""Environment variable: a folder that holds another version of this package, which takes part as `before`."""
PEERS = ("mlflow", "openinference", "openllmetry", "langfuse", "langsmith")
EVERYONE = (BASELINE, FLOOR, OURS, *([BEFORE] if os.environ.get(BEFORE_VARIABLE) else []), *PEERS)
WITH_DATABASE = (OURS, "mlflow")
"""Those that write to a database of MLflow's."""
WITH_MLFLOW = (BASELINE, OURS, "ours-skinny", "mlflow", "mlflow-skinny")
"""Those that know MLflow's own spans; `-skinny` is without pandas, as mlflow-skinny is, where MLflow's own autolog
cannot be."""

ROUNDS = 5
QUICK_ROUNDS = 2


@dataclass(frozen=True, slots=True)
class Case:
    """One table of the report."""

    name: str
    """Its name on the command line and in the results."""
    title: str
    """The sentence above its table."""
    contestants: tuple[str, ...]
    """Who takes part, in the order of the table."""
    runs: int
    """Measured runs of the program in each turn of a process."""
    quick_runs: int
    """The same with `--quick`."""
    warmup: int
    """Runs before the clock starts; 0 where the first run is what is measured."""
    longer: int = 1
    """How many times as many runs the others make as `mlflow`, which takes 30 ms for one: fewer would last so short
    that the wait for the last batch is most of it."""
    turns: int = 1
    """How often the contestants' processes take turns in a round: what a machine does to one, it does to all."""
    once: bool = False
    """Measured in the first round only: the figure does not vary, or takes long."""
    on_request: bool = False
    """Measured only when asked for by name or by its flag."""
    seconds: int = 900
    """How long one process may take before it counts as failed."""

    def runs_of(self, name: str, *, quick: bool) -> int:
        """The measured runs of a contestant in each turn."""
        return (self.quick_runs if quick else self.runs) * (1 if name == "mlflow" else self.longer)


CASES = (
    Case("chain", "prompt | chat model | parser, `invoke`", (*EVERYONE, "ours-models"), 300, 100, 30, turns=4),
    Case("paced", "the same with a pause of 50 ms before each run, not timed", EVERYONE, 60, 30, 5),
    Case("long", "the same with a question and an answer of 6,000 characters each", EVERYONE, 200, 80, 30, turns=3),
    Case("stream", "a chat model that streams 2,000 tokens, `chain.stream`", EVERYONE, 8, 3, 1, turns=2),
    Case("async", "the chain, `ainvoke`, 50 at a time by `asyncio.gather`", EVERYONE, 1000, 300, 50),
    Case("threads", "the chain in 8 threads beside one CPU-bound thread", EVERYONE, 160, 80, 16),
    Case("agent", "`create_agent`, two tool calls", EVERYONE, 40, 15, 5, turns=3),
    Case("span", "a function with `@mlflow.trace`, no LangChain", WITH_MLFLOW, 300, 100, 30, turns=3),
    Case("chain_span", "the chain with such a function within", WITH_MLFLOW, 200, 60, 20, turns=3),
    Case("startup", "switching tracing on, and the first `invoke`, with a new store", EVERYONE, 1, 1, 0),
    Case(
        "delivery", "traces into a new SQLite file", (BASELINE, OURS, "ours-thread", "mlflow"), 300, 100, 0, longer=10
    ),
    Case(
        "delivery_agent",
        "traces of the agent into SQLite, 11 spans of 1 to 17 kB",
        (BASELINE, *WITH_DATABASE),
        100,
        30,
        0,
        longer=10,
    ),
    Case("delivery_postgresql", "traces into PostgreSQL", (BASELINE, *WITH_DATABASE), 300, 100, 0, longer=10),
    Case(
        "delivery_postgresql_agent",
        "traces of the agent into PostgreSQL",
        (BASELINE, *WITH_DATABASE),
        100,
        30,
        0,
        longer=10,
    ),
    Case("script", "a whole short program", (BASELINE, *WITH_DATABASE), 1, 1, 0),
    Case("many", "8 programs at once, 100 traces a second each, one SQLite file", (OURS,), 2_000, 500, 0, once=True),
    Case("span_size", "what is stored of one 2,000-token stream", WITH_DATABASE, 1, 1, 0, once=True),
    Case(
        "memory",
        "resident memory of the application as it runs on",
        (BASELINE, OURS),
        100_000,
        10_000,
        100,
        once=True,
        on_request=True,
        seconds=7200,
    ),
)

NAMES = tuple(dict.fromkeys(name for case in CASES for name in case.contestants))
"""Every contestant of any case."""
