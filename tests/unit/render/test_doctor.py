"""The doctor's page, which stays one however large the fleet is, and its JSON, which has all."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from worker.core.calls import CallCounts, CallGroup
from worker.core.doctor.advice import advice
from worker.core.doctor.judge import judge
from worker.core.doctor.seen import CredentialSeen, Failure, ProjectSeen, Question
from worker.core.job import JobApi
from worker.core.manifest.model import Project
from worker.core.vault import Unfit
from worker.errors import Cause, Problem
from worker.render.doctor import DoctorView, doctor_json, print_doctor
from worker.render.names import Names

EXPIRED = Failure(
    Cause.EXPIRED, "the credential was refused (401 APIGW.0301): expired: it is over", is_of_credential=True
)
IMS = {"ims": "https://ims.example.com"}


def view(credentials: list[CredentialSeen], projects: list[ProjectSeen]) -> DoctorView:
    """Return what is shown of these."""
    names = Names({each.project.id: each.project for each in projects}, {})
    calls = CallCounts({CallGroup.IMAGES_LIST: 3})
    return DoctorView(judge(credentials, projects), names, {"v-1": "nightly"}, calls, ("a note",), 100.0, 102.0)


def page(of: DoctorView) -> list[str]:
    """Return the lines of the page."""
    out = io.StringIO()
    print_doctor(of, Console(file=out, width=400))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def fine(name: str, of: str = "default", **more: Any) -> ProjectSeen:
    """Return a project of which all is well."""
    return ProjectSeen(Project(f"id-{name}", name, of), IMS, **({"is_listed": True, "job_query": JobApi.LEGACY} | more))


def test_a_page_has_who_and_where_and_what_is_wrong_with_what_to_do() -> None:
    """Of two credentials, both in trouble."""
    credentials = [
        CredentialSeen(
            "fine", "password", "default", "user robot of the account acme", "a token", {"iam": "https://iam"}
        ),
        CredentialSeen("over", "static", "other", "", "key AKIA…"),
    ]
    vaults = {"v-1": Unfit(Cause.VAULT_FULL, "it is full: 1 GB of 1 GB are used"), "v-2": None}
    projects = [
        fine("a", "fine", ahead=0.4),
        fine("b", "fine", ahead=-70.0, vaults=vaults),
        ProjectSeen(Project("id-c", "c", "over"), IMS, failures={Question.IMAGES: EXPIRED}),
    ]
    assert page(view(credentials, projects)) == [
        "fine (password, account default): user robot of the account acme, a token; clock 70 s behind",
        "  a: images listed, jobs by the legacy query",
        "  b: images listed, jobs by the legacy query, 1 of 2 vaults fit",
        "over (static, account other): key AKIA…; clock unknown",
        "  c: images not listed",
        "",
        "Hosts",
        "  ims https://ims.example.com: 3 projects",
        "  iam https://iam: fine",
        "",
        "Wrong",
        "  1. c, credential over: the credential was refused (401 APIGW.0301): expired: it is over",
        f"     -> {advice(Cause.EXPIRED, 'static', '', of_identity=True)}",
        "  2. b (nightly), credential fine: a vault that the manifest names cannot be used: it is full",
        "     -> Enlarge the vault, have it expand by itself, or name another.",
        "",
        "2 findings: 2 credentials, 3 projects; 3 calls in 2s, nothing was changed",
    ]


def test_two_hundred_projects_with_a_credential_each_fit_on_a_page() -> None:
    """Credentials that are alike are one line, and so are equal findings; what is too much is counted."""
    credentials = [CredentialSeen(f"c{n:03}", "static", f"c{n:03}", "", "key AKIA…") for n in range(200)]
    failing = [
        ProjectSeen(Project(f"id-{n:03}", f"p{n:03}", f"c{n:03}"), IMS, failures={Question.IMAGES: EXPIRED})
        for n in range(67)
    ]
    lines = page(view(credentials, [*failing, *(fine(f"p{n:03}", f"c{n:03}", ahead=0.1) for n in range(67, 200))]))
    assert (
        lines[0]
        == "67 credentials (c000, c001, c002 and 64 more; static), 67 projects: images not listed; clock unknown"
    )
    assert lines[1].startswith("133 credentials (c067, c068, c069 and 130 more; static), 133 projects: images listed")
    assert (
        "  1. 67 projects (p000, p001, p002 and 64 more), 67 credentials (c000, c001, c002 and 64 more): "
        + EXPIRED.message
        in lines
    )
    assert len(lines) < 15


def test_what_is_all_different_has_an_end_too() -> None:
    """A hundred credentials, hosts and reasons: twenty of each, and a count of the rest."""
    credentials = [CredentialSeen(f"c{n:03}", "static", "default") for n in range(100)]
    projects = [
        ProjectSeen(
            Project(f"id-{n}", f"p{n}", f"c{n:03}"),
            {"ims": f"https://ims{n}"},
            failures={Question.IMAGES: Failure(Cause.REFUSED, f"HTTP 400: {n}", is_answer=True)},
            ahead=float(n * 60),
        )
        for n in range(100)
    ]
    lines = page(view(credentials, projects))
    assert len(lines) < 120
    for words in ("and 80 more credentials", "and 80 more hosts", "more findings (--json shows all)"):
        assert any(words in line for line in lines)
    many = [fine(f"p{n}", ahead=0.0, vaults=dict.fromkeys(map(str, range(n)))) for n in range(9)]
    assert "  and 5 more projects (--json shows all)" in page(
        view([CredentialSeen("default", "static", "default")], many)
    )


def test_the_json_has_everything() -> None:
    """With null for what nobody knows, and each instance of a fact."""
    amiss = CredentialSeen("amiss", "profile", "default", problems=(Problem.about("nowhere", "cannot be read"),))
    projects = [
        fine("a", ahead=0.44, vaults={"v-1": Unfit(Cause.VAULT_STATE, "it is locked"), "v-2": None}),
        ProjectSeen(Project("id-b", "b", "amiss", "eu-west-0")),
    ]
    document = doctor_json(view([CredentialSeen("default", "static", "default"), amiss], projects))
    assert (document["schema"], document["ok"], document["notes"]) == ("ims-share-worker/doctor/1", False, ["a note"])
    assert document["credentials"][0] == {
        "credential": "amiss",
        "kind": "profile",
        "account": "default",
        "principal": None,
        "key": None,
        "hosts": {},
        "projects": 1,
        "projects_found": None,
        "clock_ahead_seconds": None,
        "problems": ["nowhere: cannot be read"],
    }
    assert document["projects"][0] == {
        "project_id": "id-a",
        "project": "a",
        "credential": "default",
        "region": None,
        "hosts": IMS,
        "may_list": True,
        "sees_everything": False,
        "job_query": "legacy",
        "vaults": [
            {"vault_id": "v-1", "vault": "nightly", "fit": False, "reason": "it is locked"},
            {"vault_id": "v-2", "vault": "v-2", "fit": True, "reason": ""},
        ],
        "clock_ahead_seconds": 0.4,
        "clock_right": True,
        "failures": {},
    }
    assert document["projects"][1]["region"] == "eu-west-0"
    assert document["findings"][0] == {
        "cause": "settings",
        "what": "nowhere: cannot be read",
        "do": advice(Cause.SETTINGS, "profile", "", of_identity=True),
        "credentials": ["amiss"],
        "about": [{"project_id": "id-b", "project": "b", "credential": "amiss", "vault_id": None}],
    }


def test_a_credential_that_finds_projects_is_told_with_what_it_found() -> None:
    """Or that it found none, and why; a finding of a credential alone names it."""
    away = Failure(Cause.NO_ANSWER, "no answer in time")
    credentials = [
        CredentialSeen("finds", "static", "default", listed=2),
        CredentialSeen("none", "static", "default", unlisted=away),
    ]
    of = view(credentials, [fine("a", "finds", ahead=0.0)])
    lines = page(of)
    assert lines[0] == "none (static, account default): nobody says who it is; projects not found; clock unknown"
    assert lines[1] == "finds (static, account default): nobody says who it is; may act in 2 projects; clock right"
    assert "  1. credential none: projects cannot be found: no answer in time" in lines
    (about,) = doctor_json(of)["findings"][0]["about"]
    assert about == {"project_id": None, "project": None, "credential": "none", "vault_id": None}


def test_nothing_to_look_at_and_nothing_that_answers_are_told() -> None:
    """In the last line."""
    assert page(view([], [])) == [
        "The manifest names no project: 0 credentials, 0 projects; 3 calls in 2s, nothing was changed"
    ]
    silent = ProjectSeen(Project("id-a", "a"), failures={Question.IMAGES: Failure(Cause.NO_ANSWER, "no answer")})
    lines = page(view([CredentialSeen("default", "static", "default")], [silent]))
    assert lines[0] == "default (static, account default): nobody says who it is; clock unknown"
    assert lines[-1].startswith("Nothing answered: ")
    assert page(view([CredentialSeen("default", "static", "default")], [fine("a", job_query=None)]))[1] == (
        "  a: images listed, job query not asked"
    )
