"""Record the cassettes of the demo and of the tests from a local mock server: `python -m scripts.record_cassettes`.

The server is aimock, an OpenAI-compatible mock: npm brings it into a temporary folder, node runs it on 127.0.0.1,
and it answers from the JSON files of `cassettes/server/`. Nothing random stays in a cassette, so recording twice
gives the same bytes. `cassettes/README.md` tells the rest.
"""

import json
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from aimock_pytest import AIMockServer, NodeManager

from langchain_autotrace.demo import programs as demo
from langchain_autotrace.demo.run import CASSETTES, PLACEHOLDER_KEY
from langchain_autotrace.environment import environment
from langchain_autotrace.testing import use_cassette
from tests import programs as tested

ROOT = Path(__file__).resolve().parents[1]
ANSWERS = ROOT / "cassettes" / "server"
# Pinned: another release may answer in other bytes.
AIMOCK = "@copilotkit/aimock@1.43.0"
OPENAI = "https://api.openai.com"

# The server's clock and build, the same in every recording.
SETTLED = {"created": 1760000000, "created_at": 1760000000, "system_fingerprint": "fp_recorded"}
# The ids that aimock makes of 12 random bytes.
RANDOM_ID = re.compile(r"\b(chatcmpl-|resp-|msg-|rs-|fc-|call_)[A-Za-z0-9_-]{16}(?![A-Za-z0-9_-])")
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Recording:
    """One program and the cassette to record it into."""

    cassette: Path
    program: Callable[[], object]


def main() -> None:
    """Record every program, and remove the cassettes of programs that are gone."""
    recordings = [
        *(Recording(CASSETTES / f"{name}.yaml", program) for name, program in demo.PROGRAMS.items()),
        *(Recording(ROOT / "cassettes" / f"{name}.yaml", partial(tested.outcome, name)) for name in tested.PROGRAMS),
    ]
    with tempfile.TemporaryDirectory() as scratch, mock_server(Path(scratch)) as server:
        for recording in recordings:
            record(recording, server)
            print(f"recorded {recording.cassette.relative_to(ROOT)}")
    remove_others({recording.cassette for recording in recordings})


@contextmanager
def mock_server(scratch: Path) -> Iterator[str]:
    """Install aimock into a folder and run it on a free port of 127.0.0.1; gives its URL."""
    # npm rather than aimock-pytest's own download, which goes round npm's settings and keeps a cache of its own.
    npm = shutil.which("npm") or "npm"
    options = ["--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run([npm, "install", "--prefix", str(scratch), *options, AIMOCK], check=True)
    command = scratch / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
    server = AIMockServer(NodeManager(), fixtures_path=ANSWERS)
    try:
        with environment({"AIMOCK_CLI_PATH": str(command)}):
            url = server.start()
        yield url
    finally:
        server.stop()


def record(recording: Recording, server: str) -> None:
    """Run a program against the server and write its cassette; a program that fails leaves the old one."""
    known = usages(ANSWERS)

    def as_openai(request: Any) -> Any:  # noqa: ANN401 - vcrpy's
        request.uri = request.uri.replace(server, OPENAI, 1)
        return request

    def settle(response: Json) -> Json:
        response["body"]["string"] = settled_body(response["body"]["string"].decode(), known).encode()
        return response

    with (
        environment({"OPENAI_API_KEY": PLACEHOLDER_KEY, "OPENAI_BASE_URL": f"{server}/v1", "OPENAI_API_BASE": None}),
        use_cassette(
            recording.cassette.name,
            folder=recording.cassette.parent,
            record_mode="rewrite",
            ignore_localhost=False,
            before_record_request=as_openai,
            before_record_response=settle,
        ),
    ):
        recording.program()
    recording.cassette.write_text(numbered(recording.cassette.read_text(encoding="utf-8")), encoding="utf-8")


def remove_others(wanted: set[Path]) -> None:
    """Remove the cassettes beside the wanted ones."""
    for folder in {cassette.parent for cassette in wanted}:
        for other in sorted(set(folder.glob("*.yaml")) - wanted):
            other.unlink()
            print(f"removed {other.relative_to(ROOT)}")


def usages(answers: Path) -> dict[str, Json]:
    """Read the usage of each answer by the answer's id: aimock hands only the totals of a usage on."""
    entries = [entry for path in sorted(answers.glob("*.json")) for entry in json.loads(path.read_text())["fixtures"]]
    given = [entry["response"] for entry in entries]
    return {answer["id"]: answer["usage"] for answer in given if "usage" in answer}


def settled_body(body: str, known: dict[str, Json]) -> str:
    """Settle a body of JSON, or of server-sent events with a JSON text each."""
    if body.startswith("{"):
        return compact(settled(json.loads(body), known))
    return "\n".join(_settled_line(line, known) for line in body.split("\n"))


def _settled_line(line: str, known: dict[str, Json]) -> str:
    if not line.startswith("data: {"):
        return line
    return "data: " + compact(settled(json.loads(line.removeprefix("data: ")), known))


def settled(value: Any, known: dict[str, Json]) -> Any:  # noqa: ANN401 - any JSON value
    """Replace what the server's clock gave, and complete the usages, at any depth."""
    if isinstance(value, list):
        return [settled(item, known) for item in value]
    if not isinstance(value, dict):
        return value
    result = {name: SETTLED.get(name, settled(item, known)) for name, item in value.items()}
    if "usage" in result:
        result["usage"] = known.get(value.get("id", ""), result["usage"])
    return result


def numbered(text: str) -> str:
    """Replace the random ids by numbers in the order in which they come, the same id always alike."""
    counts: Counter[str] = Counter()
    names: dict[str, str] = {}

    def name(match: re.Match[str]) -> str:
        if match[0] not in names:
            counts[match[1]] += 1
            names[match[0]] = f"{_as_openai(match[1])}{counts[match[1]]:016d}"
        return names[match[0]]

    return RANDOM_ID.sub(name, text)


def _as_openai(prefix: str) -> str:
    # langchain-openai tells the ids of the Responses API apart by prefixes such as `msg_`, where aimock has `msg-`.
    return prefix if prefix == "chatcmpl-" else prefix.replace("-", "_")


def compact(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Write JSON as OpenAI does."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


if __name__ == "__main__":
    main()
