"""Three real LangChain programs with recorded answers, to show traces without an API key or a network."""

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["DemoNotInstalled", "demo_extra"]

_EXTRA = frozenset({"langchain", "langchain_openai", "vcr"})


class DemoNotInstalled(ImportError):  # noqa: N818 - it reads better without "Error"
    """A package of the `demo` extra is missing; the exception's cause names it."""

    def __init__(self) -> None:
        """Set the message, which contains the command that installs the extra."""
        super().__init__("the demo needs additional packages. Run: pip install 'langchain-autotrace[demo]'")


@contextmanager
def demo_extra() -> Iterator[None]:
    """Raise `DemoNotInstalled` if an import fails because a package of the `demo` extra is missing.

    Other failed imports raise their own error.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise DemoNotInstalled from error
