"""Three real LangChain programs and their recorded answers, to see traces without a key or a network."""

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["DemoNotInstalled", "demo_extra"]

_EXTRA = frozenset({"langchain", "langchain_openai", "vcr"})


class DemoNotInstalled(ImportError):  # noqa: N818 - it is a state to mend by one command, and reads as one
    """A package of the `demo` extra is missing; the cause says which one."""

    def __init__(self) -> None:
        """Build the one message, which is the command that mends it."""
        super().__init__("the demo needs `pip install 'langchain-autotrace[demo]'`")


@contextmanager
def demo_extra() -> Iterator[None]:
    """Turn a missing package of the `demo` extra into `DemoNotInstalled`; any other failed import stays itself."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise DemoNotInstalled from error
