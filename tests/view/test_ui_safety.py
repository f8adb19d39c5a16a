"""The server of the ``ui`` command answers its own pages only, and what it answers cannot run or be framed."""

from __future__ import annotations

import base64
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from langchain_autotrace.view.ui import bundles, serving
from langchain_autotrace.view.ui.admission import Guard, is_loopback
from tests.patience import PATIENCE
from tests.view import ui_store
from tests.view.support import cli, environment
from tests.view.test_page_safety import PIXEL, reference
from tests.view.ui_site import Answered, Site, served

DELETE = json.dumps({"ids": ["tr-" + "0" * 32]}).encode()


def reason(answer: Answered) -> str:
    """Why a request was refused."""
    return str(answer.json()["error"])


def test_without_the_token(site: Site) -> None:
    """Who does not know the token gets neither pages, nor scripts, nor data, and is told to look at the terminal."""
    for path in ("/", "/static/ui.js", "/api/traces", "/trace/last", "/api/changes"):
        answer = site.ask(path, headers={})
        assert (answer.status, reason(answer)) == (403, "open the address that the terminal printed.")


@pytest.mark.parametrize("cookie", ["x", "", '"; Path=/', "é", "a=b; c"])
def test_a_wrong_token(site: Site, cookie: str) -> None:
    """A wrong token is refused, in the address and as a cookie."""
    name = site.server.guard.cookie
    assert site.ask("/", headers={"Cookie": f"{name}={cookie}".encode().decode("latin-1")}).status == 403
    answer = site.ask("/?token=wrong", headers={})
    assert (answer.status, "Set-Cookie" in answer.headers) == (403, False)


def test_the_token_becomes_a_cookie(site: Site) -> None:
    """The printed address leads to one without the token; the cookie is out of the reach of scripts and other sites."""
    answer = site.ask(f"/overview?status=ERROR&token={site.server.guard.token}", headers={})
    assert answer.status == 200
    assert re.findall('url=([^"]*)"', answer.body.decode()) == ["/overview?status=ERROR"]
    name, token = site.server.guard.cookie, site.server.guard.token
    assert answer.headers["Set-Cookie"] == f"{name}={token}; Path=/; HttpOnly; SameSite=Strict"
    assert len(token) >= 43


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example", '/"><script>', "//evil.example\\@x/"])
def test_the_token_leads_nowhere_else(site: Site, path: str) -> None:
    """Whatever the path of an address with the token is, the browser stays on this server."""
    answer = site.ask(f"{path}?token={site.server.guard.token}", headers={})
    (address,) = re.findall('url=([^"]*)"', answer.body.decode())
    assert re.fullmatch(r"/(?:[\w.%:-][\w.%:/-]*)?", address)
    assert "<script>" not in answer.body.decode()


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.1:{port}@evil", "[::1", "", "x/y"],
)
def test_another_host(site: Site, host: str) -> None:
    """A request to another name is refused, though it has the cookie: another site's name can lead here."""
    answer = site.ask("/api/traces", headers={**site.cookie(), "Host": host.format(port=site.server.server_port)})
    assert (answer.status, reason(answer)) == (421, "this server has another name.")


def test_names_of_this_machine(site: Site) -> None:
    """Localhost and the addresses of this machine are names of the server."""
    for host in ("localhost", "127.0.0.1", "[::1]", "LOCALHOST"):
        headers = {**site.cookie(), "Host": f"{host}:{site.server.server_port}"}
        assert site.ask("/api/changes", headers=headers).status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://{host}", "http://{host}.evil.example", ""])
def test_another_origin(site: Site, origin: str) -> None:
    """A request from another site's page is refused, to read and to delete."""
    wrong = {"Origin": origin.format(host=site.host)}
    read = site.ask("/api/traces", headers={**site.cookie(), **wrong})
    delete = site.ask("/api/delete", method="POST", headers={**site.page_headers(), **wrong}, body=DELETE)
    assert [read.status, delete.status] == [403, 403]
    assert reason(delete) == "the request comes from another site's page."


@pytest.mark.parametrize("site_of", ["cross-site", "same-site"])
def test_another_page_of_this_machine(site: Site, site_of: str) -> None:
    """What another server's page loads is refused, also one of this machine, whose requests have the cookie."""
    for more in ({}, {"Sec-Fetch-Mode": "no-cors"}, {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}):
        assert site.ask("/", headers={**site.cookie(), "Sec-Fetch-Site": site_of, **more}).status == 403
    link = {"Sec-Fetch-Site": site_of, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert site.ask("/", headers={**site.cookie(), **link}).status == 200
    assert site.ask("/api/delete", method="POST", headers={**site.page_headers(), **link}, body=DELETE).status == 403


def test_reading_changes_nothing(site: Site) -> None:
    """No address deletes when it is read, and no other method is known."""
    before = site.ask("/api/traces").json()["total"]
    known = site.ask("/api/traces").json()["traces"][0]["id"]
    assert site.ask(f"/api/delete?ids={known}").status == 405
    for method in ("HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        assert site.ask(f"/api/delete?ids={known}", method=method, headers=site.page_headers()).status >= 400
    assert site.ask("/api/traces", method="POST", headers=site.page_headers(), body=DELETE).status == 405
    assert site.ask("/api/traces").json()["total"] == before


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"X-CSRF-Token": "wrong"}, "the page is of an earlier start of the server: load it anew."),
        ({"X-CSRF-Token": None}, "the page is of an earlier start of the server: load it anew."),
        ({"Origin": None}, "the request does not say which page it comes from."),
        ({"Cookie": None}, "open the address that the terminal printed."),
        ({"Content-Type": "text/plain"}, "the request has no JSON of a size that is taken."),
        ({"Content-Length": "2000000"}, "the request has no JSON of a size that is taken."),
        ({"Content-Length": "-1"}, "the request has no JSON of a size that is taken."),
    ],
)
def test_deleting_as_no_page_does(site: Site, changed: dict[str, str | None], why: str) -> None:
    """Deleting needs the cookie, the origin, the secret of the page, and JSON."""
    headers = {key: value for key, value in {**site.page_headers(), **changed}.items() if value is not None}
    answer = site.ask("/api/delete", method="POST", headers=headers, body=DELETE)
    assert (answer.status // 100, reason(answer)) == (4, why)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"ids": []}', b'{"ids": [1]}', b'{"ids": "tr-1"}', b"\xff"]
)
def test_deleting_what_is_no_list_of_ids(site: Site, body: bytes) -> None:
    """A body that is no list of ids is refused, and the server goes on."""
    assert site.ask("/api/delete", method="POST", headers=site.page_headers(), body=body).status == 400


def test_deleting_other_things_than_traces(site: Site) -> None:
    """Texts that are ids of no trace, and parts of a filter, delete nothing."""
    before = site.ask("/api/traces").json()["total"]
    ids = ["tr-" + "0" * 32, "%", "' OR '1' = '1", "last", "tr-", ""]
    body = json.dumps({"ids": ids}).encode()
    answer = site.ask("/api/delete", method="POST", headers=site.page_headers(), body=body)
    assert (answer.status, answer.json()) == (200, {"deleted": 0})
    assert site.ask("/api/traces").json()["total"] == before


@pytest.mark.parametrize(
    "path",
    [
        "/static/../routes.py",
        "/static/..%2froutes.py",
        "/static/%2e%2e/%2e%2e/store.py",
        "/static/vendor/uplot.js",
        "/static/",
        "/etc/passwd",
        "//etc/passwd",
        "/trace/x/file/..%2f..%2fetc%2fpasswd",
        "/nothing",
    ],
)
def test_other_files(site: Site, path: str) -> None:
    """No other files are served than the scripts and styles of the pages."""
    assert site.ask(path).status == 404


POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "media-src": "'self' data:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}


def test_headers(site: Site) -> None:
    """Pages run and load only what the server has, cannot be framed, and are not sniffed, cached or told to others."""
    trace_id = site.ask("/api/traces").json()["traces"][0]["id"]
    for path in ("/", "/overview", f"/trace/{trace_id}", "/api/traces", "/static/ui.js", "/nothing"):
        answer = site.ask(path)
        policy = dict(rule.split(" ", 1) for rule in answer.headers["Content-Security-Policy"].split("; "))
        is_page = answer.headers["Content-Type"].startswith("text/html")
        nothing = {name: POLICY[name] for name in ("default-src", "base-uri", "form-action", "frame-ancestors")}
        assert policy == (POLICY if is_page else nothing), path
        expected = {
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "X-Frame-Options": "DENY",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "private, max-age=31536000, immutable" if path.startswith("/static") else "no-store",
        }
        assert {name: answer.headers[name] for name in expected} == expected, path
        if is_page:
            assert (
                re.search(r"<script(?![^>]* src=)(?![^>]*application/json)|\son\w+=|<style", answer.body.decode())
                is None
            )


def test_faulty_requests(site: Site) -> None:
    """Numbers that are none are said to be so; bytes that are no request do not stop the server."""
    answer = site.ask("/api/traces?min_ms=fast")
    assert (answer.status, reason(answer)) == (400, "min_ms is not a number: 'fast'")
    assert site.ask("/api/changes?version=x").status == 400
    assert site.ask("/api/traces?limit=1e99&offset=-5&min_ms=nan&since=999999d").status == 200
    for raw in (b"\x16\x03\x01\x00", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"a" * 70_000):
        with socket.create_connection(("127.0.0.1", site.server.server_port)) as connection:
            connection.sendall(raw)
    assert site.ask("/api/changes").status == 200


def test_a_refused_page_says_what_to_do(site: Site) -> None:
    """A browser without the cookie is told so on a page, with a link that works once it has it."""
    answer = site.ask("/trace/x", headers={"Accept": "text/html"})
    assert answer.status == 403
    assert "Open the address that the terminal printed." in answer.body.decode()
    assert '<a href="">try again</a>' in answer.body.decode()


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        *(("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False)),
        *(("::", False), ("192.168.0.2", False), ("example.com", False), ("127.0.0.1.example.com", False)),
    ],
)
def test_addresses_of_this_machine_alone(host: str, is_own: bool) -> None:  # noqa: FBT001 - a case's expectation
    """Only loopback addresses and localhost are of this machine alone."""
    assert is_loopback(host) is is_own


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.2", "example.com"])
def test_other_machines_need_a_flag(host: str) -> None:
    """An address that other machines reach needs ``--allow-remote``."""
    result = cli("ui", "--host", host, "--no-browser")
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: --host {host} lets other machines read your traces; add --allow-remote if that is what you want.\n"
    )


def headers(host: str) -> Message:
    """The headers of a request to a host."""
    found = Message()
    found["Host"] = host
    return found


def test_a_server_for_other_machines() -> None:
    """It is asked by addresses and by the machine's name, and keeps the token; other names are refused."""
    guard = Guard("0.0.0.0", 7788)

    def allowed(host: str) -> bool:
        return guard.refusal("GET", headers(host)) is None

    assert all(map(allowed, ["192.168.0.2:7788", "localhost:7788", f"{socket.gethostname()}:7788", "[fe80::1]:7788"]))
    assert not any(map(allowed, ["evil.example:7788", "192.168.0.2:80", "192.168.0.2"]))
    assert guard.unknown("GET", headers("192.168.0.2:7788")) is not None


FILES = {"a": "image/png", "b": "text/html", "c": "image/svg+xml", "d": "application/pdf"}


def file_id(owner: str, key: str) -> str:
    """The id of a file of one of two traces."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, owner + key))


@pytest.fixture
def with_files(new_store: Callable[[Path], str], tmp_path: Path) -> Any:
    """A site with a trace that has a picture and names files that are not its own, and another trace with one."""
    traces = []
    for own in ("one", "two"):
        urls = [reference(file_id(own, key), kind, len(PIXEL)) for key, kind in FILES.items()]
        urls += [reference(file_id("two", "a"), "image/png")]
        content = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        span = ui_store.make_span(
            own, 1_764_000_000_000, 5, inputs={"messages": [{"role": "user", "content": content}]}
        )
        data = base64.b64encode(PIXEL).decode()
        traces.append(ui_store.make_trace(span)._replace(files={file_id(own, key): data for key in FILES}))
    uri = new_store(tmp_path)
    ui_store.write(uri, *traces)
    with served(uri) as found:
        yield found, [f"tr-{trace.trace_id}" for trace in traces]


def test_files_of_the_shown_trace_only(with_files: Any, visit: Any) -> None:
    """A trace's picture is served, alone and sandboxed; another trace's file and kinds that can run are not."""
    site, (one, two) = with_files
    answer = site.ask(f"/trace/{one}/file/{file_id('one', 'a')}")
    assert (answer.status, answer.body) == (200, PIXEL)
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Content-Security-Policy"].endswith("; sandbox")
    saved = site.ask(f"/trace/{one}/file/{file_id('one', 'd')}")
    assert saved.headers["Content-Disposition"] == "attachment; filename=document.pdf"
    for trace_id, owner, key in (
        (one, "one", "b"),
        (one, "one", "c"),
        (one, "two", "a"),
        (one, "x", "x"),
        (two, "one", "a"),
    ):
        assert site.ask(f"/trace/{trace_id}/file/{file_id(owner, key)}").status == 404, (owner, key)
    from playwright.sync_api import expect

    window = visit(site, f"/trace/{one}")
    expect(window.page.locator(".message img").first).to_have_js_property("naturalWidth", 1)
    window.faults = [fault for fault in window.faults if "404" not in fault]


def test_the_command(tmp_path: Path, new_store: Callable[[Path], str]) -> None:
    """The command prints an address that works, answers its pages without MLflow, and ends at Ctrl-C."""
    uri = new_store(tmp_path)
    program = [sys.executable, "-m", "langchain_autotrace.cli", "ui", "--no-browser", "--port", "0"]
    log = tmp_path / "imports"
    env = {**environment(), "PYTHONPROFILEIMPORTTIME": "1"}
    command = [*program, "--tracking-uri", uri, "--experiment", "a b"]
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=env) as running,
    ):
        assert running.stdout is not None
        lines = [running.stdout.readline() for _ in range(5)]
        assert (lines[0], lines[4]) == (f"Traces of {uri} are at:\n", "Ctrl-C stops the server.\n")
        found = re.fullmatch(r"  http://127\.0\.0\.1:(\d+)/\?experiment=a\+b&token=([\w-]+)\n", lines[2])
        assert found
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]))
        connection.request("GET", "/", headers={"Cookie": f"langchain-autotrace-{found[1]}={found[2]}"})
        assert b"<title>Traces</title>" in connection.getresponse().read()
        connection.close()
        running.send_signal(signal.SIGINT)
        assert running.wait(PATIENCE) == 0
    imported = re.findall(r"\|\s+(\w+)\n", log.read_text())
    assert "langchain_autotrace" in imported
    assert {"mlflow", "sqlalchemy", "pandas", "langchain_core"} & set(imported) == set()


def test_a_port_that_is_taken(store: str) -> None:
    """A port that was asked for and is taken is an error."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = cli("ui", "--no-browser", "--tracking-uri", store, "--port", str(taken.getsockname()[1]))
    assert (result.exit_code, result.stderr) == (1, "Error: Address already in use\n")


@pytest.mark.parametrize("name", ["ui.js", "trace.js"])
def test_names_of_scripts(name: str) -> None:
    """No two files of a script declare one name: the later function would take the place of the other."""
    response = bundles.static(name)
    assert response is not None
    assert isinstance(response.body, bytes)
    declared = re.findall(r"^(?:async )?(?:function|const|let|class) (\w+)", response.body.decode(), re.MULTILINE)
    assert [one for one, count in Counter(declared).items() if count > 1] == []
    assert len(declared) > 100


def test_the_usual_port_is_taken(store: str) -> None:
    """Without ``--port``, a second server takes a port that is free."""
    servers = [serving.open_server(store, host="127.0.0.1", port=None, allow_remote=False) for _ in range(2)]
    ports = [server.server_port for server in servers]
    for server in servers:
        server.server_close()
    assert len(set(ports)) == 2


@pytest.mark.parametrize(("host", "name"), [("0.0.0.0", socket.gethostname()), ("127.0.0.1", "127.0.0.1")])
def test_the_printed_address(store: str, host: str, name: str) -> None:
    """The printed address is one that a browser can open, also where the server listens everywhere."""
    server = serving.open_server(store, host=host, port=0, allow_remote=True)
    server.server_close()
    assert server.address("/", status="OK").startswith(f"http://{name}:{server.server_port}/?status=OK&token=")
    assert server.guard.refusal("GET", headers(f"{name}:{server.server_port}")) is None
