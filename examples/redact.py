"""What must not be kept: a hook of your own, on top of the scrubbing of keys and tokens that is always on."""

from typing import Any

from langchain_core.runnables import RunnableLambda

import langchain_autotrace


def without_names(value: Any) -> Any:
    """Replace the name wherever it stands. An exception here would keep nothing of the value."""
    if isinstance(value, str):
        return value.replace("Ada Lovelace", "[NAME]")
    if isinstance(value, list):
        return [without_names(one) for one in value]
    if isinstance(value, dict):
        return {key: without_names(one) for key, one in value.items()}
    return value


langchain_autotrace.autolog(redact=without_names)
greet = RunnableLambda(lambda who: f"Good morning, {who}!", name="greet")
print(greet.invoke("Ada Lovelace"))
assert langchain_autotrace.flush().ok
