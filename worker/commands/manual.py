"""The manual page, and shells' completion, made of the parser that reads the command line."""

from __future__ import annotations

from pathlib import Path

from worker.commands.parser import DISTRIBUTION, VERBS, help_of, parsers

_WIDTH = 72
"""Characters of a line: man indents each by seven, and a terminal may have eighty."""


def manual_page() -> str:
    """Return the manual page in roff. Source: man(7)."""
    verbs = "".join(f".SH {verb.name.upper()}\n{_as_it_stands(help_of(verb.name, _WIDTH))}" for verb in VERBS)
    return (
        f".TH {DISTRIBUTION.upper()} 1\n.SH NAME\n{_escaped(DISTRIBUTION)} \\- reconcile shared images\n"
        f".SH SYNOPSIS\n.B {_escaped(DISTRIBUTION)}\n.I VERB\n.RI [ OPTION ...]\n"
        f".SH DESCRIPTION\n{_as_it_stands(help_of(None, _WIDTH))}{verbs}"
    )


def completion(shell: str) -> str:
    """Return a script that has a shell (bash, zsh or fish) complete verbs, options, their choices and files."""
    import shtab

    parser, of_verbs = parsers(_WIDTH)
    for each in (parser, *of_verbs.values()):
        for action in each._actions:  # noqa: SLF001 - argparse has no other
            if action.type is Path:
                action.complete = shtab.FILE  # type: ignore[attr-defined]  # where shtab looks for it
    return shtab.complete(parser, shell)


def _as_it_stands(text: str) -> str:
    return f".nf\n{_escaped(text)}.fi\n"


def _escaped(text: str) -> str:
    lines = text.replace("\\", "\\e").replace("-", "\\-").splitlines(keepends=True)
    return "".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in lines)
