"""`help`: of a verb, the manual page, and what completes the command line in real shells."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from commands import Folder

from worker.commands.parser import VERBS, option_names, parsers

NAMES = [verb.name for verb in VERBS]


def call(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program of the system to its end."""
    return subprocess.run(arguments, capture_output=True, text=True, env=env, timeout=300, check=False)


@pytest.mark.parametrize("verb", ["", "plan", "help"])
async def test_help_of_a_verb_is_what_the_verb_says_of_itself(tmp_path: Path, verb: str) -> None:
    """Both ways of asking come to the same, without a config; with --json as a document."""
    folder = Folder(tmp_path)
    asked, option = await folder.run("help", *verb.split()), await folder.run(*verb.split(), "--help")
    document = await folder.run("help", *verb.split(), "--json")
    assert (asked.status, asked.out, asked.err) == (0, option.out, "")
    assert document.document == {"schema": "ims-share-worker/help/1", "text": asked.out}


async def test_the_manual_page_has_every_verb_and_man_reads_it_without_a_complaint(tmp_path: Path) -> None:
    """Names, options and statuses arrive as they stand, at 80 columns."""
    if shutil.which("man") is None:
        pytest.skip("man is needed")
    page = await Folder(tmp_path).run("help", "--man")
    (tmp_path / "page.1").write_text(page.out)
    environ = {"MANWIDTH": "80", "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin", "MANROFFOPT": "-ww"}
    read = call("man", "-l", str(tmp_path / "page.1"), env=environ)
    assert read.stderr == ""
    text = re.sub(".\b", "", read.stdout)
    for verb, parser in parsers()[1].items():
        section = re.search(rf"^{verb.upper()}\n(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
        assert section is not None, verb
        assert all(name in section[1] for name in option_names(parser)), verb
    assert [line for line in text.splitlines() if len(line) > 80 and "ims-share-worker " not in line] == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_a_shell_reads_its_completion(tmp_path: Path, shell: str) -> None:
    """As a script without a mistake, that knows every verb and every option."""
    script = await Folder(tmp_path).run("help", "--completion", shell)
    assert script.status == 0
    long = {name for parser in parsers()[1].values() for name in option_names(parser) if name.startswith("--")}
    for name in (*NAMES, *(each.removeprefix("--") for each in long)):
        assert name in script.out
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is needed to read it")
    (tmp_path / "script").write_text(script.out)
    read = call(shell, "-n", str(tmp_path / "script"))
    assert (read.returncode, read.stderr) == (0, "")


_COMPLETE = """\
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
spec=$(complete -p ims-share-worker); function=$(sed -E 's/.*-F ([^ ]+).*/\\1/' <<< "$spec")
"$function" ims-share-worker "${COMP_WORDS[COMP_CWORD]}" ""
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((" ",), set(NAMES)),
        (("re",), {"release", "reconcile", "resume"}),
        (("plan", "--fail"), {"--fail-on-drift"}),
        (("check", "--schema", ""), {"manifest", "config"}),
        (("help", "pl"), {"plan"}),
    ],
)
async def test_bash_completes_verbs_options_and_choices(
    tmp_path: Path, words: tuple[str, ...], expected: set[str]
) -> None:
    """Asked as the shell asks when the tabulator is pressed."""
    script = await Folder(tmp_path).run("help", "--completion", "bash")
    (tmp_path / "script").write_text(script.out)
    asked = [each.strip() for each in words]
    done = call("bash", "-c", _COMPLETE, "bash", str(tmp_path / "script"), "ims-share-worker", *asked)
    assert set(done.stdout.split()) >= expected
    if words != (" ",):
        assert set(done.stdout.split()) == expected, done.stderr
