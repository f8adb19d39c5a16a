"""What this package raises.

::

    AutotraceError
     ├─ SettingsError         a setting has a value that cannot be used; nothing was changed
     ├─ DestinationError      traces sent there would be lost
     │   └─ CredentialsNeeded the journal names the destination, but not its password
     ├─ JournalError
     │   ├─ JournalFormatError   a file was written by another version
     │   └─ JournalClosed        the disk refuses records: capture is off
     ├─ SinkError
     │   ├─ SinkUnavailable   the store cannot take anything now: keep everything and try again
     │   └─ TraceRejected     the store will never take this trace: set it aside
     ├─ TraceNotFound         no such trace in the store
     └─ ModelError            a logged chain cannot be loaded
         └─ ModelNotFound     no such model in the store

No call that traces raises any of them into the program: they come from ``autolog()``, ``load_model()``, the command
line, and from one stage to the next. Errors of other libraries are turned into these in one place each: the journal's
in ``journal/segment.py``, MLflow's in ``ship/mlflow_errors.py``.
"""

# ruff: noqa: N818 - the names say what is the case

from __future__ import annotations


class AutotraceError(Exception):
    """Base of all errors of this package."""


class SettingsError(AutotraceError, ValueError):
    """A setting has a value that cannot be used."""


class DestinationError(AutotraceError):
    """Traces sent to this destination would be lost."""


class CredentialsNeeded(DestinationError):
    """The journal names its destination without the password, and the environment does not give it."""


class JournalError(AutotraceError):
    """A journal cannot be read or written."""


class JournalFormatError(JournalError):
    """A journal file was written in a format that this version does not know."""


class JournalClosed(JournalError):
    """The disk is full or read-only."""


class SinkError(AutotraceError):
    """A store did not take traces."""


class SinkUnavailable(SinkError):
    """The store cannot take anything now; the same traces may go through later."""


class TraceRejected(SinkError):
    """The store refuses the content; sending it again cannot help."""


class TraceNotFound(AutotraceError, LookupError):
    """The store has no such trace."""


class ModelError(AutotraceError):
    """A logged chain cannot be loaded, or must not be."""


class ModelNotFound(ModelError, LookupError):
    """The store has no such model."""
