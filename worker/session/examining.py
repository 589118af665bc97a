"""A look at all that a pass depends on: credentials and projects, as the cloud sees them. Nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from worker.cloud.auth.presenter import Presenter
from worker.cloud.checkup import Calls, Checkup
from worker.cloud.ims import Ims
from worker.cloud.regions import Service
from worker.core.calls import CallCounts, CallRecord
from worker.core.doctor.judge import Diagnosis, judge
from worker.core.doctor.seen import CredentialSeen, Failure, ProjectSeen, failure_of
from worker.core.fleet.selection import Selector
from worker.core.fleet.shards import Shard
from worker.core.manifest.discover import credentials_of
from worker.core.manifest.model import Manifest, Project
from worker.core.operation import Operation
from worker.errors import CloudError, Problem
from worker.journal.store import Journal
from worker.reconcile.deadlines import Deadlines
from worker.reconcile.examine import examine
from worker.session.finding import found_in, list_projects, see_that_known
from worker.session.opening import open_for_reading, record_calls
from worker.settings import Loaded
from worker.settings.inputs import Inputs, load_inputs
from worker.wiring import quick_cloud_config

_RENEWED_AT = {
    "password": (Service.IAM,),
    "agency": (Service.STS, Service.IAM),
    "oidc": (Service.STS,),
}
"""The services that a kind of credential asks; which endpoint a pod asks is told where it fails."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What was seen and is wrong, the manifest with what was found, the calls that this took, and notes."""

    diagnosis: Diagnosis
    manifest: Manifest
    calls: CallCounts
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Credentials:
    """What is known of credentials, by name: who each is, what it was told of projects, and why it is none."""

    amiss: Mapping[str, tuple[Problem, ...]]
    presenters: dict[str, Presenter] = field(default_factory=dict)
    listed: dict[str, int] = field(default_factory=dict)
    unlisted: dict[str, Failure] = field(default_factory=dict)


async def examined(
    loaded: Loaded,
    selector: Selector,
    environ: Mapping[str, str],
    within: float,
    on_call: Callable[[CallRecord], None],
) -> Examined:
    """Return what was seen of the selected projects and their credentials.

    What has no answer `within` so many seconds is given up. `on_call` is told of each call. Raises JournalError,
    ManifestError, and SettingsError for names that nobody knows and for an unusable CA file.
    """
    inputs = load_inputs(loaded)
    see_that_known(inputs, selector)
    finders = credentials_of(inputs.manifest)
    used = {project.credential for project in inputs.manifest.projects.values()} | set(finders)
    config, amiss = quick_cloud_config(inputs, environ, used)
    credentials, calls = _Credentials(amiss), Calls()

    def note(record: CallRecord) -> None:
        calls.note(record)
        on_call(record)

    async with open_for_reading(inputs, config, Shard(), note) as (journal, ims):
        checkup = Checkup(config, ims, calls)
        inputs, projects, found_notes = await _find(loaded, inputs, selector, (ims, journal), credentials)
        seen = await _look(
            inputs, [each for each in projects if each.credential not in amiss], checkup, within, credentials
        )
        names = {project.credential for project in projects} | (set() if selector.projects else set(finders))
        told = [_credential(name, inputs, projects, checkup, credentials) for name in sorted(names)]
        notes = (*found_notes, *(journal.notes if journal.exists else ()), *await record_calls(journal))
    unseen = [ProjectSeen(each) for each in projects if each.credential in amiss]
    return Examined(judge(told, [*seen, *unseen]), inputs.manifest, ims.counts(), notes)


async def _find(
    loaded: Loaded, inputs: Inputs, selector: Selector, opened: tuple[Ims, Journal], credentials: _Credentials
) -> tuple[Inputs, Sequence[Project], tuple[str, ...]]:
    """Return the inputs with what is to be found, the projects that are selected of it, and notes of the finding."""
    ims, journal = opened

    def failed(credential: str, error: CloudError) -> None:
        if credential not in credentials.amiss:
            credentials.unlisted[credential] = failure_of(error)

    lists = await list_projects(inputs, ims, journal, Deadlines(), failed)
    credentials.listed |= {name: len(each.projects) for name, each in lists.items() if not each.failure}
    found = found_in(inputs, lists)
    found.insist(loaded)
    selection = found.request(selector).selection
    projects = [each for key, each in sorted(found.inputs.manifest.projects.items()) if selection.means(key)]
    return found.inputs, projects, found.finding.notes


async def _look(
    inputs: Inputs, projects: Sequence[Project], checkup: Checkup, within: float, credentials: _Credentials
) -> list[ProjectSeen]:
    """Return what the cloud answers about projects whose credentials can be used."""
    presenters = credentials.presenters

    async def meet(project: Project) -> None:
        if project.credential not in presenters:
            presenters[project.credential] = Presenter()
            presenters[project.credential] = await checkup.presenter(project)

    vaults = {project: vaults_of(inputs, project) for project in projects if not project.missing}
    seen = await examine(checkup, vaults, within, meet)
    for project in vaults:
        if not presenters.get(project.credential, Presenter()).key:
            presenters[project.credential] = checkup.known_presenter(project)
    found = [
        replace(each, hosts=_hosts(checkup, each.project, vaults), ahead=checkup.ahead(each.project)) for each in seen
    ]
    return [*found, *(ProjectSeen(project) for project in projects if project.missing)]


def vaults_of(inputs: Inputs, project: Project) -> frozenset[str]:
    """Return the vaults into which the manifest would have images of a project accepted."""
    wishes = inputs.manifest.wishes.get(project.id, {})
    by_rules = [rule for rule in inputs.manifest.rules_of(project) if rule.operation is Operation.ACCEPT]
    vaults = (*(wish.vault_id for wish in wishes.values()), *(rule.vault_id or project.vault_id for rule in by_rules))
    return frozenset(filter(None, vaults))


def _hosts(checkup: Checkup, project: Project, vaults: Mapping[Project, frozenset[str]]) -> dict[str, str]:
    services = (Service.IMS, *((Service.CBR,) if vaults[project] else ()))
    return {service.value: origin for service in services if (origin := checkup.host(project, service))}


def _credential(
    name: str, inputs: Inputs, projects: Sequence[Project], checkup: Checkup, known: _Credentials
) -> CredentialSeen:
    table, presenter = inputs.settings.credentials[name], known.presenters.get(name, Presenter())
    own = next((project for project in projects if project.credential == name), Project("", "", name))
    services = (*_RENEWED_AT.get(table.kind, ()), *((Service.IAM,) if name in known.listed | known.unlisted else ()))
    hosts = {each.value: origin for each in services if (origin := checkup.host(own, each))}
    if table.kind == "metadata":
        hosts["metadata"] = inputs.settings.cloud.metadata_endpoint
    return CredentialSeen(
        name,
        table.kind,
        table.account,
        presenter.principal,
        presenter.key,
        hosts,
        known.amiss.get(name, ()),
        known.listed.get(name),
        known.unlisted.get(name),
    )
