"""The status page as the one document that is served: its markup, with the styles and the scripts put in.

A document of one style and one script is let in by their hashes alone, and asks for nothing but the daemon's JSON. The
scripts share one scope, as the browser sees them joined: each may use what an earlier one declares.
"""

from __future__ import annotations

from importlib.resources import files

from worker.telemetry.page.statuses import status_script, status_styles

STYLES = ("colours.css", "frame.css", "verdict.css", "lists.css", "matrix.css", "narrow.css")
SCRIPTS = (
    "text.js",
    "time.js",
    "tables.js",
    "verdict.js",
    "reasons.js",
    "cells.js",
    "search.js",
    "matrix.js",
    "sections.js",
    "poll.js",
)
"""In their order: what a script does as it is read may use what those before it declare, what it does later all."""


def joined_page() -> bytes:
    """Return the page, in UTF-8."""
    style = "\n".join((*map(_text, STYLES), status_styles()))
    page = _text("index.html").replace("<style></style>", f"<style>\n{style}</style>")
    return page.replace("<script></script>", f'<script>\n"use strict";\n\n{joined_script()}</script>').encode()


def joined_script() -> str:
    """Return all scripts as the one that the browser reads."""
    return "\n".join((status_script(), *map(_text, SCRIPTS)))


def _text(name: str) -> str:
    return (files("worker.telemetry.page") / name).read_text(encoding="utf-8")
