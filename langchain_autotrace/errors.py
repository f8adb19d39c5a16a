"""The exceptions of this package.

::

    AutotraceError
     ├─ SettingsError         a setting is invalid; nothing was changed
     ├─ DestinationError      traces sent there would be lost
     │   └─ CredentialsNeeded the tracking URI's password is missing
     ├─ JournalError
     │   ├─ JournalFormatError   a file was written by another version
     │   └─ JournalClosed        the disk is full or read-only: capture is off
     ├─ SinkError
     │   ├─ SinkUnavailable   the store takes nothing at present: retry later
     │   │   └─ CredentialsRefused   the store refuses the user: let a shipper with other credentials try
     │   │       └─ PermissionRefused   … or what the user wants to write
     │   └─ TraceRejected     the store will never take this trace: reject it
     ├─ TraceNotFound         the trace is not in the store
     ├─ NotExactlyOne         no such span or trace, or several: the message shows the tree
     ├─ ExportError           the file's name says no format to write
     ├─ CassetteError         a recording of the test kit cannot be read
     │   ├─ NoRecording       a request has no recorded answer
     │   └─ SecretsFound      a recording would hold secrets: it was not written
     └─ ModelError            a logged chain cannot be loaded
         └─ ModelNotFound     the model is not in the store

Tracing raises none of them into the program: they come from ``autolog()``, ``load_model()``, the test kit and the
command line, or pass from one stage to the next. Errors of other libraries are mapped to them in one place each: the
journal's in ``journal/segment.py``, MLflow's in ``ship/mlflow_errors.py``.
"""

# ruff: noqa: N818 - the names describe the situation

from __future__ import annotations


class AutotraceError(Exception):
    """Base class of all exceptions of this package."""


class SettingsError(AutotraceError, ValueError):
    """A setting has an invalid value."""


class DestinationError(AutotraceError):
    """Traces sent to the destination would be lost."""


class CredentialsNeeded(DestinationError):
    """The tracking URI needs a password, and no environment variable contains it."""


class JournalError(AutotraceError):
    """A journal cannot be read or written."""


class JournalFormatError(JournalError):
    """A journal file was written in a format that this version does not support."""


class JournalClosed(JournalError):
    """The journal takes no more records: the disk is full or read-only."""


class SinkError(AutotraceError):
    """Traces could not be stored."""


class SinkUnavailable(SinkError):
    """The store takes no traces at present; retry later."""


class CredentialsRefused(SinkUnavailable):
    """The store refuses the user name, password or token of this process."""


class PermissionRefused(CredentialsRefused):
    """The store knows the user but refuses what it is to write; another trace may be accepted."""


class TraceRejected(SinkError):
    """The store rejects the content of a trace; a retry cannot help."""


class TraceNotFound(AutotraceError, LookupError):
    """The trace is not in the store."""


class NotExactlyOne(AutotraceError, LookupError, AssertionError):
    """There is no such span or trace, or more than one. In a test, it is a failed assertion."""


class ExportError(AutotraceError, ValueError):
    """The name of a file does not say in which format to write it."""


class CassetteError(AutotraceError):
    """A cassette of the test kit cannot be read."""


class NoRecording(CassetteError, LookupError):
    """A request has no recorded answer in the cassette."""


class SecretsFound(CassetteError):
    """A cassette would hold secrets, and was not written."""


class ModelError(AutotraceError):
    """A logged chain cannot be loaded, or must not be."""


class ModelNotFound(ModelError, LookupError):
    """The model is not in the store."""
