"""Where the settings, and variables that the vendor's SDK reads, say that the services of the cloud are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from worker.cloud.regions import Endpoints, Service, cloud_of, endpoint_origin
from worker.core.documents import At, Document, Finding, problems_of, quote
from worker.core.manifest.discover import region_of
from worker.core.manifest.model import Manifest
from worker.errors import Problem
from worker.settings.model import Cloud

_VARIABLES: Final = {
    Service.IAM: "HUAWEICLOUD_SDK_IAM_ENDPOINT",
    Service.STS: "HUAWEICLOUD_SDK_STS_ENDPOINT",
}
"""Source: the user guide of the vendor's SDK."""


def endpoints_of(cloud: Cloud, environ: Mapping[str, str]) -> Endpoints:
    """Return where each service is. A variable that is no endpoint is told by whoever needs that service."""
    given = {
        Service.IMS: cloud.ims_endpoint,
        Service.IAM: cloud.iam_endpoint,
        Service.STS: cloud.sts_endpoint,
        Service.CBR: cloud.cbr_endpoint,
    }
    amiss = {}
    for service, variable in _VARIABLES.items():
        if given[service] or not (written := environ.get(variable, "").strip()):
            continue
        try:
            given[service] = endpoint_origin(written)
        except ValueError:
            # What stands before an @ may be a password.
            shown = "" if "@" in written else f", not {quote(written)}"
            way_out = f"correct it, or give [cloud] {service}_endpoint, which goes before it"
            amiss[service] = f"{variable} must be https://HOST or https://HOST:PORT{shown}: {way_out}"
    return Endpoints(cloud.cloud, cloud.region, cloud.domain, given, amiss)


def foreign_regions(cloud: Cloud, manifest: Manifest, documents: Sequence[Document] = ()) -> tuple[Problem, ...]:
    """Return a problem for each project and `[[discover]]` whose region is of another cloud than the one that is named.

    Where the image service is given by hand there is nothing to derive. Problems are placed if the documents are given.
    """
    regions: list[tuple[At, str]] = []
    for project_id, project in manifest.projects.items():
        if project.region and project_id not in manifest.found:
            project_at = manifest.credential_places[project_id]
            regions.append((At(project_at.file, (*project_at.path[:2], "region")), project.region))
    regions += [(each.at.child("name"), region_of(each, "")) for each in manifest.discoveries]
    findings = []
    for at, region in regions:
        if not region or cloud.ims_endpoint:
            continue
        try:
            cloud_of(cloud.cloud, region)
        except ValueError as error:
            hint = "all projects of a config are of one cloud"
            findings.append(Finding(at, f"[cloud] cloud does not fit: {error}", quote(region), hint))
    return problems_of(findings, documents)
