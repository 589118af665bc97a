"""What the doctor finds in what was seen: each fact once, with its cause, a way out, and an exit status."""

from __future__ import annotations

from typing import Any

import pytest

from worker.core.doctor.advice import advice
from worker.core.doctor.judge import About, judge
from worker.core.doctor.seen import CredentialSeen, Failure, ProjectSeen, Question
from worker.core.exit import Exit
from worker.core.job import JobApi
from worker.core.manifest.model import Project
from worker.core.vault import Unfit
from worker.errors import Cause, Problem

HOSTS = {"ims": "https://ims.example.com", "cbr": "https://cbr.example.com"}
NO_RIGHT = Failure(Cause.PERMISSION, "HTTP 403: no", "ims:images:list", is_answer=True)
SILENT = Failure(Cause.NO_ANSWER, "no answer in time")
EXPIRED = Failure(Cause.EXPIRED, "the credential was refused (401): over", is_of_credential=True)


def credential(name: str = "default", kind: str = "static", **more: Any) -> CredentialSeen:
    """Return a credential."""
    return CredentialSeen(name, kind, "default", **more)


def seen(name: str, of: str = "default", **more: Any) -> ProjectSeen:
    """Return a project of which, unless something failed, all is well."""
    well = {"is_listed": True, "job_query": JobApi.LEGACY} if "failures" not in more else {}
    return ProjectSeen(Project(name, name, of), hosts=HOSTS, **(well | more))


def failed(name: str, failure: Failure, of: str = "default", question: Question = Question.IMAGES) -> ProjectSeen:
    """Return a project of which one question failed."""
    return seen(name, of, failures={question: failure})


def test_where_all_is_well_nothing_is_found() -> None:
    """Nor where there is no project at all."""
    found = judge([credential()], [seen("a", ahead=-200.0, vaults={"v": None})])
    assert (found.findings, found.exit) == ((), Exit.CONVERGED)
    assert judge([], []).exit is Exit.CONVERGED


def test_equal_findings_of_many_projects_and_credentials_are_one() -> None:
    """With all that it is about; what only ids of requests tell apart is equal; the one about most comes first."""
    projects = [
        failed(f"p{n}", Failure(Cause.EXPIRED, f"over [request {n}]", is_of_credential=True), f"c{n}") for n in range(9)
    ]
    found = judge([credential(f"c{n}") for n in range(9)], [failed("q", NO_RIGHT, "c1"), *projects])
    first, second = found.findings
    assert (first.cause, first.what, len(first.about)) == (Cause.EXPIRED, "over", 9)
    assert first.about[0] == About("p0", "c0")
    assert (second.cause, second.about) == (Cause.PERMISSION, (About("q", "c1"),))
    assert [each.project.id for each in found.projects] == [*(f"p{n}" for n in range(9)), "q"]


@pytest.mark.parametrize(
    ("projects", "status"),
    [
        ([failed("a", EXPIRED), seen("b")], Exit.INCOMPLETE),
        ([failed("a", EXPIRED), failed("b", SILENT)], Exit.CLOUD),
        ([failed("a", NO_RIGHT)], Exit.INCOMPLETE),
        ([ProjectSeen(Project("a", "a"), vaults={"v": None}, failures={Question.IMAGES: SILENT})], Exit.INCOMPLETE),
    ],
)
def test_the_exit_status_is_that_of_the_gravest(projects: list[ProjectSeen], status: Exit) -> None:
    """4 where nobody answered anything, who has said no to somebody known among the answers."""
    assert judge([credential()], projects).exit is status


def test_what_is_wrong_with_the_settings_is_told_and_goes_before_all_else() -> None:
    """As the file or the variable that it is, once for all projects."""
    problem = Problem.about("token", "cannot be read: no such file")
    amiss = credential(problems=(problem,))
    found = judge(
        [amiss, credential("other")],
        [ProjectSeen(Project("a", "a")), ProjectSeen(Project("b", "b")), failed("c", SILENT, "other")],
    )
    assert found.exit is Exit.USAGE
    (settings,) = (each for each in found.findings if each.cause is Cause.SETTINGS)
    assert (settings.what, len(settings.about)) == ("token: cannot be read: no such file", 2)


def test_what_keeps_projects_from_being_found_is_of_the_credential() -> None:
    """A refusal is told once with those of its projects; a credential that is none is told without any."""
    problem = Problem.about("nowhere", "cannot be read")
    credentials = [
        credential("refused", unlisted=EXPIRED),
        credential("away", unlisted=SILENT),
        credential("amiss", problems=(problem,)),
        credential("fine", listed=0),
    ]
    found = judge(credentials, [failed("a", EXPIRED, "refused")])
    assert {each.cause: each.about for each in found.findings} == {
        Cause.EXPIRED: (About("", "refused"), About("a", "refused")),
        Cause.NO_ANSWER: (About("", "away"),),
        Cause.SETTINGS: (About("", "amiss"),),
    }
    assert [each.what for each in found.findings if each.cause is Cause.NO_ANSWER] == [
        "projects cannot be found: no answer in time"
    ]


@pytest.mark.parametrize(
    ("lister", "status"),
    [
        (credential(listed=0), Exit.CONVERGED),
        (credential(unlisted=NO_RIGHT), Exit.INCOMPLETE),
        (credential(unlisted=SILENT), Exit.CLOUD),
    ],
)
def test_a_list_of_projects_is_an_answer_too(lister: CredentialSeen, status: Exit) -> None:
    """Where it is all that was asked for."""
    assert judge([lister], []).exit is status


def test_a_project_that_nobody_found_is_told() -> None:
    """By its name, as a share has it."""
    missing = Project("a", "payments", missing="no project of this name was found")
    (finding,) = judge([credential()], [ProjectSeen(missing), seen("b")]).findings
    assert (finding.cause, finding.what) == (Cause.NO_SUCH_PROJECT, "payments: no project of this name was found")


def test_a_host_is_named_once() -> None:
    """That of the question; not where the words have it already, nor for what is the credential's affair."""

    def told(failure: Failure, question: Question = Question.IMAGES) -> str:
        (finding,) = judge([credential()], [failed("a", failure, question=question)]).findings
        return finding.what

    assert told(SILENT) == "ims.example.com: no answer in time"
    assert told(SILENT, Question.VAULTS) == (
        "cbr.example.com: no answer in time; passes go on without looking at vaults beforehand"
    )
    named = Failure(Cause.UNREACHABLE, "cannot connect to ims.example.com:443: refused")
    assert told(named) == named.message
    assert told(EXPIRED, Question.VAULTS) == EXPIRED.message
    nowhere = ProjectSeen(Project("a", "a"), failures={Question.IMAGES: SILENT})
    assert judge([credential()], [nowhere]).findings[0].what == "no answer in time"


@pytest.mark.parametrize(("ahead", "words"), [(1200.0, "20 minutes ahead of"), (-1200.0, "20 minutes behind")])
def test_a_clock_that_is_off_is_told_though_all_is_answered(ahead: float, words: str) -> None:
    """A token is not judged by it; where a refusal has said it already, that is enough."""
    (finding,) = judge([credential()], [seen("a", ahead=ahead)]).findings
    assert finding.cause is Cause.CLOCK
    assert words in finding.what
    refused = Failure(Cause.CLOCK, "the credential was refused: the clock", is_of_credential=True)
    twice = seen("a", failures={Question.IMAGES: refused}, ahead=ahead)
    assert [each.what for each in judge([credential()], [twice]).findings] == [refused.message]


def test_vaults_that_are_full_are_one_fact_however_full() -> None:
    """With the vault of each project; one that is missing is another."""
    full = [Unfit(Cause.VAULT_FULL, f"it is full: {n} GB of {n} GB are used") for n in (1, 2)]
    projects = [
        seen("a", vaults={"v": full[0], "w": None}),
        seen("b", vaults={"v": full[1]}),
        seen("c", vaults={"x": Unfit(Cause.VAULT_MISSING, "there is no such vault in this project")}),
    ]
    first, second = judge([credential()], projects).findings
    assert first.what == "a vault that the manifest names cannot be used: it is full"
    assert first.about == (About("a", "default", "v"), About("b", "default", "v"))
    assert second.about == (About("c", "default", "x"),)


def test_a_key_that_sees_everything_is_told() -> None:
    """Its lists contradict each other."""
    (finding,) = judge([credential()], [seen("a", sees_everything=True)]).findings
    assert finding.cause is Cause.SEES_EVERYTHING
    assert "an administrator's" in finding.what


@pytest.mark.parametrize("cause", Cause)
def test_there_is_something_to_do_about_every_cause(cause: Cause) -> None:
    """In one sentence that fits a glance."""
    said = advice(cause, "static", "", of_identity=False)
    assert said.endswith(".")
    assert said[0].isupper()
    assert ". " not in said
    assert len(said) < 240


def test_what_to_do_depends_on_the_kind_and_on_the_permission() -> None:
    """A right is granted by its name; a machine's or a pod's identity is looked for at its place."""
    assert advice(Cause.PERMISSION, "static", "cbr:vaults:list", of_identity=False).startswith("Grant cbr:vaults:list")
    assert "169.254.169.254" in advice(Cause.NO_ANSWER, "metadata", "", of_identity=True)
    assert "169.254.169.254" not in advice(Cause.NO_ANSWER, "metadata", "", of_identity=False)
    assert "stands on" in advice(Cause.EXPIRED, "agency", "", of_identity=True)
