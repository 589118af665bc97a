"""What deploy/README.md tells an operator: its commands, and its rule for exit statuses."""

from __future__ import annotations

import re
from pathlib import Path

_README = (Path(__file__).parents[1] / "deploy" / "README.md").read_text()


def blocks(heading: str) -> list[str]:
    """Return the blocks of shell commands under a heading."""
    return re.findall(r"^```bash\n(.*?)^```", _section(heading), re.MULTILINE | re.DOTALL)


def config(heading: str) -> str:
    """Return the lines of a config under a heading."""
    (found,) = re.findall(r"^```toml\n(.*?)^```", _section(heading), re.MULTILINE | re.DOTALL)
    return str(found)


def rule() -> tuple[set[int], ...]:
    """Return the exit statuses of each row of the rule: all is well, another is at work, try again, for a person."""
    rows = re.findall(r"^\| ([\d, ]+) \|", _section("When a pass ends"), re.MULTILINE)
    return tuple({int(status) for status in row.split(",")} for row in rows)


def _section(heading: str) -> str:
    (found,) = re.findall(rf"^#+ {re.escape(heading)}\n(.*?)(?=^##|\Z)", _README, re.MULTILINE | re.DOTALL)
    return str(found)
