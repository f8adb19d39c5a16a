"""Calculates costs by the price table that the full MLflow contains, as ``mlflow.utils.providers`` does.

MLflow is not imported, which takes two seconds.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSIONS: Final = frozenset({"3.17"})
"""Minor versions of MLflow whose table and calculation are known."""
_PROVIDER: Final = re.compile(r"[\w.-]+")
_MILLION: Final = 1_000_000
_NO_COST: Final = 0.0


def cost_per_token(model: str, counts: Mapping[str, int], provider: str) -> tuple[float, float] | None:
    """Return the cost of input and of output in US dollars; None when the provider's table does not have the model.

    Args:
        model: name of the model, with or without what is before a slash.
        counts: token usage under MLflow's names; cached tokens are part of the input.
        provider: MLflow's name of the provider.
    """
    entry = _models(provider).get(model.split("/", 1)[-1])
    if entry is None:
        return None
    prices = {name: price / _MILLION for name, price in _prices(entry).items()}
    own = prices.get("input_per_million_tokens", _NO_COST)
    read, written = counts.get("cache_read_input_tokens") or 0, counts.get("cache_creation_input_tokens") or 0
    cost = max(counts.get("input_tokens", 0) - read - written, 0) * own
    if read > 0:
        cost += read * prices.get("cache_read_per_million_tokens", own)
    if written > 0:
        cost += written * prices.get("cache_write_per_million_tokens", own)
    return cost, counts.get("output_tokens", 0) * prices.get("output_per_million_tokens", _NO_COST)


def catalog() -> Path | None:
    """Return the folder of the tables of all providers; None where MLflow has none, as mlflow-skinny."""
    package = importlib.util.find_spec("mlflow")
    folder = Path(str(package.origin)).parent / "utils" / "model_catalog" if package is not None else Path()
    return folder if (folder / "openai.json").exists() else None


def _prices(entry: Mapping[str, Any]) -> dict[str, float]:
    return {name: price for name, price in (entry.get("pricing") or {}).items() if isinstance(price, int | float)}


@functools.cache
def _models(provider: str) -> dict[str, dict[str, Any]]:
    """Return the models of a provider, by name."""
    folder = catalog()
    if folder is None or not _PROVIDER.fullmatch(provider):
        return {}
    try:
        return dict(orjson.loads((folder / f"{provider}.json").read_bytes()).get("models", {}))
    except FileNotFoundError:
        return {}
