"""Settings that are no mistake in form, and hardly what anybody means: `check` warns of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from worker.cloud.regions import is_known, stays_here
from worker.core.documents import At, Document, Finding, problems_of, quote
from worker.core.manifest.model import Manifest
from worker.errors import Problem
from worker.settings.model import Cloud, Journal, Settings

_SQLITE = "sqlite:///"
_DRIVER = "psycopg"


def odd_settings(settings: Settings) -> tuple[Finding, ...]:
    """Return what is odd about settings that are good in form, at paths in no particular file.

    Looks at the disk and at what is installed; makes no call.
    """
    of_region = _of_region(settings.cloud, settings.cloud.region, At("", ("cloud", "region")))
    return (*of_region, *_of_journal(settings.journal), *_of_server(settings), *_of_times(settings))


def odd_regions(cloud: Cloud, manifest: Manifest, documents: Sequence[Document] = ()) -> tuple[Problem, ...]:
    """Return a problem for each region of projects that this version does not know, at the first that names it.

    Problems are placed if the documents are given.
    """
    firsts: dict[str, At] = {}
    for project_id, project in manifest.projects.items():
        at = manifest.credential_places[project_id]
        firsts.setdefault(project.region, At(at.file, (*at.path[:2], "region")))
    firsts.pop(cloud.region, None)
    return problems_of(
        (finding for region, at in firsts.items() for finding in _of_region(cloud, region, at)), documents
    )


def _of_region(cloud: Cloud, region: str, at: At) -> Iterator[Finding]:
    # Where hosts are given, nothing is made of it.
    if region and not cloud.ims_endpoint and not is_known(cloud.cloud, region):
        hint = "see that it is written as the console does; its hosts are made by the pattern of its cloud"
        yield Finding(at, f"region {quote(region)} is none that this version knows", quote(region), hint)


def _of_journal(journal: Journal) -> Iterator[Finding]:
    url, at = journal.url.get_secret_value(), At("", ("journal", "url"))
    if url.startswith(_SQLITE):
        folder = Path(url.removeprefix(_SQLITE)).parent
        if not folder.is_dir():
            yield Finding(at, f"the folder {quote(str(folder))} of the journal does not exist", hint="make it first")
    elif url.startswith("postgresql:"):
        if find_spec(_DRIVER) is None:
            hint = "pip install 'ims-share-worker[postgres]'"
            yield Finding(at, "a journal on PostgreSQL needs its driver, which is not installed", hint=hint)
        # Its user and password stand before the @, and may have an underscore.
        host = re.sub(r":\d+$", "", urlsplit(url).netloc.rpartition("@")[2])
        if "_" in host:
            hint = "names of hosts have letters, digits and hyphens; some resolvers refuse others"
            yield Finding(at, "the host of the journal has an underscore", hint=hint)


def _of_server(settings: Settings) -> Iterator[Finding]:
    host = settings.server.listen.host
    if not stays_here(host):
        hint = "there is no login: let only those reach it who may see names and ids of projects and images"
        yield Finding(At("", ("server", "listen")), f"{quote(host)} is beyond this machine", quote(host), hint)


def _of_times(settings: Settings) -> Iterator[Finding]:
    polling, cloud = settings.polling, settings.cloud
    pairs = (
        (polling.abandon, "polling.abandon", polling.deadline, "polling.deadline", "a job would be given up unseen"),
        (
            polling.unknown,
            "polling.unknown",
            cloud.connect_timeout + cloud.read_timeout,
            "cloud.connect_timeout and cloud.read_timeout together",
            "a PUT would be sent again while its answer may still come",
        ),
        (
            polling.deadline,
            "polling.deadline",
            polling.max,
            "polling.max",
            "a job's last polls would come too late",
        ),
        (polling.deadline, "polling.deadline", polling.verify, "polling.verify", "no time would be left to read again"),
    )
    for seconds, name, least, other, why in pairs:
        if seconds < least:
            path = tuple(name.split("."))
            yield Finding(At("", path), f"{name} is shorter than {other}: {why}", f"{seconds:g}s")
