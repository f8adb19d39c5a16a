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
    """What one process found."""

    case: str
    contestant: str
    round: int
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


def one_process(setting: Setting, case: Case, contestant: str, round_: int, runs: int) -> Result:
    """Measure one case of one contestant in a process of its own, in an empty folder."""
    folder = setting.scratch / f"{case.name}-{contestant}-{round_}"
    folder.mkdir()
    command = [setting.python, str(HERE / "worker.py"), "--case", case.name, "--contestant", contestant]
    command += ["--runs", str(runs), "--warmup", str(case.warmup), "--folder", str(folder)]
    command += ["--sink", f"http://127.0.0.1:{setting.sink}/{folder.name}"]
    try:
        outcome = _answer(command, setting.environment, folder, case.seconds)
    finally:
        _await_shippers(folder)
        shutil.rmtree(folder, ignore_errors=True)
    error = outcome["error"]
    return Result(case.name, contestant, round_, outcome["figures"], error and _without_paths(error, setting))


def _answer(command: list[str], environment: dict[str, str], folder: Path, seconds: int) -> dict[str, Any]:
    try:
        done = subprocess.run(
            command, env=environment, cwd=folder, timeout=seconds, capture_output=True, text=True, check=False
        )
    except subprocess.TimeoutExpired:
        return {"figures": None, "error": f"not finished after {seconds} s"}
    if done.returncode == 0 and done.stdout:
        return dict(json.loads(done.stdout))
    last = (done.stderr.strip().splitlines() or ["no output"])[-1]
    return {"figures": None, "error": f"exit code {done.returncode}: {last}"}


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
    """Interleave: every case of every contestant in round 1, then round 2, each round beginning with another."""
    for round_ in range(1, arguments.rounds + 1):
        for case, names in chosen(arguments):
            if case.once and round_ > 1:
                continue
            turn = (round_ - 1) % len(names) if names else 0
            for name in names[turn:] + names[:turn]:
                runs = arguments.runs or (case.quick_runs if arguments.quick else case.runs)
                result = one_process(setting, case, name, round_, runs)
                note = result.error and f"failed: {result.error}"
                print(f"round {round_}/{arguments.rounds}  {case.name:<10} {name:<14} {note or 'done'}", flush=True)
                yield result


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
