"""Small builders of what people write."""

from __future__ import annotations

from worker.core.documents import Document

UBUNTU = "d164b5df-1bc3-4c3f-893e-3e471fd16e64"
WINDOWS = "0b680482-acaa-4045-b14c-9a8c7dfe9c70"
NIGHTLY = "4a6a8a3e-1bc3-4c4f-823e-3e4710650000"
WEEKLY = "5b6a8a3e-1bc3-4c4f-823e-3e471065zzzz"
PAYMENTS = "edc89b490d7d4392898e19b2deb34797"
LEDGER = "0dc89b490d7d4392898e19b2deb34797"

NAMES = f"""\
version = 1
[images]
ubuntu = "{UBUNTU}"
windows = "{WINDOWS}"
[vaults]
nightly = "{NIGHTLY}"
weekly = "{WEEKLY}"
[projects.payments]
id = "{PAYMENTS}"
vault = "nightly"
[projects.ledger]
id = "{LEDGER}"
"""
"""A manifest of 12 lines with two images, two vaults and two projects, and no share."""


def document(text: str, name: str = "manifest.toml") -> Document:
    """Make a document of a text."""
    return Document(name, text.encode())


def share(
    projects: str = '["payments"]', images: str = '["ubuntu"]', status: str = '"accepted"', more: str = ""
) -> str:
    """Write a share block; each argument is the TOML of a value, `more` of further lines."""
    return f"[[share]]\nprojects = {projects}\nimages = {images}\nstatus = {status}\n{more}"
