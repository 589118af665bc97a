"""The command line has every verb that a file declares, and declares it as it is."""

from __future__ import annotations

import pkgutil
from importlib import import_module

import pytest

from worker import commands
from worker.commands.parser import VERBS
from worker.commands.verb import Verb


def declared() -> dict[str, Verb]:
    """Return the verbs that the files of the folder declare, by the name of the file."""
    modules = {
        each.name: import_module(f"worker.commands.{each.name}") for each in pkgutil.iter_modules(commands.__path__)
    }
    return {name: module.VERB for name, module in modules.items() if hasattr(module, "VERB")}


def test_every_file_that_declares_a_verb_is_on_the_command_line() -> None:
    """Whoever adds a file adds it to the list of the command line; none is there twice."""
    assert sorted(verb.name for verb in VERBS) == sorted(declared())


@pytest.mark.parametrize("name", declared())
def test_a_verb_has_the_name_of_its_file_and_of_what_performs_it(name: str) -> None:
    """So it is found by its name; and its help is a line."""
    verb = declared()[name]
    assert (verb.name, verb.perform.__name__, verb.perform.__module__) == (name, name, f"worker.commands.{name}")
    assert "\n" not in verb.help
