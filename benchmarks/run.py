"""Measure what tracing costs. `python benchmarks/run.py` does everything; see the README beside this file."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
import venv
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plan import BASELINE, CASES, FLOOR, NAMES, QUICK_ROUNDS, ROUNDS, Case
from processes import working_in
from report import render

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent
ENVIRONMENT = HERE / ".venv"
RESULTS = HERE / "results" / "latest.json"
SHIPPER_SECONDS = 15
_SETTINGS = ("LANGCHAIN_", "LANGSMITH_", "LANGFUSE_", "MLFLOW_", "OTEL_", "OPENINFERENCE_", "TRACELOOP_")
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "TRACELOOP_TELEMETRY": "false",
    "NO_PROXY": "127.0.0.1,localhost",
    "no_proxy": "127.0.0.1,localhost",
}


@dataclass(frozen=True, slots=True)
class Result:
    """What one turn of a process found."""

    case: str
    contestant: str
    round: int
    turn: int
    figures: dict[str, float] | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Setting:
    """What stays the same for all processes of one benchmark."""

    python: str
    sink: int
    """The port of the sink."""
    scratch: Path
    environment: dict[str, str]


def prepared_python() -> str:
    """Create the benchmark's own environment, or reuse it while what it is made of is unchanged."""
    python = ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin") / "python"
    stamp = ENVIRONMENT / "made-of"
    peers = HERE / "peers.txt"
    made_of = _digest(peers, PROJECT / "pyproject.toml")
    if not (stamp.exists() and stamp.read_text() == made_of):
        print(f"installing into {ENVIRONMENT.relative_to(PROJECT)} (the first time this takes minutes)", flush=True)
        venv.create(ENVIRONMENT, clear=True, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, _project_with_extras(), "-r", str(peers)], check=True)
        stamp.write_text(made_of)
    return str(python)


def _digest(*files: Path) -> str:
    return hashlib.sha256(b"\n".join(file.read_bytes() for file in files)).hexdigest()


def _project_with_extras() -> str:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    extras = ",".join(sorted(project.get("optional-dependencies", {})))
    return f"{PROJECT}[{extras}]" if extras else str(PROJECT)


def worker_environment(scratch: Path) -> dict[str, str]:
    """Take this process's environment without tracers' settings; this checkout comes first on the path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)  # compiling every import anew is not what is measured
    bytecode = {"PYTHONPYCACHEPREFIX": str(HERE / ".cache" / "bytecode")}
    return kept | _QUIET | bytecode | {"PYTHONPATH": str(PROJECT), "HOME": str(scratch)}


@contextmanager
def running_sink(python: str, environment: dict[str, str]) -> Iterator[int]:
    """Run the sink in a process of its own; give its port."""
    command = [python, str(HERE / "sink.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.terminate()


class Worker:
    """The process of one contestant in one case, in an empty folder."""

    def __init__(self, setting: Setting, case: Case, contestant: str, round_: int, runs: int) -> None:
        """Start it, and wait until it is ready."""
        self.contestant = contestant
        self._setting, self._case, self._round = setting, case, round_
        self._turns = 0
        self._folder = setting.scratch / f"{case.name}-{contestant}-{round_}"
        self._folder.mkdir()
        self._said = setting.scratch / f"{self._folder.name}.txt"
        command = [setting.python, str(HERE / "worker.py"), "--case", case.name, "--contestant", contestant]
        command += ["--runs", str(runs), "--warmup", str(case.warmup), "--folder", str(self._folder)]
        command += ["--sink", f"http://127.0.0.1:{setting.sink}/{self._folder.name}"]
        with self._said.open("w") as said:
            self._process = subprocess.Popen(
                command,
                env=setting.environment,
                cwd=self._folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )
        self._error: str | None = self._answer()["error"]

    def turn(self) -> Result:
        """Have it take a turn."""
        self._turns += 1
        outcome: dict[str, Any] = {"figures": None, "error": self._error}
        if self._error is None:
            with suppress(BrokenPipeError):
                print(file=self._process.stdin, flush=True)
            outcome = self._answer()
            self._error = outcome["error"]
        return Result(self._case.name, self.contestant, self._round, self._turns, **outcome)

    def end(self) -> None:
        """End it, and what it has started."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        try:
            self._process.wait(timeout=self._case.seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _await_shippers(self._folder)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        late = threading.Timer(self._case.seconds, self._process.kill)
        late.start()
        line = self._process.stdout.readline()
        is_late = not late.is_alive()
        late.cancel()
        if line:
            answer = dict(json.loads(line))
            return answer | {"error": answer["error"] and _without_paths(answer["error"], self._setting)}
        if is_late:
            return {"figures": None, "error": f"not finished after {self._case.seconds} s"}
        last = (self._said.read_text().strip().splitlines() or ["no output"])[-1]
        error = _without_paths(f"exit code {self._process.wait()}: {last}", self._setting)
        return {"figures": None, "error": error}


def _without_paths(text: str, setting: Setting) -> str:
    for path in (setting.scratch, PROJECT, Path(setting.python).parent.parent, Path.home()):
        text = text.replace(str(path), "…")
    return text


def _await_shippers(folder: Path) -> None:
    """Wait for the processes that still work in this folder, then end them: the next round starts undisturbed."""
    until = time.monotonic() + SHIPPER_SECONDS
    while (pids := list(working_in(folder))) and time.monotonic() < until:
        time.sleep(0.1)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def chosen(arguments: argparse.Namespace) -> list[tuple[Case, list[str]]]:
    """Apply `--only` and `--memory`: cases and contestants may be named; the untraced baselines always run."""
    named = set(arguments.only)
    cases = [case for case in CASES if case.name in named] or [case for case in CASES if not case.on_request]
    if arguments.memory:
        cases += [case for case in CASES if case.name == "memory" and case not in cases]
    wanted = named & set(NAMES) | {BASELINE, FLOOR} if named & set(NAMES) else set(NAMES)
    return [(case, [name for name in case.contestants if name in wanted]) for case in cases]


def measured(setting: Setting, arguments: argparse.Namespace) -> Iterator[Result]:
    """Every case of every contestant in round 1, then round 2."""
    for round_ in range(1, arguments.rounds + 1):
        for case, names in chosen(arguments):
            if not case.once or round_ == 1:
                yield from turns_of(setting, arguments, case, names, round_)


def turns_of(
    setting: Setting, arguments: argparse.Namespace, case: Case, names: list[str], round_: int
) -> Iterator[Result]:
    """Interleave: the contestants' processes take turns, and each time another begins."""
    first = (round_ - 1) % len(names) if names else 0
    workers: list[Worker] = []
    try:
        for name in names[first:] + names[:first]:
            runs = arguments.runs or case.runs_of(name, quick=arguments.quick)
            workers.append(Worker(setting, case, name, round_, runs))
            if case.turns == 1:  # alone: what it is measured in is also how it starts, or how much memory it has
                yield _told(workers[-1].turn(), arguments.rounds)
                workers.pop().end()
        for turn in range(case.turns if workers else 0):
            first = turn % len(workers)
            for worker in workers[first:] + workers[:first]:
                yield _told(worker.turn(), arguments.rounds)
    finally:
        for worker in workers:
            worker.end()


def _told(result: Result, rounds: int) -> Result:
    note = result.error and f"failed: {result.error}"
    place = f"round {result.round}/{rounds}, turn {result.turn}"
    print(f"{place}  {result.case:<10} {result.contestant:<14} {note or 'done'}", flush=True)
    return result


def machine(python: str, environment: dict[str, str]) -> dict[str, Any]:
    """Describe what was measured on: no name of a machine, no path."""
    asked = subprocess.run(
        [python, str(HERE / "worker.py"), "--versions"], env=environment, capture_output=True, text=True, check=True
    )
    version = subprocess.run([python, "--version"], capture_output=True, text=True, check=True)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "python": version.stdout.split()[1],
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "versions": json.loads(asked.stdout),
    }


def arguments_of(command: list[str] | None = None) -> argparse.Namespace:
    """Read the command line, and refuse names that do not exist."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", help="measure in this interpreter's environment instead of making one")
    parser.add_argument("--quick", action="store_true", help="few rounds, few runs: to see that it works")
    parser.add_argument("--only", type=lambda text: text.split(","), default=[], metavar="NAME[,NAME]")
    parser.add_argument("--rounds", type=int, help=f"default {ROUNDS}, with --quick {QUICK_ROUNDS}")
    parser.add_argument("--runs", "-n", type=int, help="runs in each process, instead of each case's own number")
    parser.add_argument("--memory", action="store_true", help="also measure memory over 100,000 runs (minutes)")
    arguments = parser.parse_args(command)
    known = [case.name for case in CASES] + list(NAMES)
    if unknown := [name for name in arguments.only if name not in known]:
        parser.error(f"unknown: {', '.join(unknown)}. Cases and contestants: {', '.join(known)}")
    if arguments.rounds is None:
        arguments.rounds = QUICK_ROUNDS if arguments.quick else ROUNDS
    return arguments


def main() -> None:
    """Prepare, measure, report."""
    arguments = arguments_of()
    python = shutil.which(arguments.python) if arguments.python else prepared_python()
    if python is None:
        sys.exit(f"no interpreter at {arguments.python}")
    with tempfile.TemporaryDirectory(prefix="autotrace-benchmark-", ignore_cleanup_errors=True) as scratch:
        environment = worker_environment(Path(scratch))
        with running_sink(python, environment) as port:
            setting = Setting(os.path.abspath(python), port, Path(scratch), environment)  # noqa: PTH100
            results = [asdict(result) for result in measured(setting, arguments)]
        document = {"machine": machine(python, environment), "results": results}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(document, indent=1) + "\n")
    print(f"\n{render(document)}\nwritten to {RESULTS.relative_to(PROJECT)}")


if __name__ == "__main__":
    main()
