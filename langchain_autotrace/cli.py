"""The command line, ``langchain-autotrace``: what is stored, what waits, and what is wrong.

What is slow to import, MLflow and rich, is imported by the command that needs it.
"""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import sys
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from langchain_autotrace import destination, settings
from langchain_autotrace.demo import DemoNotInstalled
from langchain_autotrace.demo.replay import environment
from langchain_autotrace.errors import AutotraceError, ModelNotFound, SinkUnavailable, TraceNotFound
from langchain_autotrace.journal.folder import home
from langchain_autotrace.version import __version__
from langchain_autotrace.view import backlog, store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NAME: Final = "langchain-autotrace"
_DEBUG: Final = "LANGCHAIN_AUTOTRACE_DEBUG"
_FRESHEN_SECONDS: Final = 10.0
_INTERRUPTED: Final = 130
"""Exit status of a program that Ctrl-C ended, by the shells' custom."""


class _Group(click.Group):
    """Ends every error in one line."""

    def main(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        **options: Any,  # noqa: ANN401 - click's
    ) -> NoReturn:
        """Run the command and exit."""
        try:
            status = super().main(args, prog_name, **{**options, "standalone_mode": False})
        except click.Abort:
            _fail("stopped.", _INTERRUPTED)
        except click.UsageError as error:
            called = error.ctx.command_path if error.ctx else _NAME
            _fail(f"{error.format_message()} See: {called} --help", error.exit_code)
        except click.ClickException as error:
            _fail(error.format_message(), error.exit_code)
        except (AutotraceError, DemoNotInstalled) as error:
            _fail(str(error), 1)
        except OSError as error:
            _fail(f"{error.filename}: {store.reason(error)}" if error.filename else store.reason(error), 1)
        except Exception as error:
            if os.environ.get(_DEBUG):
                raise
            _fail(f"{store.reason(error)} (unexpected; {_DEBUG}=1 shows the traceback)", 1)
        sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str, status: int) -> NoReturn:
    click.echo(f"Error: {' '.join(message.split())}", err=True)
    sys.exit(status)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep MLflow's log lines out of the output, and its settings fit for somebody who waits."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a letter that the terminal lacks must not end the command
            stream.reconfigure(errors="replace")
    level = logging.root.manager.disable
    with environment(store.quiet()):
        logging.disable(level if os.environ.get(_DEBUG) else logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(level)


@click.group(cls=_Group, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=_NAME)
@click.pass_context
def main(context: click.Context) -> None:
    """Traces of LangChain and LangGraph runs in MLflow."""
    context.with_resource(_quietly())
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


_uri_option: Final = click.option("--tracking-uri", metavar="URI", help="MLflow's tracking URI. Default: autolog()'s.")
_experiment_option: Final = click.option("--experiment", metavar="NAME", help="Only this experiment. Default: all.")
_json_option: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")


@main.command("list")
@click.option("-n", "--limit", default=20, type=click.IntRange(min=1), help="How many traces. Default: 20.")
@_experiment_option
@_uri_option
@_json_option
def list_traces(*, limit: int, experiment: str | None, tracking_uri: str | None, as_json: bool) -> None:
    """List the newest traces."""
    from langchain_autotrace.view import terminal, traces

    uri = _uri(tracking_uri)
    rows = traces.newest(uri, experiment=experiment, limit=limit) if _freshened(uri) else []
    if as_json:
        terminal.print_json([terminal.row_json(row) for row in rows])
    elif rows:
        terminal.print_rows(rows)
    else:
        click.echo(_no_traces(uri))


@main.command()
@click.argument("trace_id", metavar="TRACE_ID|last")
@click.option("--io", "values", is_flag=True, help="With inputs and outputs.")
@click.option("--full", is_flag=True, help="Shorten nothing.")
@_experiment_option
@_uri_option
@_json_option
def show(  # noqa: PLR0913 - a command's options
    *, trace_id: str, values: bool, full: bool, experiment: str | None, tracking_uri: str | None, as_json: bool
) -> None:
    """Show the spans of a trace as a tree.

    The beginning of a trace id will do, and "last" is the newest trace.
    """
    from langchain_autotrace.view import terminal, traces

    uri = _uri(tracking_uri)
    if not _freshened(uri):
        raise TraceNotFound(_no_traces(uri))
    tree = traces.tree(uri, trace_id, experiment=experiment)
    if as_json:
        terminal.print_json(terminal.tree_json(tree))
    else:
        terminal.print_tree(tree, values=values, full=full)


@main.group(name="models")
def models_group() -> None:
    """Chains that autolog(log_models=True) has logged."""


@models_group.command("list")
@click.option("-n", "--limit", default=20, type=click.IntRange(min=1), help="How many models. Default: 20.")
@_experiment_option
@_uri_option
@_json_option
def list_models(*, limit: int, experiment: str | None, tracking_uri: str | None, as_json: bool) -> None:
    """List the newest models."""
    from langchain_autotrace.view import model_text, models, terminal

    uri = _uri(tracking_uri)
    rows = models.newest(uri, experiment=experiment, limit=limit) if _freshened(uri) else []
    if as_json:
        terminal.print_json(rows)
    elif rows:
        terminal.print_lines([model_text.table(rows)])
    else:
        click.echo(_no_models(uri))


@models_group.command("show")
@click.argument("model_id", metavar="MODEL_ID|last")
@_experiment_option
@_uri_option
@_json_option
def show_model(*, model_id: str, experiment: str | None, tracking_uri: str | None, as_json: bool) -> None:
    """Show what a model is made of, its example, its traces, and whether it can be loaded.

    The beginning of a model id will do, and "last" is the newest model.
    """
    from langchain_autotrace.view import model_text, models, terminal

    uri = _uri(tracking_uri)
    if not _freshened(uri):
        raise ModelNotFound(_no_models(uri))
    page = models.page(uri, model_id, experiment=experiment)
    if as_json:
        terminal.print_json(page)
    else:
        terminal.print_lines(model_text.page(page))


@main.command()
@_uri_option
@_json_option
def status(*, tracking_uri: str | None, as_json: bool) -> None:
    """Say what is delivered, what waits, and why."""
    from langchain_autotrace.view import report, terminal

    found = [backlog.look(folder) for folder in backlog.folders(_uri(tracking_uri) if tracking_uri else None)]
    if as_json:
        terminal.print_json([dataclasses.asdict(one) for one in found])
    elif not found:
        click.echo(_no_journals())
    else:
        console = terminal.console()
        for one in found:
            console.print(report.status(one))


@main.command()
@click.option("--follow", is_flag=True, help="Go on until Ctrl-C or SIGTERM; for shipper='external'.")
@click.option("--rejected", is_flag=True, help="Offer the traces that were set aside again.")
@click.option("--timeout", default=60.0, type=click.FloatRange(min=0), help="Seconds per destination. Default: 60.")
@_uri_option
@_json_option
def ship(*, follow: bool, rejected: bool, timeout: float, tracking_uri: str | None, as_json: bool) -> None:
    """Deliver what is in the journals now.

    Exits with 1 when something is left or was rejected.
    """
    from langchain_autotrace.view import deliver, report, terminal
    from langchain_autotrace.view import follow as follower

    uri = _uri(tracking_uri) if tracking_uri else None
    offered: list[deliver.Offered] = []
    if follow:
        with follower.until_signal() as stop:
            done = follower.follow(uri, stop, lambda line: click.echo(line, err=True))
    else:
        folders = backlog.folders(uri)
        done = [deliver.deliver(folder, uri, timeout=timeout) for folder in folders]
        offered = [deliver.offer_rejected(folder, uri, timeout=timeout) for folder in folders] if rejected else []
    if as_json:
        terminal.print_json(
            {"journals": [one._asdict() for one in done], "rejected": [one._asdict() for one in offered]}
        )
    elif done:
        terminal.print_lines([*map(report.delivery, done), *map(report.offered, offered)])
    else:
        click.echo(_no_journals())
    if any(one.is_incomplete for one in done) or any(one.is_incomplete for one in offered):
        sys.exit(1)


@main.command()
@_uri_option
@_json_option
def doctor(*, tracking_uri: str | None, as_json: bool) -> None:
    """Say what is wrong, and what mends it.

    Exits with 1 when there is a problem.
    """
    from langchain_autotrace.view import doctor as examiner
    from langchain_autotrace.view import report, terminal

    versions = examiner.versions()
    if as_json:
        checks = list(examiner.examine(tracking_uri))
        terminal.print_json({"versions": versions, "checks": [dataclasses.asdict(check) for check in checks]})
    else:
        terminal.print_lines([report.installed(versions), ""])
        checks = []
        for check in examiner.examine(tracking_uri):
            terminal.print_lines([report.check(check)])
            checks.append(check)
    if any(check.level == "problem" for check in checks):
        sys.exit(1)


@main.command()
@click.option("--tracking-uri", metavar="URI", default=destination.DEFAULT_URI, help="Default: ./mlflow.db.")
def demo(*, tracking_uri: str) -> None:
    """Run three LangChain programs and show their traces.

    Without OPENAI_API_KEY they get recorded answers, and no network is used.
    """
    from langchain_autotrace.demo import run as programs
    from langchain_autotrace.view import report, terminal, traces

    uri = _uri(tracking_uri)
    destination.check(uri)
    key = programs.has_key()
    click.echo(
        "OPENAI_API_KEY is set: real answers.\n" if key else "No OPENAI_API_KEY: recorded answers, no network.\n"
    )
    done = programs.run(
        uri,
        lambda name, answer: terminal.print_lines([report.answer(name.ljust(max(map(len, programs.NAMES))), answer)]),
        lambda: click.echo("\nStoring their traces; MLflow takes some seconds to make a new database …"),
    )
    if done.error:
        msg = f"the traces are in the journal only: {done.error}"
        raise SinkUnavailable(msg)
    rows = traces.newest(uri, experiment=programs.EXPERIMENT, limit=len(programs.NAMES))
    click.echo(f"\nThe experiment {programs.EXPERIMENT!r} of {destination.without_password(uri)}:\n")
    terminal.print_rows(rows)
    if done.agent_trace:
        click.echo("\nThe agent's trace:\n")
        terminal.print_tree(traces.tree(uri, done.agent_trace), whole=False)
    same = uri == _uri(None)
    terminal.print_lines(
        [report.next_steps("" if same else f" --tracking-uri {tracking_uri}", destination.without_password(uri))]
    )
    if done.failed:
        sys.exit(1)


def _uri(given: str | None) -> str:
    return settings.resolve(tracking_uri=given).tracking_uri


def _freshened(uri: str) -> bool:
    """Deliver what waits, so that it is seen; whether there is a store to look into."""
    from langchain_autotrace.view import deliver

    destination.check(uri)
    store.probe(uri)
    left = deliver.freshen(uri, timeout=_FRESHEN_SECONDS)
    if left:
        click.echo(left, err=True)
    path = destination.sqlite_path(uri)
    return path is None or path.exists()


def _no_traces(uri: str) -> str:
    others = [folder.public_uri() for folder in backlog.folders(None)]
    known = [other for other in others if other != destination.without_password(uri)][:3]
    hint = f" This user has traced to {', '.join(known)}: use --tracking-uri." if known else ""
    call = "call langchain_autotrace.autolog() in your program and run it."
    return f"no traces yet in {destination.without_password(uri)}: {call}{hint}"


def _no_models(uri: str) -> str:
    return (
        f"no chains are logged as models in {destination.without_password(uri)}: "
        "call langchain_autotrace.autolog(log_models=True) in your program and run it."
    )


def _no_journals() -> str:
    return f"nothing has been traced yet: no journals in {home()}."


if __name__ == "__main__":
    main()
