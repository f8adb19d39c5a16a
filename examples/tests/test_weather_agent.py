"""An agent, tested against what the model once answered: `pytest`. To record anew: `pytest --record-mode=rewrite`."""

import pytest
from weather_agent import ask


@pytest.mark.vcr
def test_an_umbrella(traces):
    assert "umbrella" in ask("Do I need an umbrella in Oslo?")

    trace = traces.one
    assert trace.tools_called == [("weather", {"city": "Oslo"})]
    assert trace.tokens["total_tokens"] < 500  # noqa: PLR2004 - what it may cost
    assert not trace.errors
    trace.assert_tree("""
        LangGraph [AGENT]
          model [CHAIN]
            ChatOpenAI [CHAT_MODEL] 96+15 tokens
          tools [CHAIN]
            weather [TOOL] {"city": "Oslo"}
          model [CHAIN]
            ChatOpenAI [CHAT_MODEL] 134+17 tokens
    """)
