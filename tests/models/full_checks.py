"""Does with models what users of the full MLflow do: ``python full_checks.py``, in an environment that has it.

Reads models from standard input, a JSON object of ``{name: {"uri": ..., "wrong": an input that no model takes}}``, and
writes what came of each as JSON to the file that is named. It imports nothing of ours.
"""

from __future__ import annotations

import copy
import json
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main() -> None:
    """Check all models."""
    found = {name: _checked(**asked) for name, asked in json.load(sys.stdin).items()}
    Path(sys.argv[1]).write_text(json.dumps(found), encoding="utf-8")


def _checked(uri: str, wrong: object) -> dict[str, Any]:
    import mlflow
    import pandas as pd
    from fastapi.testclient import TestClient
    from mlflow.pyfunc.scoring_server import init

    folder = Path(mlflow.artifacts.download_artifacts(uri))

    def read(name: str = "input_example.json") -> Any:
        # Anew each time: MLflow writes numpy's numbers into what it is given.
        return json.loads((folder / name).read_text())

    found: dict[str, Any] = {"example": read(), "serving": read("serving_input_example.json")}
    model_id = mlflow.models.Model.load(folder).model_id
    found["traces"] = [trace.info.trace_id for trace in mlflow.search_traces(model_id=model_id, return_type="list")]
    found["invoke"] = _result(lambda: mlflow.langchain.load_model(uri).invoke(read()))
    found["pyfunc"] = _result(lambda: mlflow.pyfunc.load_model(uri) and None)
    if "error" in found["pyfunc"]:
        return found
    model = mlflow.pyfunc.load_model(uri)
    found["active"] = mlflow.get_active_model_id()
    found["has_signature"] = model.metadata.signature is not None
    found["predict"] = _result(lambda: model.predict(read()))
    two = [read(), read()] if isinstance(read(), dict | str) else [*read(), *read()]
    found["rows"] = _result(lambda: model.predict(copy.deepcopy(two)))
    found["frame"] = _result(lambda: model.predict(pd.DataFrame([read(), read()])))
    # MLflow takes a list of one out of its list twice.
    found["stream"] = _result(lambda: list(model.predict_stream([read()] if isinstance(read(), list) else read())))
    found["their_example"] = _result(
        lambda: model.predict(mlflow.models.Model.load(folder).load_input_example(str(folder)))
    )
    client = TestClient(init(model), raise_server_exceptions=False)
    found["served"] = _answer(client.post("/invocations", json=read("serving_input_example.json")))
    found["served_rows"] = _answer(client.post("/invocations", json={"inputs": two}))
    if isinstance(read(), dict) and "messages" in read():
        found["served_as_chat"] = _answer(client.post("/invocations", json=read()))
    found["wrong"] = _result(lambda: model.predict(wrong))
    found["served_wrong"] = _answer(client.post("/invocations", json={"inputs": wrong}))
    kept = dict(os.environ)
    for name in model.metadata.metadata["langchain_autotrace"]["secrets"]:
        os.environ.pop(name, None)
    found["without_keys"] = _result(lambda: mlflow.langchain.load_model(uri) and None)
    os.environ.update(kept)
    return found


def _answer(response: Any) -> dict[str, Any]:
    return {"status": response.status_code, "body": response.text}


def _result(function: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"value": json.loads(json.dumps(function(), default=_plain))}
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the result
        return {"error": f"{type(error).__name__}: {error}"}


def _plain(value: Any) -> Any:
    return value.model_dump() if hasattr(value, "model_dump") else repr(value)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
