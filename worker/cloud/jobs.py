"""Ask how a job is, by either of the two queries: the older has per-image results and a far higher limit."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from worker.cloud.client import Client
from worker.cloud.permissions import QUERY_JOBS, permission_named
from worker.cloud.request import Call, quoted
from worker.cloud.wire import checked_job_id, read_job
from worker.core.calls import CallGroup
from worker.core.job import JobApi, JobReply
from worker.core.manifest.model import Project
from worker.errors import BadRequest, CloudError, Forbidden, NotFound

_JOBS: Final = "/v1/cloudimages/job"
_JOB_UNKNOWN: Final = "IMG.0023"


async def ask_job(client: Client, origin: str, job_api: JobApi, project: Project, job_id: str) -> JobReply:
    """Ask what became of a job by the one query; raise NotFound for a job that it does not know, and CloudError."""
    is_legacy = job_api is JobApi.LEGACY
    group = CallGroup.JOB_GET if is_legacy else CallGroup.JOB_PROGRESS
    call = Call(group, "GET", origin, _JOBS, project.id, region=project.region)
    name = checked_job_id(job_id, client.credential.secrets(call))
    path = f"/v1/{quoted(project.id)}/jobs/{name}" if is_legacy else f"{_JOBS}/{name}"
    try:
        with permission_named(QUERY_JOBS):
            return await client.fetch(replace(call, path=path), read_job)
    except BadRequest as error:
        if error.code != _JOB_UNKNOWN:
            raise
        raise NotFound(error.message, status=error.status, code=error.code, request_id=error.request_id) from error


def query_is_gone(error: CloudError) -> bool:
    """Tell whether an answer speaks of the job query itself, or may do so, and not of one job."""
    if isinstance(error, NotFound):
        return not error.code
    return isinstance(error, Forbidden) or error.status in {404, 405, 410, 501}
