"""A Call and a World → Reply: the four routes, from the credential's check to the body.

Plain functions of what is there; sockets, faults and limits are around it.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import Any

from worker.simulator.calls import Call
from worker.simulator.listing import Listing
from worker.simulator.options import Group, Options
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
from worker.simulator.signature import MAX_SKEW, Authorization, Request, signature, signed_at
from worker.simulator.world import NO_FATE, Account, Answer, Fate, Order, World


class Api:
    """The cloud's answers for one world."""

    def __init__(self, world: World, options: Options) -> None:
        self._world = world
        self._options = options
        self._listing = Listing(world, options)

    def account(self, call: Call) -> str:
        """Return the name of the caller's account; an unknown access key is its own."""
        known = self._world.accounts.get(call.access_key)
        return known.name if known else call.access_key

    def denial(self, call: Call, now: float) -> Reply | None:
        """Return the refusal of a credential, or None if it is good for the project it names.

        Without accounts in the world nobody's secret is known, so only the form and the date are checked.
        """
        account = self._world.accounts.get(call.access_key)
        if (reason := self._distrust(call, account, now)) is not None:
            return error("gateway", 401, "APIGW.0301", f"Incorrect IAM authentication information: {reason}")
        if not call.project_id:
            return ims_error("IMG.0104", "There is more than one project: the project must be named.")
        allowed = account.projects if account and account.projects else self._world.projects
        if call.project_id not in allowed:
            return error("gateway", 403, "APIGW.0302", "The IAM user is not authorized to access the API")
        return None

    def _distrust(self, call: Call, account: Account | None, now: float) -> str | None:
        if call.authorization is None:
            return "authorization header missing or malformed"
        date = signed_at(call.request)
        if date is None or abs(date - now) > MAX_SKEW:
            return "signature expired: X-Sdk-Date is more than 15 minutes off"
        if account is None:
            return f"the AK {call.access_key} does not exist" if self._world.accounts else None
        return _mismatch(call.request, call.authorization, account)

    def reply(self, call: Call, fate: Callable[[Order], Fate] = lambda _: NO_FATE) -> Reply:
        """Do what the call asks and return the answer; `fate` says what is to go wrong with the job of a PUT."""
        match call.group:
            case Group.IMAGES_LIST:
                return self._listing.page(call.project_id, call.query)
            case Group.MEMBERS_PUT:
                return self._put(call, fate)
            case Group.JOB_GET:
                return self._job(call, self._options.legacy, legacy=True)
            case Group.JOB_PROGRESS:
                return self._job(call, self._options.progress, legacy=False)

    def _put(self, call: Call, fate: Callable[[Order], Fate]) -> Reply:
        order = _read_order(call)
        if isinstance(order, Reply):
            return order
        if self._options.max_images and len(call.images) > self._options.max_images:
            return too_many(self._options.too_many)
        if self._options.vault_required and order.status is Answer.ACCEPTED and not order.vault_id:
            return ims_error("IMG.0001", "The request body is not valid: vault_id is mandatory.")
        if self._options.unknown_image == "refuse" and (missing := self._world.missing(order)):
            return ims_error("IMG.0144", f"The image {missing[0]} does not exist.")
        trouble = self._world.vault_trouble(order)
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


def _mismatch(request: Request, authorization: Authorization, account: Account) -> str | None:
    """Return why the signature is not the account's, or None if it is."""
    if account.security_token:
        token = request.headers.get("x-security-token", "")
        if "x-security-token" not in authorization.headers or token != account.security_token:
            return "security token missing or wrong for a temporary AK"
    expected = signature(request, authorization.headers, account.secret_key)
    return None if hmac.compare_digest(expected, authorization.signature) else "verify aksk signature fail"


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
