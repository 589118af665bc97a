"""What to check after a 403: the permission by its name, and whose credential it is.

A share is answered by the project that receives it: the credential of another one, the owner's above all, is refused
whatever rights it has. Source: API reference of IMS and of CBR, permissions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from worker.errors import Forbidden, Scope

LIST_IMAGES: Final = "ims:images:list"
SHARE_IMAGES: Final = "ims:images:share"
QUERY_JOBS: Final = "ims:imageJobs:getPercentage"
LIST_VAULTS: Final = "cbr:vaults:list"
GET_VAULT: Final = "cbr:vaults:get"
LIST_PROJECTS: Final = "iam:projects:listProjects"
BY_ENTERPRISE_PROJECT: Final = (
    " (where rights are granted by enterprise project, set enterprise_project of the credential, such as "
    '"all_granted_eps")'
)
"""What to try where a list is refused for a right that may be granted so."""


@contextmanager
def permission_named(permission: str) -> Iterator[None]:
    """Have a refusal for want of a right name the permission that a call takes; others pass as they are."""
    try:
        yield
    except Forbidden as error:
        if error.scope is Scope.PERMISSION and not error.permission:
            error.permission, error.said = permission, error.message
            error.message = (
                f"{error.message} (check that the credential has {permission} in this project, and belongs to it: the "
                "project that receives the images answers with a credential of its own)"
            )
        raise
