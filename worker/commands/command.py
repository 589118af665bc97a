"""What every verb works with: its options, the environment, and where its results go."""

from __future__ import annotations

import argparse
import getpass
import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from worker.commands.options import Asked
from worker.core.exit import Exit
from worker.core.text import json_text, visible
from worker.errors import OutputError, Problem
from worker.render.output import printing, say, say_unwritten
from worker.render.problems import problems_json
from worker.settings import Loaded, load_settings
from worker.telemetry.late_logs import when_needed

_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its options, what they ask for, the environment, and where results go.

    `is_shown_live` tells whether a person on a terminal sees how far it is, `logs` whether it has anything to log.
    """

    options: argparse.Namespace
    asked: Asked
    environ: Mapping[str, str]
    out: Console
    is_shown_live: bool
    logs: bool

    def configure(self) -> Loaded:
        """Read the config, and set up the logs as it says."""
        loaded = load_settings(self.options.config, self.environ, {})
        self.take(loaded)
        return loaded

    def take(self, loaded: Loaded) -> None:
        """Say what is odd about the settings, and log as they say."""
        self.warn(loaded.warnings)
        level = "debug" if self.options.verbose else loaded.settings.log.level

        def set_up_logs() -> None:
            from worker.telemetry.logs import set_up

            is_told = level != "info" or not (self.is_live or self.options.quiet)
            set_up(self.options.log_format, level if is_told else "warning", colors=self.errors_in_color)

        if self.logs:
            set_up_logs()
        else:
            when_needed(set_up_logs)

    @property
    def by(self) -> str:
        """The person who gave the command, as far as the system knows: the user, at this machine."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):
            user = f"uid {os.getuid()}"
        return visible(f"{user}@{socket.gethostname()}")[:_LONGEST_NAME]

    @property
    def is_live(self) -> bool:
        """Whether a person watches the live progress of this command on a terminal."""
        return (
            self.is_shown_live and sys.stderr.isatty() and self.options.log_format == "auto" and not self.options.quiet
        )

    @property
    def errors_in_color(self) -> bool:
        """Whether what goes to standard error may be coloured."""
        asked = self.options.color
        return asked == "always" or (asked == "auto" and sys.stderr.isatty() and not self.environ.get("NO_COLOR"))

    @property
    def results_in_color(self) -> bool:
        """Whether what goes to standard output may be coloured."""
        return self.out.color_system is not None and not self.out.no_color

    def warn(self, warnings: tuple[str, ...]) -> None:
        """Say what is odd, and no error."""
        for warning in warnings:
            say(f"warning: {warning}")

    def note(self, notes: tuple[str, ...]) -> None:
        """Say what a person should know beside the result, unless nothing that is well is to be said."""
        for note in () if self.options.quiet else notes:
            say(f"note: {visible(note)}")

    def own_up(self, bugs: tuple[str, ...]) -> None:
        """Say which bugs there were; the log has their tracebacks."""
        for bug in bugs:
            say(f"bug: {bug}")
        if bugs:
            say("This is a bug in ims-share-worker; please report it with its traceback above.")

    def show(self, document: dict[str, Any], as_text: Callable[[], None], *, is_well: bool = True) -> Exit:
        """Print a result: as JSON where it was asked for, else for people. Return what this adds to the exit status.

        For people nothing is printed of what `is_well` where nothing but the rest was asked for.
        """
        try:
            with printing():
                if self.options.json:
                    print(json_text(document, indent=2 if sys.stdout.isatty() else None))
                elif not (is_well and self.options.quiet):
                    as_text()
                sys.stdout.flush()
        except OutputError as error:
            say_unwritten(error)
            return Exit.INCOMPLETE
        return Exit.CONVERGED


def console(color: str, *, stderr: bool = False) -> Console:
    """Return a console on standard output or error whose colours are as `--color` asks for."""
    stream = sys.stderr if stderr else sys.stdout
    terminal = stream.isatty()
    return Console(
        stderr=stderr,
        width=None if terminal else 200,
        soft_wrap=not terminal,
        highlight=False,
        color_system={"always": "standard" if not terminal else "auto", "never": None}.get(color, "auto"),
        no_color=None if color == "auto" else color == "never",
    )


def error_json(status: Exit, problems: tuple[Problem, ...]) -> dict[str, Any]:
    """Return the document that stands for the result where there is none."""
    return {"schema": "ims-share-worker/error/1", "exit": status, "problems": problems_json(problems)}
