"""The ``langchain-autotrace`` command: shows stored traces and models, delivers journals, and finds problems.

MLflow and rich are slow to import, so each command imports them only if it needs them.
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
from langchain_autotrace.environment import environment
from langchain_autotrace.errors import AutotraceError, ModelNotFound, SinkUnavailable, TraceNotFound
from langchain_autotrace.journal.folder import state_dir
from langchain_autotrace.redaction import error_line, without_password
from langchain_autotrace.testing.cassette_commands import cassette
from langchain_autotrace.version import __version__
from langchain_autotrace.view import backlog, store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NAME: Final = "langchain-autotrace"
_DEBUG: Final = "LANGCHAIN_AUTOTRACE_DEBUG"
_FRESHEN_SECONDS: Final = 120.0
"""How long to wait for a shipper that makes no progress."""
_INTERRUPTED: Final = 130
"""Exit status of a program ended by Ctrl-C, by shell convention."""


class _Group(click.Group):
    """Command group that reports every error in one line on standard error."""

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
            _fail("interrupted.", _INTERRUPTED)
        except click.UsageError as error:
            called = error.ctx.command_path if error.ctx else _NAME
            _fail(f"{error.format_message()} See: {called} --help", error.exit_code)
        except click.ClickException as error:
            _fail(error.format_message(), error.exit_code)
        except (AutotraceError, DemoNotInstalled) as error:
            _fail(str(error), 1)
        except OSError as error:
            _fail(f"{error.filename}: {error_line(error)}" if error.filename else error_line(error), 1)
        except Exception as error:
            if os.environ.get(_DEBUG):
                raise
            _fail(f"{error_line(error)} (unexpected error; set {_DEBUG}=1 to see the traceback)", 1)
        sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str, status: int) -> NoReturn:
    click.echo(f"Error: {' '.join(message.split())}", err=True)
    sys.exit(status)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep log lines out of the output, and use MLflow settings for interactive commands, within the block."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a character that the terminal cannot encode must not fail the command
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


main.add_command(cassette)

_uri_option: Final = click.option(
    "--tracking-uri", metavar="URI", help="MLflow's tracking URI. Default: the same as for autolog()."
)
_only_uri_option: Final = click.option(
    "--tracking-uri", metavar="URI", help="Only the traces for this MLflow tracking URI. Default: all."
)
_experiment_option: Final = click.option("--experiment", metavar="NAME", help="Only this experiment. Default: all.")
_json_option: Final = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@main.command("list")
@click.option("-n", "--limit", default=20, type=click.IntRange(min=1), help="Maximum number of traces. Default: 20.")
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
        click.echo(_no_traces(uri, experiment))


@main.command()
@click.argument("trace_id", metavar="TRACE_ID|last")
@click.option("--io", "values", is_flag=True, help="Show inputs and outputs.")
@click.option("--span", metavar="NAME|ID", help="Only the spans with this name or id, and those below, with --io.")
@click.option("--full", is_flag=True, help="Do not shorten values and errors.")
@click.option("--all", "plumbing", is_flag=True, help="Show the steps that LangChain and LangGraph made by themselves.")
@click.option("--follow", is_flag=True, help="Show a running trace as it grows, until it has ended.")
@_experiment_option
@_uri_option
@_json_option
def show(  # noqa: PLR0913 - a command's options
    *,
    trace_id: str,
    values: bool,
    span: str | None,
    full: bool,
    plumbing: bool,
    follow: bool,
    experiment: str | None,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Show the spans of a trace as a tree, without plumbing such as RunnableParallel and should_continue.

    The id may be abbreviated to its first or last digits; "last" is the newest trace, with --follow the newest that is
    running. Where the output is no terminal, --follow waits for the end of the trace and prints it once.
    """
    from langchain_autotrace.view import span_choice, terminal, traces

    uri = _uri(tracking_uri)
    if follow:
        from langchain_autotrace.view import growing

        trace_id = terminal.print_growth(growing.growth(uri, trace_id, experiment), plumbing=plumbing) or trace_id
    if not _freshened(uri):
        raise TraceNotFound(_no_traces(uri))
    tree = traces.tree(uri, trace_id, experiment=experiment)
    tree = tree if span is None else span_choice.chosen(tree, span)
    if as_json:
        terminal.print_json(terminal.tree_json(tree))
    else:
        in_detail = span is not None
        terminal.print_tree(tree, values=values or in_detail, full=full, whole=not in_detail, plumbing=plumbing)


@main.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option("--all", "plumbing", is_flag=True, help="Compare the steps that LangChain and LangGraph made, too.")
@_experiment_option
@_uri_option
def diff(*, first: str, second: str, plumbing: bool, experiment: str | None, tracking_uri: str | None) -> None:
    """Compare two traces: duration, tokens and cost, the trees, and the inputs and outputs of spans that both have.

    A and B are ids of traces, which may be abbreviated, or "last" for the newest.
    """
    from langchain_autotrace.view import differences, terminal, traces

    uri = _uri(tracking_uri)
    if not _freshened(uri):
        raise TraceNotFound(_no_traces(uri))
    both = [traces.tree(uri, one, experiment=experiment) for one in (first, second)]
    shown = both if plumbing else [traces.folded(one)[0] for one in both]
    terminal.print_lines([differences.facts(*(one.row for one in both)), ""])
    terminal.print_lines(differences.lines(differences.aligned(*shown)))


@main.command()
@click.argument("trace_ids", metavar="TRACE_ID|last...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="File to write; .html, .json or .md.",
)
@click.option(
    "--content/--no-content", default=True, help="Include inputs, outputs and error messages. Default: --content."
)
@_experiment_option
@_uri_option
def export(
    *, trace_ids: tuple[str, ...], output: str, content: bool, experiment: str | None, tracking_uri: str | None
) -> None:
    """Write traces into one file: a page for the browser, JSON, or Markdown to paste.

    The page needs no network and no server. Ids may be abbreviated; "last" is the newest trace.
    """
    from langchain_autotrace.view import export as exporter

    exporter.check_format(output)
    uri = _uri(tracking_uri)
    if not _freshened(uri):
        raise TraceNotFound(_no_traces(uri))
    exported = exporter.read(uri, trace_ids, experiment=experiment, content=content, files=exporter.has_files(output))
    exporter.write(output, exported)
    click.echo(exporter.summary(output, exported))


@main.command()
@click.option("--host", default="127.0.0.1", help="Address to listen on. Default: 127.0.0.1, this machine alone.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port. Default: 7788, or a free one if that is taken.")
@click.option("--allow-remote", is_flag=True, help="Allow a --host that other machines can reach. No encryption.")
@click.option("--browser/--no-browser", default=True, help="Open the browser. Default: --browser.")
@_experiment_option
@_uri_option
def ui(  # noqa: PLR0913 - a command's options
    *,
    host: str,
    port: int | None,
    allow_remote: bool,
    browser: bool,
    experiment: str | None,
    tracking_uri: str | None,
) -> None:
    """Show traces in the browser: list, sessions, overview, comparison; running traces as they grow.

    Only a browser that was opened with the printed address can read them.
    """
    from langchain_autotrace.view import follow as follower
    from langchain_autotrace.view.ui import serving

    uri = _uri(tracking_uri)
    destination.check(uri, writes=False)
    server = serving.open_server(uri, host=host, port=port, allow_remote=allow_remote)
    address = server.address("/", **({"experiment": experiment} if experiment else {}))
    click.echo(f"Traces of {without_password(uri)} are at:\n\n  {address}\n\nCtrl-C stops the server.")
    with follower.until_signal() as stop:
        serving.serve(server, stop, open_at=address if browser else None, opener=serving.open_browser)


@main.group(name="models")
def models_group() -> None:
    """Show the chains that autolog(log_models=True) has logged."""


@models_group.command("list")
@click.option("-n", "--limit", default=20, type=click.IntRange(min=1), help="Maximum number of models. Default: 20.")
@_experiment_option
@_uri_option
@_json_option
def list_models(*, limit: int, experiment: str | None, tracking_uri: str | None, as_json: bool) -> None:
    """List the newest models."""
    from langchain_autotrace.view import model_text, models, terminal

    uri = _uri(tracking_uri)
    rows = models.newest(uri, experiment=experiment, limit=limit) if _freshened(uri, models=True) else []
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
    """Show a model's structure, example and traces.

    It also shows whether the model can be loaded. The id may be abbreviated; "last" is the newest model.
    """
    from langchain_autotrace.view import model_text, models, terminal

    uri = _uri(tracking_uri)
    if not _freshened(uri, models=True):
        raise ModelNotFound(_no_models(uri))
    page = models.page(uri, model_id, experiment=experiment)
    if as_json:
        terminal.print_json(page)
    else:
        terminal.print_lines(model_text.page(page))


@main.command()
@_only_uri_option
@_json_option
def status(*, tracking_uri: str | None, as_json: bool) -> None:
    """Show delivered, pending and rejected traces."""
    from langchain_autotrace.view import report, terminal

    uri = _uri(tracking_uri) if tracking_uri else None
    found = [backlog.look(folder) for folder in backlog.folders(uri)]
    if as_json:
        terminal.print_json([dataclasses.asdict(one) for one in found])
    elif not found:
        click.echo(_no_journals(uri))
    else:
        console = terminal.console()
        for one in found:
            console.print(report.status(one))


@main.command()
@click.option("--follow", is_flag=True, help="Keep delivering until Ctrl-C or SIGTERM; for shipper='external'.")
@click.option("--rejected", is_flag=True, help="Also retry rejected traces.")
@click.option(
    "--timeout", default=60.0, type=click.FloatRange(min=0), help="Timeout per destination in seconds. Default: 60."
)
@_only_uri_option
@_json_option
def ship(*, follow: bool, rejected: bool, timeout: float, tracking_uri: str | None, as_json: bool) -> None:
    """Deliver pending traces now.

    Exits with 1 if traces are left or were rejected.
    """
    from langchain_autotrace.view import deliver, patience, report, terminal
    from langchain_autotrace.view import follow as follower

    uri = _uri(tracking_uri) if tracking_uri else None
    offered: list[deliver.Offered] = []
    if follow:
        with follower.until_signal() as stop:
            done = follower.follow(uri, stop, lambda line: click.echo(line, err=True))
    else:
        folders = backlog.folders(uri)
        with terminal.spinner("delivering …"):
            done = [deliver.deliver(folder, uri, patience=patience.Patience(timeout)) for folder in folders]
        offered = [deliver.offer_rejected(folder, uri, timeout=timeout) for folder in folders] if rejected else []
    if as_json:
        terminal.print_json(
            {"journals": [one._asdict() for one in done], "rejected": [one._asdict() for one in offered]}
        )
    elif done:
        terminal.print_lines([*map(report.delivery, done), *map(report.offered, offered)])
    else:
        click.echo(_no_journals(uri))
    if any(one.is_incomplete for one in done) or any(one.is_incomplete for one in offered):
        sys.exit(1)


@main.command()
@_uri_option
@_json_option
def doctor(*, tracking_uri: str | None, as_json: bool) -> None:
    """Check the installation and suggest fixes.

    Exits with 1 if there is a problem.
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
@click.option(
    "--tracking-uri",
    metavar="URI",
    default=destination.DEFAULT_URI,
    help="MLflow's tracking URI. Default: sqlite:///mlflow.db.",
)
def demo(*, tracking_uri: str) -> None:
    """Run three LangChain programs and show their traces.

    Without OPENAI_API_KEY, they get recorded answers and use no network.
    """
    from langchain_autotrace.demo import run as programs
    from langchain_autotrace.view import report, terminal, traces

    uri = _uri(tracking_uri)
    destination.check(uri)
    key = programs.has_key()
    click.echo(
        "OPENAI_API_KEY is set: using real answers.\n"
        if key
        else "OPENAI_API_KEY is not set: using recorded answers, no network.\n"
    )
    done = programs.run(
        uri,
        lambda name, answer: terminal.print_lines([report.answer(name.ljust(max(map(len, programs.NAMES))), answer)]),
        lambda: click.echo("\nStoring the traces; MLflow takes a few seconds to create a new database …"),
    )
    if done.error:
        msg = f"the traces could not be stored and stay in the journal: {done.error}"
        raise SinkUnavailable(msg)
    rows = traces.newest(uri, experiment=programs.EXPERIMENT, limit=len(programs.NAMES))
    click.echo(f"\nExperiment {programs.EXPERIMENT!r} in {without_password(uri)}:\n")
    terminal.print_rows(rows)
    if done.agent_trace:
        click.echo("\nThe agent's trace:\n")
        terminal.print_tree(traces.tree(uri, done.agent_trace), whole=False)
    same = uri == _uri(None)
    terminal.print_lines([report.next_steps("" if same else f" --tracking-uri {tracking_uri}", without_password(uri))])
    if done.failed:
        sys.exit(1)


def _uri(given: str | None) -> str:
    return settings.resolve(tracking_uri=given).tracking_uri


def _freshened(uri: str, *, models: bool = False) -> bool:
    """Deliver pending traces, and models, so that they are shown; return whether there is a store to read."""
    from langchain_autotrace.view import deliver, terminal

    with terminal.spinner("waiting for new traces to be stored …"):
        exists, left = deliver.freshened(uri, timeout=_FRESHEN_SECONDS, models=models)
    if left:
        click.echo(left, err=True)
    return exists


def _no_traces(uri: str, experiment: str | None = None) -> str:
    """Return that there are no traces to show: why, or what to do."""
    public = without_password(uri)
    if experiment is not None:
        return f"no traces in experiment {experiment!r} of {public}"
    if unstored := _unstored(uri):
        return f"no traces stored yet in {public}: {', '.join(unstored)}."
    others = [folder.public_uri() for folder in backlog.folders(None)]
    known = [other for other in others if other != public][:3]
    hint = f" There are traces in {', '.join(known)}: use --tracking-uri." if known else ""
    call = "call langchain_autotrace.autolog() in your program and run it."
    return f"no traces yet in {public}: {call}{hint}"


def _unstored(uri: str) -> list[str]:
    """Return what the journals have for a store, as far as it is not in the store."""
    from langchain_autotrace.view.deliver import traces

    found = [backlog.look(folder) for folder in backlog.folders(uri)]
    counts = {
        "not delivered yet": sum(one.waiting.traces for one in found),
        "still open": sum(one.waiting.open for one in found),
        "rejected by the store (see: langchain-autotrace status)": sum(one.rejected for one in found),
    }
    texts = [f"{traces(number)} {state}" for state, number in counts.items() if number]
    unreadable = [
        f"journal {name} cannot be read ({why})" for one in found for name, why in one.waiting.unreadable.items()
    ]
    return texts + unreadable


def _no_models(uri: str) -> str:
    return (
        f"no models logged yet in {without_password(uri)}: "
        "call langchain_autotrace.autolog(log_models=True) in your program and run it."
    )


def _no_journals(uri: str | None) -> str:
    if uri is not None:
        return f"nothing has been traced to {without_password(uri)} yet: no journal for it in {state_dir()}."
    return f"nothing has been traced yet: no journals in {state_dir()}."


if __name__ == "__main__":
    main()
