"""Running traces in the browser: they appear by themselves and grow, before the store has them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from langchain_core.runnables import RunnableConfig, RunnableLambda

import langchain_autotrace
from langchain_autotrace.control import shutdown
from langchain_autotrace.view import deliver
from langchain_autotrace.view.running import Followers
from tests.patience import wait_until
from tests.view.browser import Window
from tests.view.test_page_safety import HOSTILE
from tests.view.ui_site import Site, served

Visit = Callable[..., Window]


class Paused:
    """A chain of steps, each of which waits until it is let on."""

    def __init__(self, name: str = "slow", asked: str = "go") -> None:
        self.name, self.asked = name, asked
        self.gates = [threading.Event() for _ in range(3)]
        self.begun = 0

    def step(self, number: int) -> RunnableLambda[str, str]:
        def wait(text: str) -> str:
            self.begun += 1
            self.gates[number].wait()
            return f"{text} {number}"

        return RunnableLambda(wait, name=f"step {number}")

    @contextmanager
    def runs(self, uri: str) -> Iterator[None]:
        """The chain runs, traced, and is delivered by nobody."""
        langchain_autotrace.autolog(tracking_uri=uri, shipper="external")
        chain = self.step(0) | self.step(1) | self.step(2)
        config: RunnableConfig = {"run_name": self.name, "metadata": {"session_id": "live", "user_id": "ada"}}
        thread = threading.Thread(target=chain.invoke, args=(self.asked, config))
        thread.start()
        try:
            yield
        finally:
            for gate in self.gates:
                gate.set()
            thread.join()
            shutdown()


@pytest.fixture
def paused() -> Paused:
    """A chain that waits."""
    return Paused()


def listed(site: Site, query: str, count: int) -> bool:
    """Whether the list has that many traces."""
    return len(site.ask(f"/api/traces?{query}").json()["traces"]) == count


def test_a_running_trace_in_the_list(store: str, visit: Visit, paused: Paused) -> None:
    """A trace appears in an open list while it runs, changes when it has ended, and stays when it is stored."""
    with served(store) as site:
        window = visit(site).has(".nothing", 1)
        with paused.runs(store):
            window.has("tr.IN_PROGRESS", 1)
            assert window.texts("tr.trace .title") == ["slow\nlive\nada"]
            assert window.texts("tr.trace .preview") == ["go"]
            assert window.page.get_by_label("Choose slow").is_disabled()
            for gate in paused.gates:
                gate.set()
            window.has("tr.trace.OK", 1)
            assert window.texts("tr.trace .preview") == ["go\ngo 0 1 2"]
        assert deliver.freshen(store, timeout=60) is None
        window.has("tr.trace .check input:enabled", 1)
        assert window.texts("tr.trace .title") == ["slow\nlive\nada"]


def test_filters_of_running_traces(store: str, visit: Visit, paused: Paused) -> None:
    """A running trace is listed by filters that it meets, and by no other."""
    with served(store) as site, paused.runs(store):
        for query, count in (("status=IN_PROGRESS", 1), ("user=ada&text=GO", 1), ("status=OK", 0), ("model=m", 0)):
            wait_until(partial(listed, site, query, count))
        window = visit(site, "/?session=live").has("tr.IN_PROGRESS", 1)
        window.page.locator("tr.IN_PROGRESS .name a").click()
        window.page.wait_for_selector(".row")


def test_a_trace_grows(store: str, visit: Visit, paused: Paused) -> None:
    """The page of a running trace gets its new spans by itself, and keeps what was chosen, until it is stored."""
    with served(store) as site, paused.runs(store):
        wait_until(partial(listed, site, "", 1))
        (row,) = site.ask("/api/traces").json()["traces"]
        window = visit(site, f"/trace/{row['id']}").has(".row", 2)
        assert window.names() == ["slow", "step 0"]
        assert window.texts(".top .pill") == ["Running"]
        window.page.locator(".row").nth(1).click()
        paused.gates[0].set()
        window.has(".row", 3)
        assert window.names() == ["slow", "step 0", "step 1"]
        assert window.chosen() == "step 0"
        window.awaits(".detail .pill", "OK")
        assert window.bars()["slow"][1] == 100
        for gate in paused.gates:
            gate.set()
        window.awaits(".top .pill", "OK")
        assert window.names() == ["slow", "step 0", "step 1", "step 2"]
        assert window.page.get_by_role("button", name="Delete").count() == 0
        assert deliver.freshen(store, timeout=60) is None
        window.page.get_by_role("button", name="Delete").wait_for()
        assert window.chosen() == "step 0"
        assert window.page.locator(".bar.live").count() == 0


def test_a_hostile_running_trace(store: str, visit: Visit) -> None:
    """A running trace is shown as text, in the list and on its page, also what came later."""
    text = HOSTILE[0] + HOSTILE[1] + "\u202e"
    paused = Paused(text, text)
    with served(store) as site, paused.runs(store):
        window = visit(site).has("tr.IN_PROGRESS", 1)
        window.page.locator("tr.IN_PROGRESS .name a").click()
        window.has(".row", 2)
        paused.gates[0].set()
        window.has(".row", 3)
        shown = HOSTILE[0] + HOSTILE[1] + "U+202E"
        assert window.names() == [shown, "step 0", "step 1"]
        assert shown in window.section("Input")
        assert window.page.evaluate("[window.ran, document.images.length]") == [None, 0]


def test_followers(store: str, paused: Paused) -> None:
    """The journal's traces are followed from start to end, and forgotten when they are delivered."""
    followers = Followers(store)
    assert (followers.look(), followers.traces) == (False, {})
    with paused.runs(store):
        wait_until(lambda: paused.begun == 1)
        assert followers.look()
        ((trace_id, found),) = followers.traces.items()
        assert [one.start.name for one in found.joined.spans] == ["slow", "step 0"]
        assert found.ends_at is None
        assert not followers.look()
    assert followers.look()
    assert followers.traces[trace_id].ends_at is not None
    assert [one.end is not None for one in followers.traces[trace_id].joined.spans] == [True] * 4
    assert deliver.freshen(store, timeout=60) is None
    wait_until(lambda: bool(followers.look()) and followers.traces == {})
