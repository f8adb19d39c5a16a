"""The trace page with hostile traces: nothing in them runs, leaves the page, or hides."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any, Final

import pytest

from langchain_autotrace.view import page_html
from langchain_autotrace.view.attachments import Attachment
from langchain_autotrace.view.page_data import trace_data
from langchain_autotrace.view.traces import TraceTree
from tests.view.browser import Window, axe, html, span, trace
from tests.view.test_page import agent, failed

Show = Callable[..., Window]

AWAY: Final = "http://127.0.0.1:9"
HOSTILE: Final = (
    "</script><script>window.ran=1</script>",
    '"><img src=x onerror=window.ran=2>',
    f'<img src="{AWAY}/a.png"><link rel=stylesheet href="{AWAY}/a.css">',
    "[click](javascript:window.ran=3) ![p](javascript:window.ran=4)",
    f"![p]({AWAY}/b.png) <iframe src={AWAY}></iframe>",
    "<!-- <script> --><svg onload=window.ran=5>",
    "<style>@import '" + AWAY + "/c.css';</style>",
    "{{script}}{{policy}}",
    "data:text/html;base64," + base64.b64encode(b"<script>window.ran=6</script>").decode(),
    "data:image/svg+xml;base64,"
    + base64.b64encode(b"<svg xmlns='http://www.w3.org/2000/svg' onload='ran=7'/>").decode(),
    'data:image/png;base64,AAAA" onerror="window.ran=8',
    "mlflow-attachment://__proto__?content_type=text/html&trace_id=x",
    "\u2028window.ran=9\u2029",
    "\\u003c/script\\u003e</SCRIPT >",
    "\ud800 lone",
    "`" * 6000,
    "**" * 3000,
    "| " * 3000,
    "[" * 3000,
)


def everywhere(text: str) -> TraceTree:
    """A trace that has a text in every place that a text can be."""
    keys = {"__proto__": text, "constructor": [text], "toString": {text: text}, text: text}
    message: dict[str, Any] = {
        "role": "assistant",
        "name": text,
        "content": [
            text,
            {"type": "text", "text": text},
            {"type": "image_url", "image_url": {"url": text}},
            {"type": "image", "base64": text, "mime_type": text},
            {"type": "input_audio", "input_audio": {"data": text, "format": text}},
            {"type": "thinking", "thinking": text},
            {"type": text, text: text},
        ],
        "tool_calls": [{"id": text, "function": {"name": text, "arguments": text}}],
    }
    result = {"role": "tool", "tool_call_id": text, "content": text, "status": "error"}
    document = {"page_content": text, "metadata": {"source": text, "score": 0.5, **keys}, "id": text}
    event = {"name": "exception", "time_ns": 1_764_000_000_000_000_000, "exception.type": text}
    event |= {"exception.message": text, "exception.stacktrace": text, **keys}
    tools = [{"type": "function", "function": {"name": text, "description": text, "parameters": keys}}]
    chat = {"mlflow.chat.tools": tools, "mlflow.llm.provider": "__proto__", "invocation_params": {"stop": text}, **keys}
    return trace(
        span(
            text,
            span(text, type="CHAT_MODEL", inputs={"messages": [message, result]}, outputs=message, attributes=chat),
            span(text, type="RETRIEVER", inputs=text, outputs=[document]),
            span(
                text,
                type=text,
                inputs=keys,
                outputs=[text, keys],
                status="ERROR",
                error=text,
                events=[event],
                model=text,
            ),
            type="__proto__",
            outcome="toString",
        ),
        name=text,
        session=text,
        user=text,
        tags=keys,
        status="constructor",
    )


def look_at_everything(page: Any) -> None:
    """Open every span, and in it every fold and every button that shows more or something else."""
    page.evaluate(
        """async () => {
          const pause = () => new Promise((done) => setTimeout(done));
          for (const at of document.querySelectorAll(".row").keys()) {
            document.querySelectorAll(".row")[at].click();
            await pause();
            for (const fold of document.querySelectorAll("details")) fold.open = true;
            await pause();
            const names = ["JSON", "Formatted"];
            for (const button of document.querySelectorAll(".more, .earlier, .quiet-button")) {
              if (button.classList.contains("more") || names.includes(button.textContent)) button.click();
              await pause();
            }
          }
        }"""
    )


def test_hostile_texts_in_every_place(show: Show) -> None:
    """Whatever a trace holds is shown as text: no script runs, no element is made of it, no request leaves the page."""
    window = show(html(*map(everywhere, HOSTILE)))
    for number, text in enumerate(HOSTILE):
        if number:
            window.page.keyboard.press("]")
        assert window.page.locator("h1").count() == 1
        look_at_everything(window.page)
        window.page.locator(".rows").focus()
        made = "iframe, object, embed, link, form, base, [onerror], [onload], script:not(.trace)"
        made += ", img:not([src^='data:image/png'])"
        assert window.page.locator(f"body :is({made})").count() == 1, text  # the page's own script
        assert all(
            re.match("https?://", link.get_attribute("href") or "") for link in window.page.locator(".detail a").all()
        )
    assert window.page.evaluate("[window.ran, Object.prototype.polluted]") == [None, None]
    window.faults = [fault for fault in window.faults if "ERR_INVALID_URL" not in fault]


def test_hostile_text_is_seen_as_it_is(show: Show) -> None:
    """Markup in a name and a value is read as it was written."""
    text = HOSTILE[0]
    window = show(html(everywhere(text)))
    assert window.page.locator("h1").inner_text() == text
    assert window.names() == [text] * 4
    assert text in window.page.title()


def test_characters_that_hide_or_reorder(show: Show) -> None:
    """Bidirectional, control and invisible characters are shown by number; text in tag characters is spelled out."""
    tags = "".join(chr(0xE0000 + ord(letter)) for letter in "obey")
    text = f"a\u202eb\u200bc\x1b[31md\u2066e{tags}f 👨‍👩‍👧 g"
    window = show(html(trace(span("x\u202ey", inputs=text))))
    assert window.names() == ["xU+202Ey"]
    assert window.page.title() == "x[U+202E]y · trace"
    assert window.texts('section[aria-label="Input"] .hidden-run') == [
        "U+202E",
        "U+200B",
        "U+001B",
        "U+2066",
        'U+E006F U+E0062 U+E0065 U+E0079 "obey"',
    ]
    assert "👨‍👩‍👧" in window.section("Input")


def test_the_policy() -> None:
    """The page's policy allows its own script and style by their hashes, files in data: addresses, and nothing else."""
    page = html(agent())
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert re.fullmatch(r"'sha256-[\w+/]{43}='", rules.pop("script-src"))
    assert re.fullmatch(r"'sha256-[\w+/]{43}='", rules.pop("style-src"))
    assert rules == {
        "default-src": "'none'",
        "img-src": "data:",
        "media-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert re.search(r"\son\w+\s*=|style=|src=|@import|url\(", page.split("<body>")[0].split("</style>")[1]) is None
    assert "http" not in page.replace("http-equiv", "").split("<body>")[0]


def test_a_script_that_is_added_does_not_run(browser: Any, tmp_path: Any) -> None:
    """Were there a way to put markup into the page, the policy would still keep it from running or loading."""
    path = tmp_path / "page.html"
    path.write_text(html(agent()), encoding="utf-8")
    window = Window(browser)
    window.page.goto(path.as_uri())
    refused: list[str | None] = []
    window.page.on("requestfailed", lambda request: refused.append(request.failure))
    window.page.evaluate(
        f"""async () => {{
          const box = document.createElement("div");
          box.innerHTML = '<img src="{AWAY}/a.png" onerror="window.ran = 1"><iframe src="{AWAY}"></iframe>';
          document.body.append(box);
          const script = document.createElement("script");
          script.textContent = "window.ran = 2";
          document.body.append(script);
          await fetch("{AWAY}").catch(() => null);
        }}"""
    )
    assert window.page.evaluate("window.ran") is None
    assert set(refused) == {"csp"}
    assert sum("Content Security Policy" in fault for fault in window.faults) >= 3
    window.context.close()


PIXEL: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
WAVE: Final = base64.b64decode("UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQIAAACAgA==")


PLAYABLE: Final = """() => new Promise((done) => {
  const audio = document.querySelector(".message audio");
  if (audio.duration > 0) done(true);
  audio.addEventListener("loadedmetadata", () => done(audio.duration > 0));
  audio.addEventListener("error", () => done(false));
})"""


def reference(file_id: str, kind: str, size: int = 100) -> str:
    """A reference to an attachment, as spans have it."""
    return f"mlflow-attachment://{file_id}?content_type={kind.replace('/', '%2F')}&trace_id=tr-1&size={size}"


def test_attachments(show: Show) -> None:
    """Pictures and sound of a trace are in the page, a PDF can be saved from it; other files are named."""
    message = {
        "role": "user",
        "content": [
            {"type": "image_url", "image_url": {"url": reference("a", "image/png")}},
            {"type": "input_audio", "input_audio": {"data": reference("b", "audio/wav"), "format": "wav"}},
            {"type": "file", "file": {"file_data": reference("c", "application/pdf")}},
            {"type": "file", "file": {"file_data": reference("d", "text/html", 2_500_000)}},
        ],
    }
    files = {
        "a": Attachment("image/png", len(PIXEL), PIXEL),
        "b": Attachment("audio/wav", len(WAVE), WAVE),
        "c": Attachment("application/pdf", 4, b"%PDF"),
        "d": Attachment("text/html", 2_500_000, None),
    }
    tree = trace(span("look", type="CHAT_MODEL", inputs={"messages": [message]}))
    window = show(page_html.page([trace_data(tree, files)]))
    assert window.page.evaluate("document.querySelector('.message img').naturalWidth") == 1
    assert window.page.evaluate(PLAYABLE)
    assert window.texts(".message .file") == ["PDF, 4 bytes Save", "text/html, 2.5 MB: not in this page"]
    with window.page.expect_download() as download:
        window.page.locator(".message").get_by_role("button", name="Save").click()
    assert download.value.suggested_filename == "document.pdf"
    assert download.value.path().read_bytes() == b"%PDF"


VIOLATIONS: Final = """async () => (await axe.run()).violations.map(
  (one) => [one.id, one.nodes.map((node) => [node.html.slice(0, 200), node.failureSummary])])"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_accessibility(show: Show, theme: str) -> None:
    """axe-core finds nothing in any view: spans of each kind, a search, the keys, a phone, several traces."""
    window = show(html(agent(), failed(), everywhere("<b>\u202e")), color_scheme=theme)
    page, source = window.page, axe()

    def check() -> None:
        page.evaluate(source)
        assert page.evaluate(VIOLATIONS) == []

    for rows, key in (((0, 3), "z"), ((1,), "?"), ((1, 2, 3), "/")):
        for row in rows:
            page.locator(".row").nth(row).click()
            page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
            check()
        page.locator(".rows").focus()
        page.keyboard.press(key)
        if key != "/":
            check()
            page.keyboard.press("Escape")
            page.keyboard.press("]")
    page.keyboard.type("b")
    page.locator("mark").first.wait_for()
    check()
    page.set_viewport_size({"width": 390, "height": 800})
    check()


def test_thousands_of_spans(show: Show) -> None:
    """Of 30,000 spans only those that are seen are in the page, wherever it is scrolled to."""
    root = span("root", *(span(f"step {number}", ms=(number / 300, number / 300 + 0.1)) for number in range(30_000)))
    window = show(html(trace(root)))
    assert window.page.evaluate("performance.getEntriesByName('drawn')[0].startTime") < 10_000
    window.page.keyboard.press("End")
    assert window.chosen() == "step 29999"
    assert window.page.locator(".row.on").is_visible()
    assert window.page.locator(".row").count() < 100


def test_a_deep_tree(show: Show) -> None:
    """A tree of a thousand levels is drawn, with the level as a number where it is not indented further."""
    node = span("level 999", ms=(0, 1))
    for level in reversed(range(999)):
        node = span(f"level {level}", node, ms=(0, 1000 - level))
    window = show(html(trace(node)))
    window.page.keyboard.press("End")
    assert window.chosen() == "level 999"
    assert window.texts(".row.on .level") == ["999"]
