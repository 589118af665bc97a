"""A Call and a World → Reply: IMS itself, from the credential's check to the body.

Plain functions of what is there; sockets, faults and limits are around it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from worker.simulator.calls import Call
from worker.simulator.iam.authentication import Authentication
from worker.simulator.iam.routes import IdentityService
from worker.simulator.identity.model import Rights
from worker.simulator.jobs import NO_FATE, Fate, Order
from worker.simulator.listing import Listing
from worker.simulator.model import Answer
from worker.simulator.options import IMS, Group, Options
from worker.simulator.replies import (
    Reply,
    error,
    ims_error,
    job_body,
    json_reply,
    missing_job,
    no_route,
    too_many,
)
from worker.simulator.vaults import Vaults, names_enterprise_project
from worker.simulator.world import World, vault_trouble

_ACTIONS = {
    Group.IMAGES_LIST: "ims:images:list",
    Group.MEMBERS_PUT: "ims:images:share",
    Group.JOB_PROGRESS: "ims:imageJobs:getPercentage",
}


class Api:
    """The cloud's answers for one world."""

    def __init__(self, world: World, options: Options) -> None:
        self._world = world
        self._options = options
        self._listing = Listing(world, options)
        self._authentication = Authentication(world)
        self._identity = IdentityService(world, self._authentication)
        self._vaults = Vaults(world, options)

    def account(self, call: Call) -> str:
        """Return the name of the caller's account; an unknown access key is its own."""
        return self._authentication.claimed(call).account

    def located(self, call: Call) -> Call:
        """Return the call with the project it is for, where its path, its token, or the token it asks for says so."""
        if call.project_id:
            return call
        if call.group is Group.TOKEN:
            return replace(call, project_id=self._identity.project(call))
        path = call.path_project if call.group is Group.VAULTS else ""
        return replace(call, project_id=self._authentication.project(call) or path)

    def denial(self, call: Call, now: float) -> Reply | None:
        """Return the refusal of a credential, or None if it is good for the project it names.

        Without accounts in the world nobody's secret is known, so only the form and the date are checked.
        """
        if call.group not in IMS | {Group.VAULTS}:
            return self._identity.denial(call, now)
        if (refusal := self._authentication.refusal(call, now)) is not None:
            return refusal
        if not call.project_id:
            return ims_error("IMG.0104", "There is more than one project: the project must be named.")
        return self._not_there(call) or self._not_allowed(call)

    def _not_there(self, call: Call) -> Reply | None:
        """Return why the caller may not act in the project, or None if it may."""
        principal, project = self._authentication.claimed(call), self._world.tenancies.get(call.project_id)
        allowed = principal.may_act_in(project) if project else call.project_id in principal.rights.projects
        foreign = call.group is Group.VAULTS and call.path_project != call.project_id
        if not allowed or foreign:
            return error("gateway", 403, "APIGW.0302", "The IAM user is not authorized to access the API")
        if project is not None and not project.enabled:
            return error("gateway", 403, "APIGW.0310", "The project is unavailable")
        if self._authentication.abroad(call.project_id):
            code, message = "IMG.0108", "The tenant is not found in this region."
            return ims_error(code, message) if call.group in IMS else error("gateway", 403, "APIGW.0302", message)
        return None

    def _not_allowed(self, call: Call) -> Reply | None:
        """Return that the caller lacks the right to this call of IMS, or None if it has it."""
        rights, action = self._rights(call), _ACTIONS.get(call.group, "")
        if not rights.allows(action):
            return error("ims", 403, "IMG.0026", f"The role of the token is not allowed to perform {action}.")
        if call.group is Group.IMAGES_LIST and not names_enterprise_project(rights, call.query):
            return error("ims", 403, "IMG.0026", "The role of the token is not allowed to list the images.")
        return None

    def _rights(self, call: Call) -> Rights:
        return self._authentication.claimed(call).rights

    def reply(self, call: Call, fate: Callable[[Order], Fate] = lambda _: NO_FATE) -> Reply:
        """Do what the call asks and return the answer; `fate` says what is to go wrong with the job of a PUT."""
        match call.group:
            case Group.IMAGES_LIST:
                return self._listing.page(call.project_id, call.query, everything=self._rights(call).administrator)
            case Group.MEMBERS_PUT:
                return self._put(call, fate)
            case Group.JOB_GET:
                return self._job(call, self._options.legacy, legacy=True)
            case Group.JOB_PROGRESS:
                return self._job(call, self._options.progress, legacy=False)
            case Group.VAULTS:
                return self._vaults.reply(call, self._rights(call))
            case _:
                return self._identity.reply(call)

    def _put(self, call: Call, fate: Callable[[Order], Fate]) -> Reply:
        order = _read_order(call)
        if isinstance(order, Reply):
            return order
        if self._options.max_images and len(call.images) > self._options.max_images:
            return too_many(self._options.too_many)
        if self._options.vault_required and order.status is Answer.ACCEPTED and not order.vault_id:
            return ims_error("IMG.0001", "The request body is not valid: vault_id is mandatory.")
        offered = self._world.shares(order.project_id)
        missing = next((image_id for image_id in order.images if image_id not in offered), None)
        if self._options.unknown_image == "refuse" and missing is not None:
            return ims_error("IMG.0144", f"The image {missing} does not exist.")
        trouble = vault_trouble(self._world, order)
        if trouble is not None and self._options.vault_refusal == "at-once":
            return ims_error(*trouble)
        return json_reply({"job_id": self._world.submit(order, fate(order)).id})

    def _job(self, call: Call, presence: str, *, legacy: bool) -> Reply:
        if presence == "absent":
            return no_route()
        if presence == "forbidden":
            return error("ims", 403, "IMG.0026", "The role of the token is not allowed to query the job.")
        if legacy and call.path_project != call.project_id:
            return ims_error("IMG.0030", "The project ID and token are invalid.")
        job = self._world.job(call.job_id)
        if job is None or job.order.project_id != call.project_id:
            return missing_job(self._options.job_missing)
        job.polls += 1
        return json_reply(job_body(job, self._world.now(), self._options, legacy=legacy))


def _read_order(call: Call) -> Order | Reply:
    """Read the body of a PUT; return the refusal if it is wrong."""
    if not call.request.body:
        return ims_error("IMG.0007", "The request body is empty.")
    body = call.body
    if (key := _wrong_key(body)) is not None:
        return ims_error("IMG.0001", f"The request body is not valid: {key}.")
    if body["project_id"] != call.project_id:
        return ims_error("IMG.0030", "The project ID and token are invalid.")
    unique = tuple(dict.fromkeys(call.images))
    return Order(call.project_id, unique, Answer(body["status"]), body.get("vault_id", ""))


def _wrong_key(body: Mapping[str, Any]) -> str | None:
    images = body.get("images")
    if not isinstance(images, list) or not images or not all(isinstance(image, str) for image in images):
        return "images"
    for key in ("project_id", "status", *(["vault_id"] if "vault_id" in body else [])):
        if not isinstance(body.get(key), str) or not body[key]:
            return key
    return None if body["status"] in {Answer.ACCEPTED, Answer.REJECTED} else "status"
