"""What is left alone and told of: by owner and rule, and by what to call it."""

from __future__ import annotations

from rules import OWNER, rule
from strategies import EPOCH

from worker.core.fleet.noticed import NoticedBy, by_owner, by_rule, unsolicited_in
from worker.core.fleet.plan import make_plan
from worker.core.manifest.model import Manifest, Project, Rule, Wish
from worker.core.operation import Operation
from worker.core.project.drift import VaultPolicy
from worker.core.project.plan import Known, ProjectPlan, Terms, plan_project
from worker.core.reading import ObservedImage, Offer, Reading
from worker.core.share import MemberStatus

PENDING = MemberStatus.PENDING


def offer(ident: str, owner: str = OWNER, name: str = "", status: MemberStatus = PENDING) -> tuple[str, Offer]:
    """Return an offer, by the id of its image."""
    return ident, Offer(ObservedImage(ident, name or f"name of {ident}", owner), status)


def plan(project_id: str, *offers: tuple[str, Offer], rules: tuple[Rule, ...] = (), images: str = "") -> ProjectPlan:
    """Return the plan of a project that wishes for image a, and knows it by a name."""
    project = Project(project_id, f"name of {project_id}")
    wishes = {project_id: {"a": Wish(Operation.ACCEPT)}}
    manifest = Manifest({project_id: project}, wishes, {"a": "golden"}, {"golden": "a"}, {}, {}, rules)
    terms = Terms(manifest, frozenset(images), VaultPolicy.WHEN_NEEDED)
    return plan_project(project, Reading(dict(offers)), terms, Known(EPOCH))


def test_what_nothing_speaks_of_is_told_by_owner_and_image() -> None:
    """In the projects where it is pending, by name, and of whom there is most first."""
    accepted = offer("c", status=MemberStatus.ACCEPTED)
    plans = [plan("q", offer("a"), offer("b", "x"), accepted), plan("p", offer("b", "x"), offer("d", "w"))]
    found = unsolicited_in(plans)
    assert [(each.owner, each.image_id, each.name, each.projects) for each in found] == [
        ("w", "d", "name of d", ("name of p",)),
        ("x", "b", "name of b", ("name of p", "name of q")),
    ]
    assert by_owner(found, {"b": "known"}) == (
        NoticedBy("x", 1, 2, 2, ("known",)),
        NoticedBy("w", 1, 1, 1, ("name of d",)),
    )


def test_what_a_rule_reports_is_told_by_rule() -> None:
    """With the first of its images by name, and what is meant of it."""
    offers = [offer(each) for each in "abcdef"]
    told = plan("p", *offers, rules=(rule("look", None),))
    assert by_rule(told.reported, {}) == (NoticedBy("look", 5, 5, 1, ("name of b", "name of c", "name of d")),)
    assert not told.unsolicited
    (only,) = plan("p", *offers, rules=(rule("look", None),), images="b").reported
    assert (only.share.image_id, only.project, only.observed) == ("b", "name of p", PENDING)


def test_an_image_without_a_name_is_called_as_its_project_does() -> None:
    """Where something is told of it; and by its id too where another is called so."""
    rules = (rule(),)
    alike = [offer("a"), offer("b", name="same"), offer("c", name="same"), offer("d"), offer("e", name="golden")]
    done = offer("f", status=MemberStatus.ACCEPTED)
    plans = [plan("p", *alike, done, rules=rules)]
    assert make_plan(plans, {}, {"a": "golden"}).image_names == {
        "a": "golden",
        "b": "same (b)",
        "c": "same (c)",
        "d": "name of d",
        "e": "golden (e)",
    }
    assert make_plan([plan("p", offer("a"))], {}, {"a": "golden"}).image_names == {"a": "golden"}
