"""Puts the kit's parts into the ``VCR`` that is about to open a cassette."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from vcr import VCR

from langchain_autotrace.testing.bypass import passing_by
from langchain_autotrace.testing.cassette import Kit, KitCassette, KitContext
from langchain_autotrace.testing.cassette_files import Persister, ReadableSerializer
from langchain_autotrace.testing.matching import VOLATILE, Matcher
from langchain_autotrace.testing.scrubbing import Scrubber
from langchain_autotrace.testing.secret_scan import SecretScan


def is_ci() -> bool:
    """Return whether this is a build server's run, by the variable ``CI``."""
    return os.environ.get("CI", "").lower() not in {"", "0", "false"}


def kit(*, keep_headers: Iterable[str] = (), volatile: Iterable[str] = VOLATILE, allowed: Iterable[str] = ()) -> Kit:
    """Return the parts that cassettes work with.

    Args:
        keep_headers: regular expressions of further headers to keep.
        volatile: fields of a JSON body that matching leaves out.
        allowed: regular expressions of texts that look like secrets and are none.
    """
    scrubber = Scrubber(keep_headers)
    return Kit(scrubber, Matcher(scrubber, volatile), SecretScan(allowed))


def configure(vcr: VCR, parts: Kit) -> None:
    """Give a ``VCR`` the kit's defaults; what the user has set is an argument of its ``use_cassette``, and wins."""
    vcr.register_matcher("llm_path", parts.matcher.path)
    vcr.register_matcher("llm_query", parts.matcher.query)
    vcr.register_matcher("llm_body", parts.matcher.body)
    vcr.match_on = ("method", "host", "llm_path", "llm_query", "llm_body")
    vcr.register_serializer("yaml", ReadableSerializer)  # the name that pytest-recording's suffix comes from
    extra_paths = getattr(vcr.persister, "extra_paths", ())
    vcr.register_persister(Persister(extra_paths, lambda path, text: parts.scan.refuse_text(path.name, text)))
    vcr.decode_compressed_response = True

    def use_cassette(path: str | None = None, **options: Any) -> KitContext:  # noqa: ANN401 - vcrpy's
        options.setdefault("allow_playback_repeats", True)
        mode = options.get("record_mode", vcr.record_mode)
        if is_ci() and str(getattr(mode, "value", mode)) != "none":
            options["record_mode"] = "none"  # `once` of a shared configuration replays, and a miss says why

        def arguments() -> dict[str, Any]:
            merged: dict[str, Any] = vcr.get_merged_config(**{**options, "path": path})
            merged["before_record_request"] = passing_by(
                merged["before_record_request"], records_localhost=options.get("ignore_localhost") is False
            )
            return {**merged, "kit": parts}

        return KitCassette.use_arg_getter(arguments)

    vcr.use_cassette = use_cassette
