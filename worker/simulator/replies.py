"""What goes back over the wire: the bodies of images, jobs and errors, as the cloud words them.

Source: API reference of IMS (image attributes, job query, error codes) and of the API gateway (error codes); the noise
in the types (booleans as text, empty strings for absent keys, a null size) is what recorded answers show.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Literal

from worker.simulator.jobs import Job, JobState
from worker.simulator.model import Image
from worker.simulator.options import Options, Rate

Shape = Literal["ims", "gateway", "glance", "html", "iam"]


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer.

    `announced` is the length a truncated one claims to have (0: its own), `drip` the seconds between its bytes.
    """

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    announced: int = 0
    drip: float = 0.0


def json_reply(value: Any, status: int = 200) -> Reply:
    """Return a value as JSON."""
    return Reply(status, json.dumps(value, separators=(",", ":")).encode())


def error(shape: Shape, status: int, code: str, message: str) -> Reply:
    """Return an error in the words of the part of the cloud that would send it; an empty code is left out."""
    coded = {"code": code} if code else {}
    if shape == "ims":
        return json_reply({"error": {"message": message, **coded}}, status)
    if shape == "gateway":
        request_id = uuid.uuid4().hex
        body = {"error_msg": message, "error_code": code, "request_id": request_id}
        return Reply(status, json.dumps(body).encode(), headers={"X-Request-Id": request_id})
    phrase = HTTPStatus(status).phrase
    if shape == "iam":
        return json_reply({"error": {"code": status, "message": message, "title": phrase}}, status)
    if shape == "glance":
        return json_reply({"message": message, "code": f"{status} {phrase}", "title": phrase}, status)
    page = f"<html><head><title>{status} {phrase}</title></head><body><h1>{phrase}</h1>{message}</body></html>"
    return Reply(status, page.encode(), "text/html")


def ims_error(code: str, message: str) -> Reply:
    """Return a refusal of IMS itself: 400 with its code."""
    return error("ims", 400, code, message)


def no_route() -> Reply:
    """Return the gateway's 404 for a path or method that it does not have."""
    return error("gateway", 404, "APIGW.0101", "The API does not exist or has not been published in the environment")


def missing_job(style: str) -> Reply:
    """Return the answer for a job that is not there, which the API reference does not state: 400 or 404."""
    return error("ims", 404 if style == "404" else 400, "IMG.0023", "Failed to query the job.")


def too_many(style: str) -> Reply:
    """Return the refusal of a PUT with too many images, for which the API reference names no maximum and no code."""
    if style == "413":
        return error("gateway", 413, "APIGW.0201", "Request entity too large")
    return ims_error("IMG.0001" if style == "IMG.0001" else "", "The request body is not valid.")


def throttled(rate: Rate) -> Reply:
    """Return the gateway's 429. Source: error codes of the API gateway, APIGW.0308."""
    span = f"{rate.seconds / 60:g} minute" if rate.seconds % 60 == 0 else f"{rate.seconds:g} second"
    policy = f"policy user over ratelimit,limit:{rate.count},time:{span}"
    return error("gateway", 429, "APIGW.0308", f"The throttling threshold has been reached: {policy}")


def throttled_as(how: Literal["stated", "unstated", "IMG.0060"], rate: Rate) -> Reply:
    """Return the refusal of a call beyond a limit, which states the limit or does not."""
    if how == "stated":
        return throttled(rate)
    if how == "unstated":
        return error("gateway", 429, "APIGW.0308", "The throttling threshold has been reached")
    return ims_error("IMG.0060", "The number of tasks exceeds the flow control limit. Try again later.")


def image_body(image: Image, whole_attribute: str) -> dict[str, Any]:
    """Return an image as `GET /v2/cloudimages` lists it."""
    created = datetime.fromtimestamp(image.created_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    backup_id = str(uuid.uuid5(uuid.NAMESPACE_OID, image.id)) if image.full_ecs else ""
    body: dict[str, Any] = {
        "schema": "/v2/schemas/image",
        "id": image.id,
        "name": image.name,
        "owner": image.owner,
        "status": "active",
        "visibility": "shared",
        "__imagetype": "shared",
        "protected": False,
        "container_format": "bare",
        "disk_format": "zvhd2",
        "min_disk": 40,
        "min_ram": 0,
        "max_ram": "",
        "size": None,
        "virtual_size": None,
        "checksum": "",
        "tags": list(image.tags),
        "self": f"/v2/images/{image.id}",
        "file": f"/v2/images/{image.id}/file",
        "created_at": created,
        "updated_at": created,
        "active_at": created,
        "enterprise_project_id": "0",
        "virtual_env_type": "FusionCompute",
        "hw_firmware_type": "bios",
        "hw_vif_multiqueue_enabled": "true",
        "__description": "",
        "__isregistered": "True",
        "__support_kvm": "True",
        "__system_support_market": False,
        "__image_source_type": "uds",
        "__image_size": "1073741824",
        "__image_location": "",
        "__lazyloading": "true",
        "__root_origin": "file",
        "__os_type": image.os_type,
        "__os_bit": "64",
        "__platform": "Ubuntu",
        "__os_version": "Ubuntu 24.04 server 64bit",
        "__system__cmkid": "",
        "__backup_id": backup_id,
        "__data_origin": f"server_backup,{backup_id}" if image.full_ecs else f"instance,{image.id}",
    }
    if whole_attribute == "boolean":
        body["__whole_image"] = image.full_ecs
    elif whole_attribute == "string":
        body["__whole_image"] = str(image.full_ecs).lower()
    return body | dict(image.attributes)


def job_body(job: Job, now: float, options: Options, *, legacy: bool) -> dict[str, Any]:
    """Return a job as one of the two queries shows it: `legacy` with per-image results, the other without."""
    percent = 1.0 if job.ended else round(min(0.99, (now - job.begun_at) / (job.ends_at - job.begun_at)), 2)
    entities: dict[str, Any] = {"process_percent": percent, "current_task": ""}
    if not job.ended:
        entities["current_task"] = "UpdateImageMembersTask:"
    elif legacy:
        entities = {}
        if options.results != "absent":
            entities["results"] = _results(job, options) if options.results == "present" else []
    if not legacy:
        entities["subJobId"] = ""
    return {
        "status": _cased(job.state, options.job_words),
        "job_id": job.id,
        "job_type": "imsUpdateImageMembersJob",
        "begin_time": _time(job.begun_at),
        "end_time": _time(job.ends_at) if job.ended else "",
        "error_code": job.code or None,
        "fail_reason": job.reason or None,
        "entities": entities,
    }


def _results(job: Job, options: Options) -> list[dict[str, str]]:
    project = {"project_id": job.order.project_id} if options.result_project else {}
    words = {done: _cased(JobState.SUCCESS if done else JobState.FAIL, options.result_words) for done in (True, False)}
    return [{"image_id": image_id, **project, "status": words[done]} for image_id, done in job.results.items()]


def _cased(state: JobState, case: str) -> str:
    return state.value.lower() if case == "lower" else state.value


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
