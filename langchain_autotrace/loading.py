"""``load_model()``: loads a chain that was logged as a model. It needs no more of MLflow than mlflow-skinny."""

from __future__ import annotations

import atexit
import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from langchain_autotrace import destination
from langchain_autotrace.errors import ModelError, ModelNotFound
from langchain_autotrace.redaction import without_password

_logger: Final = logging.getLogger("langchain_autotrace")

_CHAIN: Final = "chain.json"
_COPIES: Final = "code"


def load_model(
    model_uri: str | os.PathLike[str],
    *,
    allow: Collection[str] = (),
    allow_code: bool = False,
    secrets: Mapping[str, str] | None = None,
    tracking_uri: str | None = None,
) -> Any:
    """Load a chain that ``autolog(log_models=True)`` has logged.

    Load models only from a store that you trust: a chat model sends its key to whatever address the model names. The
    chain is built from JSON, of classes of LangChain's packages; no code of the model is run unless ``allow_code`` is
    True.

    Args:
        model_uri: ``m-…`` or ``models:/m-…``, ``models:/name/version`` (``models:/name/latest`` is the newest),
            ``models:/name@alias``, or the folder of a model.
        allow: top-level packages whose classes and functions the chain may use in addition to LangChain's packages:
            usually your own.
        allow_code: True runs the file of a model that was logged with ``autolog(model_code=...)``, and uses the modules
            that ``code_paths`` copied into it.
        secrets: environment variable -> value, used instead of the environment for keys.
        tracking_uri: MLflow's tracking URI. Default: that of ``autolog()`` if it is on, else its default.

    Returns:
        The runnable. A warning is logged for values that were left out as secrets.

    Raises:
        ModelNotFound: there is no such model, or langchain_autotrace has not logged it.
        ModelError: the model is a description that cannot be loaded, or uses something not trusted or not installed.
    """
    if (local := Path(model_uri)).is_dir():
        return _load(local, allow, secrets, allow_code=allow_code)
    folder = tempfile.mkdtemp(prefix="langchain-autotrace-")
    keeps = False
    try:
        local = _download(str(model_uri), folder, _store(tracking_uri))
        chain = _load(local, allow, secrets, allow_code=allow_code)
        keeps = _adds_modules(local, allow_code=allow_code)  # they may be imported later, when the chain runs
    finally:
        if not keeps:
            shutil.rmtree(folder, ignore_errors=True)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return chain


def _load(folder: Path, allow: Collection[str], secrets: Mapping[str, str] | None, *, allow_code: bool) -> Any:
    from langchain_autotrace.models import rebuild, revive  # noqa: PLC0415 - slow to import, and only needed here

    document = _document(folder)
    if isinstance(allow, str):
        allow = (allow,)
    if _adds_modules(folder, allow_code=allow_code):
        sys.path.insert(0, str(folder / _COPIES))
    try:
        if document.get("code") is None:
            chain = revive.load_chain(folder / _CHAIN, allow, secrets)
        elif allow_code:
            code = folder / Path(str(document["code"])).name
            chain = rebuild.run_code(code.name, code.read_text(encoding="utf-8"))
        else:
            msg = f"the model is Python code ({document['code']}); pass allow_code=True if you trust its source"
            raise ModelError(msg)
    except revive.ChainLoadError as error:
        raise ModelError(str(error)) from error
    if document.get("left_out"):
        left_out = ", ".join(map(str, document["left_out"]))
        _logger.warning("values that look like secrets were not logged with the model; set them again: %s", left_out)
    return chain


def _adds_modules(folder: Path, *, allow_code: bool) -> bool:
    """Return whether modules that were copied into the model are used."""
    return allow_code and (folder / _COPIES).is_dir()


def _document(folder: Path) -> dict[str, Any]:
    path = folder / _CHAIN
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        msg = f"{folder.name}: not a model logged by langchain_autotrace (no {_CHAIN})"
        raise ModelNotFound(msg) from None
    except (RecursionError, ValueError) as error:
        msg = f"{path}: not valid JSON: {error}"
        raise ModelError(msg) from None
    if not isinstance(document, dict):
        msg = f"{path}: not a JSON object"
        raise ModelError(msg)
    if document.get("loadable") is False:
        msg = (
            f"the chain {document.get('name')!r} cannot be loaded, only its description was logged: "
            f"{document.get('reason')}. Or build it in your program."
        )
        raise ModelError(msg)
    return document


def _download(model_uri: str, folder: str, tracking_uri: str) -> Path:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - a second of imports

    from langchain_autotrace.ship.model_files import fetch  # noqa: PLC0415 - as above

    try:
        return fetch(tracking_uri, model_uri, folder)
    except (MlflowException, OSError) as error:
        msg = f"{model_uri}: {without_password(f'{error} (in {tracking_uri})')}"
        raise ModelNotFound(msg) from error


def _store(given: str | None) -> str:
    """Return the tracking URI of the store: the given one, or ``autolog()``'s if it is on, or the default."""
    if given is None:
        from langchain_autotrace.control import current_settings  # noqa: PLC0415 - it imports LangChain

        settings = current_settings()
        if settings is not None:
            return settings.tracking_uri
    return destination.normalized(given or destination.default_uri())
