"""Compiles the part of the package that is C, when it is installed. Where that cannot be, it is pure Python."""

from __future__ import annotations

import os
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MODULE = "langchain_autotrace.capture._line"
SOURCE = "langchain_autotrace/capture/_line.c"
PURE_VARIABLE = "LANGCHAIN_AUTOTRACE_PURE_PYTHON"


class ExtensionHook(BuildHookInterface[Any]):
    """What hatchling calls before it builds a wheel, an editable one too."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Put the compiled module beside its source, and into the wheel."""
        reason = _reason_for_none()
        if reason is None:
            try:
                built = _compiled(Path(self.root))
            except Exception as error:  # noqa: BLE001 - no compiler, no headers, or one that fails: it is only faster
                reason = f"{type(error).__name__}: {error}"
        if reason is not None:
            self.app.display_warning(f"{MODULE} is not compiled, capture takes longer ({reason})")
            return
        build_data["artifacts"].append(f"/{built}")
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"cp311-abi3-{platform}"


def _reason_for_none() -> str | None:
    if os.environ.get(PURE_VARIABLE):
        return f"{PURE_VARIABLE} is set"
    if sys.implementation.name != "cpython":
        return f"this is {sys.implementation.name}"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "this Python has no global interpreter lock"
    return None


def _compiled(root: Path) -> str:
    """The compiled module's path below ``root``."""
    from setuptools import Distribution, Extension  # noqa: PLC0415 - not needed where nothing is compiled
    from setuptools.command.build_ext import build_ext  # noqa: PLC0415 - as above

    extension = Extension(MODULE, [SOURCE], py_limited_api=True)
    with tempfile.TemporaryDirectory() as scratch:
        command = build_ext(Distribution({"name": "langchain_autotrace", "ext_modules": [extension]}))
        command.inplace = True
        command.build_temp = command.build_lib = scratch
        before = Path.cwd()
        os.chdir(root)  # setuptools takes paths from where it is
        try:
            command.ensure_finalized()
            command.run()
            return Path(command.get_ext_filename(MODULE)).as_posix()  # type: ignore[no-untyped-call]
        finally:
            os.chdir(before)
