"""The application: its verbs, its errors on stderr, its exit codes."""

import contextlib
import errno
import inspect
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from cvexp import process
from cvexp.cli import (
    bench,
    compare,
    confmat,
    data,
    doctor,
    evaluate,
    explain,
    export,
    import_,
    models,
    predict,
    register,
    relocate,
    reproduce,
    rm,
    serve,
    sync,
    train,
    ui,
)
from cvexp.cli import run as run_file
from cvexp.cli.flags import Command, Group
from cvexp.cli.output import FAILED, READER_GONE, is_unread
from cvexp.data.progress import told_to
from cvexp.errors import CvexpError, InputError, Interrupted
from cvexp.redaction import without_credentials
from cvexp.settings import VERSION
from cvexp.text import clean

SIGNAL_EXIT = 128
BAD_INPUT = InputError.exit_code
COMPLETION = "_CVEXP_COMPLETE"
"""Set by the shell when it asks for completions."""

UNUSABLE = (errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENOTDIR, errno.EROFS)
"""What is wrong with a file that was named, rather than with the machine."""

USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
"""Typer's class of wrong uses, wherever its release keeps it."""

app = typer.Typer(
    name="cvexp",
    cls=Group,
    help="Train small image classifiers, track every run in MLflow, and find out which one to ship.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _help_of(function: Callable[..., None]) -> str:
    """The docstring as paragraphs of one line each: the terminal decides where they wrap."""
    paragraphs = (inspect.getdoc(function) or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


# Each of these modules holds a function of its own name, with `_` where Python keeps it; help lists them in this order.
_VERBS = (data, models, train, evaluate, bench, compare, confmat, predict, explain,
          export, register, serve, run_file, reproduce, sync, rm, import_, relocate, doctor, ui)  # fmt: skip
for _module in _VERBS:
    _name = _module.__name__.rpartition(".")[2]
    _verb = getattr(_module, _name)
    app.command(_name.rstrip("_"), cls=Command, help=_help_of(_verb), epilog=getattr(_verb, "epilog", None))(_verb)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer's callback protocol
    if wanted:
        typer.echo(f"cvexp {VERSION}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    del debug, version  # read before the command line is parsed, and in the callback


def run(arguments: Sequence[str], *, started: float | None = None) -> int:
    """Run one command, given the words after `cvexp`, and when (`time.monotonic()`) the process began: by default now.

    Returns:
        0 done, 1 failed while running, 2 bad input, 3 records wait to be delivered, 4 a check did not hold,
        129 / 130 / 143 interrupted, 141 nobody reads the output any more.
    """
    debug = "--debug" in arguments
    if not (debug or sys.warnoptions):
        warnings.simplefilter("ignore")  # libraries talk to their developers there, not to users
    os.environ.setdefault("MPLBACKEND", "Agg")
    process.take()
    _listen_for_signals()
    command = typer.main.get_command(app)
    context = {"arguments": list(arguments), "started": time.monotonic() if started is None else started}
    if COMPLETION in os.environ:
        command(prog_name="cvexp")
    try:
        # Not command.main(): it answers a KeyboardInterrupt itself, and forgets which signal it was.
        with command.make_context("cvexp", list(arguments), obj=context) as ctx, _images_shown():
            command.invoke(ctx)
    except BaseException as error:  # noqa: BLE001 - every way out becomes lines and a code here
        if is_unread(error):
            return READER_GONE
        if debug and not isinstance(error, SystemExit | typer.Exit):
            sys.stderr.write(without_credentials("".join(traceback.format_exception(error))))
        return _explain(error, arguments)
    return 0


@contextlib.contextmanager
def _images_shown() -> Iterator[None]:
    """Within the block, show on stderr how far the reading of image files is."""
    shown: list[Any] = []

    def show(what: str, n_done: int, n_images: int) -> None:
        if not shown:
            from cvexp.report.images import ImagesBar

            shown.append(ImagesBar())
        shown[0](what, n_done, n_images)

    try:
        with told_to(show):
            yield
    finally:
        for bar in shown:
            bar.stop()


def _explain(error: BaseException, arguments: Sequence[str]) -> int:
    """Say what went wrong in at most three lines on stderr, and give the exit code."""
    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        stop = error if isinstance(error, Interrupted) else Interrupted(signal.SIGINT)
        _complain(f"interrupted by {signal.Signals(stop.signum).name}", *stop.hints)
        return SIGNAL_EXIT + stop.signum
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else FAILED
    if isinstance(error, CvexpError):
        _complain(*error.lines())
        return error.exit_code
    if isinstance(error, USAGE_ERROR):
        _complain_of_usage(error, arguments)
        return BAD_INPUT
    return _complain_of_unexpected(error)


def _complain_of_unexpected(error: BaseException) -> int:
    """Of an error that no code raises on purpose; give its exit code."""
    if isinstance(error, OSError) and error.errno in UNUSABLE and error.filename:
        _complain(f"cannot use {os.fsdecode(error.filename)}: {error.strerror}", "check the name and its permissions")
        return BAD_INPUT
    if isinstance(error, MemoryError):
        _complain("out of memory", "try a smaller --batch-size, or --limit")
    else:
        _complain(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}", "see where: cvexp --debug …")
    return FAILED


def _complain_of_usage(error: Any, arguments: Sequence[str]) -> None:
    """Typer's own complaint without its box, with the value it was about."""
    message = error.format_message()
    if not message:  # `cvexp` alone: its help was printed
        return
    given = _given(getattr(getattr(error, "param", None), "opts", ()), arguments)
    message = message.replace("Value error, ", "")  # pydantic's words, which say nothing
    if given and given not in message:
        message = f"{message.rstrip('.')}: {given!r}"
    _complain(message, f"see: {error.ctx.command_path if error.ctx else 'cvexp'} --help")


def _given(options: Sequence[str], arguments: Sequence[str]) -> str | None:
    """What was typed for an option that typer refused; it does not always say."""
    for word, following in zip(arguments, [*arguments[1:], None], strict=True):
        option, equals, value = word.partition("=")
        if option in options and (equals or following is not None):
            return value if equals else following
    return None


def _complain(what: str, *hints: str) -> None:
    lines = [f"error: {' '.join(what.split())}", *(f"  {line}" for line in hints)]
    with contextlib.suppress(BrokenPipeError):
        sys.stderr.write("\n".join(clean(without_credentials(line)) for line in lines) + "\n")


def _listen_for_signals() -> None:
    """Turn SIGTERM and SIGHUP into an exception, so that a run under way is closed like after Ctrl-C."""

    def stop(signum: int, _frame: FrameType | None) -> NoReturn:
        raise Interrupted(signum)

    for name in ("SIGTERM", "SIGHUP"):
        # What the process was told to ignore, as nohup does, stays ignored.
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is not signal.SIG_IGN:
            signal.signal(getattr(signal, name), stop)
