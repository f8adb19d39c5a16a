"""Real processes with the real shipper: exits, crashes, forks, outages."""

from __future__ import annotations

import importlib.util
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from langchain_autotrace import trace_id
from langchain_autotrace.journal.folder import all_folders
from tests.patience import PATIENCE, wait_until
from tests.support import STRICT, Tree, deliver, stored, tree
from tests.uncovered import unmeasured

HEAD = '''
import gc, os, subprocess, sys, time
import langchain_autotrace
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda

chain = ChatPromptTemplate.from_template("{topic}") | FakeListChatModel(responses=["yes"]) | StrOutputParser()

def shippers():
    """The process ids of the shippers that this program has started and that run."""
    started = [one for one in gc.get_objects() if isinstance(one, subprocess.Popen)]
    return [one.pid for one in started if "langchain_autotrace.ship" in one.args and one.poll() is None]

'''


def start(program: str, uri: str, *, options: Sequence[str] = STRICT, **environment: str) -> subprocess.Popen[str]:
    """Start a program with ``autolog()`` on."""
    text = HEAD + f"langchain_autotrace.autolog(tracking_uri={uri!r})\n" + textwrap.dedent(program)
    return subprocess.Popen(
        [sys.executable, *options, "-c", text],
        env={**unmeasured(), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(
    program: str, uri: str, *, status: int = 0, options: Sequence[str] = STRICT, **environment: str
) -> tuple[str, str, float]:
    """Run a program to its end: what it printed, what it complained of, and the seconds it took."""
    before = time.monotonic()
    process = start(program, uri, options=options, **environment)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == status, err
    return out, err, time.monotonic() - before


def all_quiet() -> bool:
    """Whether no journal is left and no shipper runs."""
    return all(not folder.processes() and not folder.has_shipper() for folder in all_folders())


def count(uri: str) -> int:
    """Traces in the database."""
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as connection:
        return int(connection.execute("select count(*) from trace_info").fetchone()[0])


def test_a_program_that_just_ends(store: str) -> None:
    """A program that never flushes says nothing, and all its traces arrive."""
    out, err, _ = run("for i in range(5): chain.invoke({'topic': i})", store)
    assert (out, err) == ("", "")
    wait_until(all_quiet)
    assert [len(trace.data.spans) for trace in stored(store)] == [4] * 5


def test_a_program_that_raises(store: str) -> None:
    """A program that ends with an exception keeps its own exit status, and its traces arrive."""
    _, err, _ = run("chain.invoke({'topic': 1}); raise SystemExit(7)", store, status=7)
    assert err == ""
    wait_until(lambda: count(store) == 1)


@pytest.mark.long
def test_a_new_database(tmp_path: Path) -> None:
    """autolog() and the first call do not wait for the database, which the shipper creates, nor import MLflow."""
    program = """
        langchain_autotrace.autolog(tracking_uri="sqlite:///fresh.db")
        chain.invoke({"topic": 1})
        assert not os.path.exists("fresh.db")
        assert "mlflow" not in sys.modules and "sqlalchemy" not in sys.modules
        os.mkdir("elsewhere"); os.chdir("elsewhere")
        assert langchain_autotrace.flush(300).ok
    """
    run(program, f"sqlite:///{tmp_path}/other.db")
    (trace,) = stored(f"sqlite:///{tmp_path}/fresh.db")
    assert trace.info.tags["mlflow.artifactLocation"].startswith(str(tmp_path / "mlruns"))
    assert not (tmp_path / "other.db").exists()


def test_the_shipper_comes_second(store: str) -> None:
    """Where processors are few, the program that is traced comes before the shipper, which does not import pandas."""
    program = """
        chain.invoke({"topic": 1})
        assert langchain_autotrace.flush(300).ok
        own = os.getpriority(os.PRIO_PROCESS, 0)
        pids = shippers()
        found = [os.getpriority(os.PRIO_PROCESS, pid) for pid in pids]
        print(found == [min(own + 10, 19)])
        for pid in pids:
            if os.path.exists(f"/proc/{pid}/maps"):
                with open(f"/proc/{pid}/maps") as maps:
                    mapped = maps.read()
                assert "python" in mapped and "/pandas/" not in mapped
    """
    assert importlib.util.find_spec("pandas")
    assert run(program, store)[0] == "True\n"


def test_kill_in_mid_chain(store: str) -> None:
    """After kill -9 what had ended arrives, and what was in flight arrives as "lost" with its inputs."""
    program = """
        chain.invoke({"topic": "done"})
        assert langchain_autotrace.flush(300).ok  # the shipper runs: killed sooner, the next program would start it
        def hang(x):
            print("now", flush=True)
            time.sleep(600)
        (RunnableLambda(lambda x: x + 1, name="first") | RunnableLambda(hang, name="second")).invoke(41)
    """
    process = start(program, store)
    assert process.stdout is not None
    assert process.stdout.readline() == "now\n"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    wait_until(lambda: count(store) == 2 and all_quiet())
    done, lost = stored(store)
    assert len(done.data.spans) == 4
    steps: list[Tree] = [("first", "CHAIN", "OK", []), ("second", "CHAIN", "lost", [])]
    assert tree(lost) == ("RunnableSequence", "CHAIN", "lost", steps)
    assert lost.info.state.value == "ERROR"
    assert {span.name: span.inputs for span in lost.data.spans} == {"RunnableSequence": 41, "first": 41, "second": 42}


def test_a_busy_store(store: str) -> None:
    """A store that takes nothing during the whole run leaves the program unaffected; the next run delivers all."""
    blocker = sqlite3.connect(store.removeprefix("sqlite:///"), isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    out, err, _ = run(
        "print([chain.invoke({'topic': i}) for i in range(20)] == ['yes'] * 20)",
        store,
        LANGCHAIN_AUTOTRACE_PATIENCE="0",
    )
    assert (out, err) == ("True\n", "")
    blocker.execute("ROLLBACK")
    blocker.close()
    run("chain.invoke({'topic': 'next'})", store)
    wait_until(lambda: count(store) == 21)


def test_a_dead_server(tmp_path: Path) -> None:
    """With the tracking server down a program is not held up, and its journal keeps the trace."""
    uri = "http://127.0.0.1:9"
    program = """
        chain.invoke({"topic": 1})
        print("mlflow" in sys.modules)  # which alone could ask the server
    """
    out, _, _ = run(program, uri, LANGCHAIN_AUTOTRACE_PATIENCE="0", MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    assert out == "False\n"
    (folder,) = all_folders()
    assert folder.public_uri() == uri
    assert len(folder.processes()) == 1


def test_silent(tmp_path: Path) -> None:
    """With silent=True nothing is printed, whatever is left."""
    _, err, _ = run(
        "chain.invoke({'topic': 1})",
        "http://127.0.0.1:9",
        LANGCHAIN_AUTOTRACE_SILENT="true",
        LANGCHAIN_AUTOTRACE_SHIPPER="external",
    )
    assert err == ""


FORKS = {
    "os.fork": """
        chain.invoke({"topic": "parent"})
        children = []
        for i in range(3):
            child = os.fork()
            if child == 0:
                for j in range(4): chain.invoke({"topic": f"{i} {j}"})
                os._exit(0)
            children.append(child)
        for child in children: assert os.waitpid(child, 0)[1] == 0
        chain.invoke({"topic": "parent"})
    """,
    "fork_within_a_run": """
        def fork(x):
            child = os.fork()
            if child == 0:
                chain.invoke({"topic": "child"})
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            return x
        RunnableLambda(fork, name="forks").invoke(1)
        for i in range(12): chain.invoke({"topic": "parent"})
    """,
    "pool": """
        from concurrent.futures import ProcessPoolExecutor
        import multiprocessing
        def work(i):
            chain.invoke({"topic": i})
        chain.invoke({"topic": "parent"})
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
            list(pool.map(work, range(13)))
    """,
    "parent_first": """
        child = os.fork()
        if child == 0:
            time.sleep(1)
            for i in range(13): chain.invoke({"topic": i})
            langchain_autotrace.flush(300)
            os._exit(0)
        chain.invoke({"topic": "parent"})
    """,
}


@pytest.mark.parametrize("kind", sorted(FORKS))
def test_forked_children(kind: str, store: str) -> None:
    """Forked children trace into files of their own: every trace of every process, exactly once."""
    run(FORKS[kind], store)
    wait_until(lambda: count(store) == 14)
    wait_until(all_quiet)
    traces = stored(store)
    assert len({trace.info.trace_id for trace in traces}) == 14
    assert {len(trace.data.spans) for trace in traces} <= {1, 4}


def test_spawned_processes(store: str, tmp_path: Path) -> None:
    """Spawned processes that each call autolog() share the store and one shipper."""
    (tmp_path / "spawned.py").write_text(
        HEAD
        + textwrap.dedent(f"""
        from concurrent.futures import ProcessPoolExecutor
        import multiprocessing

        def work(i):
            langchain_autotrace.autolog(tracking_uri={store!r})
            return chain.invoke({{"topic": i}})

        if __name__ == "__main__":
            with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
                assert list(pool.map(work, range(6))) == ["yes"] * 6
        """)
    )
    subprocess.run([sys.executable, "spawned.py"], check=True, timeout=PATIENCE, env=unmeasured())
    wait_until(lambda: count(store) == 6)
    wait_until(all_quiet)
    assert {len(trace.data.spans) for trace in stored(store)} == {4}


def test_flush_is_exact(store: str) -> None:
    """After flush() says ok, everything captured before it is readable, each time."""
    program = f"""
        import contextlib, sqlite3
        for round in range(1, 6):
            for i in range(7): chain.invoke({{"topic": i}})
            result = langchain_autotrace.flush(300)
            with contextlib.closing(sqlite3.connect({store.removeprefix("sqlite:///")!r})) as connection:
                (found,) = connection.execute("select count(*) from trace_info").fetchone()
                (spans,) = connection.execute("select count(*) from spans").fetchone()
            assert result == (True, 7 * round, 0, 0, 0, None), result
            assert (found, spans) == (7 * round, 28 * round), (found, spans)
    """
    run(program, store)


def test_flush_without_a_shipper(store: str) -> None:
    """Where nobody ships, flush() says so when its time is over, and the journal keeps the trace."""
    program = f"""
        langchain_autotrace.autolog(tracking_uri={store!r}, shipper="external")
        chain.invoke({{"topic": 1}})
        result = langchain_autotrace.flush(0.3)
        assert (result.ok, result.delivered, result.pending) == (False, 0, 1), result
        assert "no shipper is running" in result.error, result
    """
    _, err, _ = run(program, store)
    assert "1 trace not delivered yet" in err
    deliver()
    assert count(store) == 1


def test_the_thread_shipper(store: str) -> None:
    """With shipper="thread" the same loop delivers in the process, and a fork leaves it to the parent."""
    program = f"""
        langchain_autotrace.autolog(tracking_uri={store!r}, shipper="thread", exit_timeout=300)
        chain.invoke({{"topic": 1}})
        assert langchain_autotrace.flush(300).ok
        child = os.fork()
        if child == 0:
            chain.invoke({{"topic": 2}})
            assert langchain_autotrace.flush(300).ok
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        chain.invoke({{"topic": 3}})
    """
    run(program, store, options=())  # MLflow is imported in this process, and warns
    wait_until(lambda: count(store) == 3)


def test_a_shipper_that_is_killed(store: str) -> None:
    """When the shipper is killed another takes over at the next flush, and nothing is lost or doubled."""
    program = """
        import signal
        for round in range(3):
            for i in range(10): chain.invoke({"topic": i})
            if round < 2:
                time.sleep(0.5)
                for pid in shippers(): os.kill(pid, signal.SIGKILL)
        print(langchain_autotrace.flush(300).ok)
    """
    out, _, _ = run(program, store)
    assert out == "True\n"
    assert count(store) == 30
    assert {len(trace.data.spans) for trace in stored(store)} == {4}


def test_secrets_are_not_in_the_journal(store: str, tmp_path: Path) -> None:
    """No secret of inputs, outputs, metadata, errors or names is in any byte of the journal's folder."""
    secret = "sk-" + "proj-" + "Ab1" * 12
    program = f"""
        secret = {secret!r}
        langchain_autotrace.autolog(tracking_uri={store!r}, shipper="external", extra_tags={{"key": secret}})
        RunnableLambda(lambda x: {{"api_key": "hunter2hunter2", "text": f"it is {{secret}}"}}).invoke(
            {{"password": "hunter2hunter2", "headers": {{"Authorization": "Bearer " + secret}}, "url": "https://u:hunter2hunter2@h/"}},
            {{"metadata": {{"openai_api_key": "hunter2hunter2"}}, "tags": [secret]}},
        )
        def fail(x): raise ValueError(f"bad key {{secret}}, password=hunter2hunter2")
        try: RunnableLambda(fail, name=secret).invoke(secret)
        except ValueError: pass
    """
    run(program, store)
    (folder,) = all_folders()
    written = b"".join(path.read_bytes() for path in folder.path.rglob("*") if path.is_file())
    assert written.count(b"[REDACTED") >= 9
    assert secret.encode() not in written
    assert b"hunter2" not in written
    assert {oct(path.stat().st_mode & 0o777) for path in folder.path.iterdir() if path.is_file()} == {"0o600"}
    assert oct(folder.path.stat().st_mode & 0o777) == "0o700"


@pytest.mark.long
def test_a_run_id_that_later_processes_use_again(store: str) -> None:
    """Each process that gives its run the same id has a whole trace; the first has the id that the program knows."""
    run_id = "5f0c6a54-2f8e-4d0e-9b5e-6a1f0c9b7d11"
    topics = ["first", "second", "third"]
    for topic in topics:
        run(
            f"chain.invoke({{'topic': {topic!r}}}, {{'run_id': {run_id!r}}})",
            store,
        )
        wait_until(all_quiet)

    traces = stored(store)
    assert [trace.data.spans[0].inputs for trace in traces] == [{"topic": topic} for topic in topics]
    assert [len(trace.data.spans) for trace in traces] == [4] * 3
    assert [trace.info.trace_id for trace in traces].index(trace_id(run_id)) == 0
    assert len({trace.info.trace_id for trace in traces}) == 3


def test_a_late_run_below_a_run_id_that_was_used_before(store: str) -> None:
    """What ends after its trace was delivered goes to its own process's trace, not to the earlier one of the id."""
    program = """
    import threading
    from uuid import UUID
    from langchain_core.runnables import RunnableConfig

    go, is_running = threading.Event(), threading.Event()
    late = RunnableLambda(lambda x: is_running.set() or (go.wait(300) and x), name="late")
    threads = []

    def leave_running(topic: str, config: RunnableConfig) -> str:
        threads.append(threading.Thread(target=late.invoke, args=(topic, config)))
        threads[0].start()
        is_running.wait(300)
        return topic

    RunnableLambda(leave_running, name="root").invoke(TOPIC, {"run_id": UUID("5f0c6a54-2f8e-4d0e-9b5e-6a1f0c9b7d11")})
    assert langchain_autotrace.flush(300).ok
    go.set()
    threads[0].join()
    assert langchain_autotrace.flush(300).ok
    """
    for topic in ("first", "second"):
        run(program.replace("TOPIC", repr(topic)), store)

    spans = [{span.name: (span.inputs, span.outputs) for span in trace.data.spans} for trace in stored(store)]
    assert spans == [{"root": (word, word), "late": (word, word)} for word in ("first", "second")]
