"""Write and fetch the files of a logged model, in the layout of MLflow's models from code.

::

    MLmodel                     MLflow's description: flavors, signature, location of the example
    chain.py                    revive.py and a few lines; or the program's own file
    code/                       the modules of code_paths
    chain.json                  the description of the chain
    requirements.txt  python_env.yaml  conda.yaml
    input_example.json  serving_input_example.json

A model that cannot be loaded has no flavors, and only the files ``MLmodel``, ``chain.json`` and the example.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import mlflow.version
import orjson
import yaml
from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModel
from mlflow.models import Model
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient

from langchain_autotrace.records import ModelForm
from langchain_autotrace.ship.rebuild_process import Rebuilt

_LOADER: Final = Path(__file__).parent.parent / "models" / "revive.py"
_FORMAT: Final = "langchain-autotrace/1"
"""The same as in ``models/revive.py``, which is copied into models and so imports nothing of this package."""
_TAIL: Final = """

if __name__ != "__main__":
    from mlflow.models import set_model

    set_model(load_chain(Path(__file__).with_name("chain.json"), allow={allow!r}))
"""
_COPIES: Final = "code"
"""MLflow's name of the folder of modules that it adds to the search path."""
_EXAMPLE: Final = "input_example.json"
_SERVING: Final = "serving_input_example.json"


class _Signature:
    """A signature with what ``mlflow.models.Model`` uses of it. MLflow's own class needs numpy."""

    _is_signature_from_type_hint = _is_type_hint_from_example = False

    def __init__(self, form: dict[str, str | None]) -> None:
        self._form = form

    def to_dict(self) -> dict[str, str | None]:
        return self._form


def fetch(tracking_uri: str, model_uri: str, folder: str) -> Path:
    """Download the files of a model into ``folder``, and return the path they are in.

    Args:
        tracking_uri: tracking URI of the store.
        model_uri: ``m-…``, ``models:/m-…``, ``models:/name/version`` (a number or ``latest``), ``models:/name@alias``,
            or another URI of MLflow's.
        folder: path of an empty folder.

    Raises:
        MlflowException: the model does not exist.
        OSError: the files cannot be read.
    """
    if model_uri.startswith("m-"):
        model_uri = f"models:/{model_uri}"
    kind, _, name = model_uri.partition(":/")
    if kind != "models":
        download: Any = download_artifacts
        return Path(download(model_uri, dst_path=folder, tracking_uri=tracking_uri))
    # MLflow would look in the store of the process-wide tracking URI.
    client = MlflowClient(tracking_uri, registry_uri=tracking_uri)
    repository: Any = get_artifact_repository(_location(client, name.strip("/")), tracking_uri=tracking_uri)
    return Path(repository.download_artifacts("", folder))


def _location(client: MlflowClient, name: str) -> str:
    """Return where the files are of ``m-…``, ``name/version``, ``name/latest`` or ``name@alias``."""
    registered, _, alias = name.partition("@")
    registered, _, version = registered.partition("/")
    if alias:
        version = client.get_model_version_by_alias(registered, alias).version
    elif version.lower() == "latest":
        found = client.search_model_versions(f"name = '{registered}'")
        version = str(max((int(one.version) for one in found), default=0))
    if version:
        source = str(client.get_model_version_download_uri(registered, version))
        if not source.startswith("models:/"):
            return source
        name = source.partition(":/")[2]
    return str(client.get_logged_model(name).artifact_location)


def write_model(folder: Path, form: ModelForm, content_hash: str, model: LoggedModel, rebuilt: Rebuilt) -> None:
    """Write all files of a model into ``folder``."""
    is_loadable = rebuilt.reason is None
    written = Model(
        artifact_path=model.artifact_location,
        model_uuid=model.model_id,
        model_id=model.model_id,
        run_id=model.source_run_id,
        signature=None if form["signature"] is None else _Signature(form["signature"]),
        metadata={
            "langchain_autotrace": {
                "format": _FORMAT,
                "content_hash": content_hash,
                "loadable": is_loadable,
                "secrets": form["secrets"],
            }
        },
    )
    if form["example"] is not None:
        _write_example(folder, written, form["example"][0])
    code = rebuilt.code or "chain.py"
    (folder / "chain.json").write_bytes(_document(form, rebuilt))
    if is_loadable:
        _write_code(folder, form, rebuilt)
        _write_environment(folder, rebuilt)
        _add_flavors(written, code, rebuilt, _COPIES if form["code_paths"] else None)
    written.model_size_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    written.save(str(folder / "MLmodel"))


def _document(form: ModelForm, rebuilt: Rebuilt) -> bytes:
    document = {
        "format": _FORMAT,
        "name": form["name"],
        "langchain_core": rebuilt.langchain_core,
        "loadable": rebuilt.reason is None,
        "reason": rebuilt.reason,
        "problems": form["problems"],
        "left_out": form["left_out"],
        "secrets": form["secrets"],
        "code": rebuilt.code,
        "copied_code": bool(form["code_paths"]) and rebuilt.reason is None,
        "chain": form["chain"],
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


def _write_example(folder: Path, written: Model, example: Any) -> None:
    (folder / _EXAMPLE).write_bytes(orjson.dumps(example))
    (folder / _SERVING).write_bytes(orjson.dumps({"inputs": example}, option=orjson.OPT_INDENT_2))
    kind = "json_object"
    written.saved_input_example_info = {"artifact_path": _EXAMPLE, "serving_input_path": _SERVING, "type": kind}


def _write_code(folder: Path, form: ModelForm, rebuilt: Rebuilt) -> None:
    texts = {name: text for name, text, _ in form["code"] or ()}
    if rebuilt.code is None:
        text = _LOADER.read_text(encoding="utf-8") + _TAIL.format(allow=rebuilt.allow)
    else:
        text = texts[rebuilt.code]
    (folder / (rebuilt.code or "chain.py")).write_text(text, encoding="utf-8")
    for name, copied in form["code_paths"]:
        path = folder / _COPIES / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(copied, encoding="utf-8")


def _write_environment(folder: Path, rebuilt: Rebuilt) -> None:
    """Write the files from which MLflow creates an environment to serve the model."""
    needed = [f"mlflow=={mlflow.version.VERSION}", *rebuilt.requirements]
    (folder / "requirements.txt").write_text("\n".join(needed) + "\n")
    tools = ["pip", "setuptools", "wheel"]
    python = {"python": rebuilt.python, "build_dependencies": tools, "dependencies": ["-r requirements.txt"]}
    conda = {
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        "dependencies": [f"python={rebuilt.python}", "pip", {"pip": needed}],
    }
    for name, content in (("python_env.yaml", python), ("conda.yaml", conda)):
        (folder / name).write_text(yaml.safe_dump(content, sort_keys=False))


def _add_flavors(written: Model, code: str, rebuilt: Rebuilt, copies: str | None) -> None:
    written.add_flavor(
        "python_function",
        loader_module="mlflow.langchain",
        python_version=rebuilt.python,
        model_code_path=code,
        **({} if copies is None else {"code": copies}),
        env={"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
        predict_stream_fn="predict_stream",
        streamable=True,
    )
    written.add_flavor("langchain", langchain_version=rebuilt.langchain_core, code=copies, streamable=True)
