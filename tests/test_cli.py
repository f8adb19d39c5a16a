"""The commands, against a real SQLite store and real journals."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from uuid import UUID

import orjson
import pytest
from click.testing import CliRunner
from langchain_core.runnables import RunnableLambda, RunnablePassthrough

import langchain_autotrace
from langchain_autotrace import cli as cli_module
from langchain_autotrace.journal.folder import replace
from tests.view.conftest import calm
from tests.view.support import (
    ANSWER,
    MODEL,
    NOWHERE,
    abandon,
    ask,
    cli,
    cli_json,
    dead_process,
    environment,
    fail,
    the_folder,
    traced,
)

__all__ = ["calm"]  # a fixture


class TestList:
    """`list`."""

    def test_what_waits_in_the_journal(self, store: str) -> None:
        """Traces that no shipper has delivered are delivered, and listed newest first."""
        traced(ask, fail, tracking_uri=store)
        result = cli("list")
        lines = result.stdout.splitlines()
        assert (result.exit_code, result.stderr) == (0, "")
        assert [line.split()[1:] for line in lines[1:]] == [
            ["fail", "ERROR", *lines[1].split()[3:5], "-", lines[1].split()[-1]],
            ["ask", "OK", *lines[2].split()[3:5], "1,234", lines[2].split()[-1]],
        ]

    def test_json(self, store: str) -> None:
        """Programs are given every field, and ids in full."""
        traced(ask, tracking_uri=store, extra_tags={"team": "north"})
        (row,) = cli_json("list")
        assert row["trace_id"].startswith("tr-")
        assert len(row["trace_id"]) == len("tr-") + 32
        assert row["start"].endswith("+00:00")
        assert row["metadata"]["mlflow.source.type"] == "LOCAL"
        varying = ("trace_id", "start", "start_ms", "duration_ms", "metadata")
        assert {key: value for key, value in row.items() if key not in varying} == {
            "name": "ask",
            "status": "OK",
            "tokens": {"input": 1200, "output": 34, "total": 1234, "cached": 1000, "reasoning": None},
            "cost_usd": None,
            "experiment_id": "0",
            "session": "talk-1",
            "user": "ada",
            "tags": {"team": "north"},
        }

    def test_limit_and_experiment(self, store: str) -> None:
        """`-n` gives the newest, `--experiment` those of one experiment."""
        traced(ask, fail, tracking_uri=store)
        traced(abandon, tracking_uri=store, experiment="other")
        assert [row["name"] for row in cli_json("list", "-n", "2")] == ["GenericFakeChatModel", "fail"]
        assert [row["name"] for row in cli_json("list", "--experiment", "other")] == ["GenericFakeChatModel"]
        assert cli("list", "--experiment", "none").stderr == (
            f"Error: no experiment 'none' in {store}; existing experiments include: 'other', 'Default'.\n"
        )

    def test_no_database(self, tmp_path: Path) -> None:
        """Where nothing was traced it says what to do, and makes no database."""
        result = cli("list")
        uri = f"sqlite:///{tmp_path}/mlflow.db"
        assert result.exit_code == 0
        assert result.stdout == (
            f"no traces yet in {uri}: call langchain_autotrace.autolog() in your program and run it.\n"
        )
        assert cli_json("list") == []
        assert list(tmp_path.iterdir()) == []

    def test_other_destination(self, tmp_path: Path, store: str) -> None:
        """Who looks in the wrong place is told where this user has traced to."""
        traced(ask, tracking_uri=store)
        (tmp_path / "elsewhere").mkdir()
        result = cli("list", "--tracking-uri", f"sqlite:///{tmp_path}/elsewhere/mlflow.db")
        assert f"There are traces in {store}: use --tracking-uri." in result.stdout

    def test_new_database_is_made_in_its_own_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A database that is made on the way has its artifacts beside it, wherever the command is called."""
        from mlflow import MlflowClient

        uri = f"sqlite:///{tmp_path}/data/new.db"
        (tmp_path / "data").mkdir()
        (tmp_path / "cwd").mkdir()
        monkeypatch.chdir(tmp_path / "cwd")
        traced(ask, tracking_uri=uri)
        assert len(cli_json("list", "--tracking-uri", uri)) == 1
        assert MlflowClient(uri).get_experiment("0").artifact_location == f"{tmp_path}/data/mlruns/0"
        assert Path.cwd() == tmp_path / "cwd"
        assert list(Path.cwd().iterdir()) == []

    def test_undelivered(self, store: str) -> None:
        """What another shipper cannot deliver is said in one line, and what is stored is listed."""
        traced(ask, tracking_uri=store)
        assert len(cli_json("list")) == 1
        traced(fail, tracking_uri=store)
        folder = the_folder()
        status = {**folder.read_status(), "error": "the disk is full", "time": 2e9}
        replace(folder.status_file, orjson.dumps(status))
        with folder.shipper_lock():
            result = cli("list")
        assert result.stderr == "1 trace is not delivered yet and not shown (the disk is full).\n"
        assert [line.split()[1] for line in result.stdout.splitlines()] == ["name", "ask"]

    def test_width(self, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """At 80 columns ids are short enough to fit and long enough to copy; at 120 they are whole."""
        traced(lambda: RunnableLambda(len, name="n" * 70).invoke("x"), tracking_uri=store)
        (row,) = cli_json("list")
        for columns, shown in (("80", row["trace_id"][-10:]), ("120", row["trace_id"])):
            monkeypatch.setenv("COLUMNS", columns)
            heading, line = cli("list").stdout.splitlines()
            assert line.split()[-1] == shown
            assert max(len(heading), len(line)) <= int(columns)

    def test_ids_of_one_moment(self, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The ids of traces that started a few milliseconds apart are long enough to copy, each to its trace."""
        first, second = (UUID(f"0198c0de-111{digit}-7222-8333-44444444444{digit}") for digit in (1, 6))

        def run(name: str, run_id: UUID) -> None:
            RunnableLambda(len, name=name).invoke("x", {"run_id": run_id})

        traced(lambda: run("first", first), lambda: run("second", second), tracking_uri=store)
        monkeypatch.setenv("COLUMNS", "80")
        _, *lines = cli("list").stdout.splitlines()
        assert [cli_json("show", line.split()[-1])["trace"]["name"] for line in lines] == ["second", "first"]

    def test_terminal(self, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Colours are for terminals only."""
        traced(fail, tracking_uri=store)
        assert "\x1b" not in cli("list").stdout
        monkeypatch.setenv("FORCE_COLOR", "1")
        assert "\x1b[1;31mERROR" in cli("list").stdout


class TestShow:
    """`show`."""

    def test_tree(self, store: str) -> None:
        """A trace is a head and a tree of spans, models with their tokens."""
        traced(ask, tracking_uri=store, extra_tags={"team": "north"})
        head = cli("show", "last").stdout.split("\n\n")[0].splitlines()
        (row,) = cli_json("list")
        facts = {line.split()[0]: " ".join(line.split()[1:]) for line in head}
        assert facts | {"started": "", "duration": ""} == {
            "trace": row["trace_id"],
            "name": "ask",
            "status": "OK",
            "started": "",
            "duration": "",
            "tokens": "1,234 (1,200 in, 34 out, 1,000 cached, 20 reasoning)",
            "session": "talk-1",
            "user": "ada",
            "tags": "team=north",
        }
        assert _tree("last") == [
            "ask  CHAIN  OK",
            f"├── GenericFakeChatModel  CHAT_MODEL  OK  {MODEL}  1,200 in, 34 out",
            "└── StrOutputParser  PARSER  OK",
        ]

    def test_errors_and_outcomes(self, store: str) -> None:
        """A failed span shows what was raised, an abandoned one that it was abandoned."""
        traced(fail, abandon, tracking_uri=store)
        newest, oldest = cli_json("list")
        assert _tree(oldest["trace_id"]) == [
            "fail  CHAIN  ERROR",
            "│   ValueError: no such city: Atlantis",
            "└── weather  TOOL  ERROR",
            "        ValueError: no such city: Atlantis",
        ]
        assert _tree(newest["trace_id"])[0] == "GenericFakeChatModel  CHAT_MODEL  abandoned"

    def test_values(self, store: str) -> None:
        """`--io` shows what went in and came out, messages as a conversation."""
        traced(ask, tracking_uri=store)
        lines = [line.strip(" │") for line in cli("show", "last", "--io").stdout.splitlines()]
        model = next(number for number, line in enumerate(lines) if "CHAT_MODEL" in line)
        assert lines[model + 1 : model + 3] == [
            "in   user: How warm is it in Lisbon?",
            f"out  assistant: {ANSWER}",
        ]

    def test_long_values(self, store: str) -> None:
        """Long values are shortened, and `--full` shows all of them."""
        traced(lambda: RunnableLambda(str.upper).invoke("\n".join(map(str, range(1000)))), tracking_uri=store)
        short = cli("show", "last", "--io").stdout
        assert "… (991 more lines: --full)" in short
        assert " 500\n" not in short
        assert " 500\n" in cli("show", "last", "--io", "--full").stdout

    def test_json(self, store: str) -> None:
        """Programs are given the trace and all its spans, in the order of the tree."""
        traced(ask, tracking_uri=store)
        shown = cli_json("show", "last")
        root, model, parser = shown["spans"]
        assert shown["trace"]["tokens"]["reasoning"] == 20
        assert [(span["name"], span["type"], span["depth"], span["parent_id"]) for span in shown["spans"]] == [
            ("ask", "CHAIN", 0, None),
            ("GenericFakeChatModel", "CHAT_MODEL", 1, root["span_id"]),
            ("StrOutputParser", "PARSER", 1, root["span_id"]),
        ]
        assert (model["model"], model["tokens"]["total"], parser["outputs"]) == (MODEL, 1234, ANSWER)

    def test_plumbing(self, store: str) -> None:
        """What LangChain made by itself is folded; `--all` and `--json` have it."""
        chain = RunnablePassthrough.assign(n=lambda _: 1) | RunnableLambda(sorted)
        traced(lambda: chain.invoke({"x": 1}), tracking_uri=store)

        assert _tree("last") == ["RunnableSequence  CHAIN  OK", "└── sorted  CHAIN  OK"]
        assert cli("show", "last").stdout.endswith("\n\n3 plumbing steps folded; --all shows them\n")
        assert _tree("last", "--all") == [
            "RunnableSequence  CHAIN  OK",
            "├── RunnableAssign<n>  CHAIN  OK",
            "│   └── RunnableParallel<n>  CHAIN  OK",
            "│       └── RunnableLambda  CHAIN  OK",
            "└── sorted  CHAIN  OK",
        ]
        assert len(cli_json("show", "last")["spans"]) == 5

    def test_abbreviated_id(self, store: str) -> None:
        """The first or last digits of an id will do, with or without `tr-`, as long as only one trace has them."""
        traced(ask, fail, tracking_uri=store)
        newest, oldest = (row["trace_id"] for row in cli_json("list"))
        enough = next(length for length in range(len(oldest)) if oldest[:length] != newest[:length])
        for wanted in (oldest, oldest[3:], oldest[:enough], oldest[3:enough], oldest[-10:]):
            assert cli_json("show", wanted)["trace"]["trace_id"] == oldest
        result = cli("show", "tr-")
        assert result.exit_code == 1
        assert result.stderr == f"Error: more than one trace matches 'tr-': {newest}, {oldest}. Use a longer id.\n"

    @pytest.mark.parametrize("wanted", ["0123", "tr-" + "0" * 32, "' OR 1=1 --", "_" * 8, "%"])
    def test_unknown_id(self, store: str, wanted: str) -> None:
        """An unknown id is one line that says where to find the known ones."""
        traced(ask, tracking_uri=store)
        result = cli("show", wanted)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == f"Error: no trace {wanted!r} in {store}; see: langchain-autotrace list\n"

    def test_nothing_stored(self, store: str) -> None:
        """Where there is no trace, it is an error to show one."""
        result = cli("show", "last")
        assert result.exit_code == 1
        assert result.stderr.startswith(f"Error: no traces yet in {store}: ")
        Path(store.removeprefix("sqlite:///")).unlink()
        assert cli("show", "last").stderr == result.stderr

    def test_hostile_content(self, store: str) -> None:
        """What programs write cannot steer the terminal, and markup stays text."""
        traced(
            lambda: RunnableLambda(str.strip, name="[red]\x1b[2Jn").invoke("\x1b]0;x\x07 [bold]b"), tracking_uri=store
        )
        result = cli("show", "last", "--io")
        assert "\x1b" not in result.stdout
        assert "[red]" in result.stdout
        assert "[bold]b" in result.stdout

    def test_lost(self, store: str) -> None:
        """A run whose process died is shown as lost, with what was known of it."""
        dead_process("RunnableLambda(lambda _: os._exit(1), name='doomed').invoke('x')")
        assert _tree("last", "--io") == [
            "doomed  CHAIN  lost",
            "    the process ended while this was running",
            "    in   x",
        ]
        assert cli_json("list", "--tracking-uri", store)[0]["status"] == "ERROR"


class TestDemo:
    """`demo`."""

    def test_empty_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, socket_disabled: None) -> None:
        """In an empty folder, without a key and without a network, three programs run and their traces are shown."""
        assert socket_disabled is None
        monkeypatch.setenv("LANGCHAIN_AUTOTRACE_SHIPPER", "thread")
        monkeypatch.delenv("MLFLOW_MODEL_CATALOG_URI")
        result = cli("demo")
        assert (result.exit_code, result.stderr) == (0, "")
        for part in (
            "OPENAI_API_KEY is not set: using recorded answers, no network.",
            "joke_chain     Why did the span",
            f"'langchain-autotrace-demo' in sqlite:///{tmp_path}/mlflow.db",
            "├── tools  CHAIN  OK",
            "│   └── calculator  TOOL  OK",
            "ChatOpenAI  CHAT_MODEL  OK  gpt-4o-mini-2024-07-18  221 in, 24 out",
            "  langchain-autotrace show last --io\n",
        ):
            assert part in result.stdout
        assert [row["tokens"]["total"] for row in cli_json("list")] == [710, 105, 55]
        assert [row["cost_usd"] for row in cli_json("list")] == pytest.approx([0.00012705, 0.0000279, 0.0000213])

    def test_elsewhere(self, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The commands that it names lead to its traces, wherever they are, and a failed program is told and traced."""

        def failing() -> str:
            return str(RunnableLambda(_divided, name="failing").invoke(0))

        monkeypatch.setenv("LANGCHAIN_AUTOTRACE_SHIPPER", "thread")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
        monkeypatch.setattr("langchain_autotrace.demo.programs.PROGRAMS", {"joke_chain": failing})
        result = cli("demo", "--tracking-uri", store)
        assert result.exit_code == 1
        assert "joke_chain     ZeroDivisionError: division by zero" in result.stdout
        assert f"show last --io --tracking-uri {store}" in result.stdout.replace("\n", "")
        assert cli_json("list", "--tracking-uri", store)[0]["status"] == "ERROR"

    def test_missing_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without the extra's packages it says how to install them."""
        for name in ("langchain_openai", "langchain_autotrace.demo.programs"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.setitem(sys.modules, "langchain_openai", None)
        result = cli("demo")
        assert result.exit_code == 1
        fix = "Run: pip install 'langchain-autotrace[demo]'"
        assert result.stderr == f"Error: the demo needs additional packages. {fix}\n"


class TestErrors:
    """What goes wrong, in one line."""

    @pytest.mark.parametrize(
        ("arguments", "line"),
        [
            (["list", "--tracking-uri", "foo://x"], "unknown scheme 'foo'"),
            (["list", "--tracking-uri", "sqlite:///missing/x.db"], "Create the folder"),
            (["show", "last", "--tracking-uri", "postgresql+pg8000://u:secret@h/db"], "is not installed"),
            (["list", "--tracking-uri", NOWHERE], "cannot reach the server (Connection refused)."),
            (["list", "--nonsense"], "See: langchain-autotrace list --help"),
            (["nonsense"], "No such command 'nonsense'. See: langchain-autotrace --help"),
            (["list", "-n", "0"], "x>=1"),
        ],
    )
    def test_one_line(self, arguments: list[str], line: str) -> None:
        """Every error is one line on standard error and a status that is not 0."""
        result = cli(*arguments)
        assert result.exit_code != 0
        assert result.stdout == ""
        assert result.stderr.startswith("Error: ")
        assert line in result.stderr
        assert result.stderr.count("\n") == 1
        assert "secret" not in result.stderr

    def test_database_is_none(self, tmp_path: Path) -> None:
        """A broken database file is an error of that file, not of the command."""
        (tmp_path / "mlflow.db").write_bytes(b"SQLite format 3\x00" + b"x" * 5000)
        result = cli("list")
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert f"Error: sqlite:///{tmp_path}/mlflow.db: " in result.stderr
        assert "unexpected" not in result.stderr

    def test_unexpected(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An error that nobody foresaw is one line too, and with the debug variable a traceback."""

        def broken(_: object) -> None:
            message = "a bug\nof ours"
            raise RuntimeError(message)

        monkeypatch.setattr(cli_module, "_uri", broken)
        result = cli("list")
        assert result.exit_code == 1
        assert (
            result.stderr
            == "Error: RuntimeError: a bug (unexpected error; set LANGCHAIN_AUTOTRACE_DEBUG=1 to see the traceback)\n"
        )
        monkeypatch.setenv("LANGCHAIN_AUTOTRACE_DEBUG", "1")
        assert isinstance(CliRunner().invoke(cli_module.main, ["list"]).exception, RuntimeError)

    def test_interrupted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ctrl-C ends a command without a traceback."""

        def stopped(_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(cli_module, "_uri", stopped)
        result = cli("list")
        assert (result.exit_code, result.stderr.strip()) == (130, "Error: interrupted.")


class TestProcess:
    """The program as the shell starts it."""

    def test_version_and_help(self) -> None:
        """`--version` and `--help` answer without loading MLflow or rich."""
        code = (
            "import sys; from langchain_autotrace.cli import main\n"
            "try: main(['--version'])\n"
            "except SystemExit: print(sorted({'mlflow', 'rich'} & sys.modules.keys()))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment()
        )
        version, loaded = done.stdout.splitlines()
        assert version == f"langchain-autotrace, version {langchain_autotrace.__version__}"
        assert loaded == "[]"
        assert "doctor" in cli("--help").stdout
        assert cli().stdout == cli("--help").stdout


def _tree(trace_id: str, *options: str) -> list[str]:
    """The lines of a trace's tree, without the durations on their left."""
    lines = cli("show", trace_id, *options).stdout.split("\n\n")[1].splitlines()
    gutter = lines[0].index("ms  ") + len("ms  ")
    return [line[gutter:] for line in lines]


def _divided(number: int) -> float:
    return 1 / number
