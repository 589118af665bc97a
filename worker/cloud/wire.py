"""Bodies that the image service takes and gives, as values of the core.

The surprises of the API that are handled here, once:

- Types are noise: booleans come as strings, numbers as strings, empty strings stand for what is absent. Only the
  fields that are needed are looked at, and only an image without a usable id spoils its page.
- Older answers end without `page_info`, newer ones have it as an object, and one example shows an array of one.
- `__whole_image` may be a boolean, a string, or missing; then `__data_origin` and `__backup_id` are hints.
- Job words come in either case. A word that nobody documented counts as running.
- A failed job may give its reason at the top or in `entities`, and per-image results in one of the two job queries.

Source: API reference of IMS, "Querying Images", "Updating the Image Sharing Status of a Recipient" and the two job
queries; recorded answers of the service.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec

from worker.cloud.refusals import plain_text, scope_of
from worker.cloud.times import lasted
from worker.core.batch import Batch, End
from worker.core.job import JobReply
from worker.core.reading import NO_FACTS, Facts, ObservedImage
from worker.core.redaction import MAX_READ, holds_any, sanitize
from worker.errors import UnexpectedReply

MAX_NAME: Final = 4096
"""Characters of an image's name that are kept. They may be any: whoever shows a name escapes it."""

_MAX_MARKER: Final = 512
_MAX_TAGS: Final = 100
_MAX_TAG: Final = 512
"""An image has at most ten tags, of 36 characters before and 43 after the sign."""
_MAX_SHOWN: Final = 80
_SHORTEST_KEY: Final = 16
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_JOB_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_CODE: Final = re.compile(r"\b[A-Za-z]{2,32}\.\d{4,8}\b")
_STATE: Final = re.compile(r"[a-z]{1,12}(?:[_-][a-z]{1,12})?")
_BOOLEANS: Final = {"true": True, "false": False}
_STATES: Final = {"success": End.SUCCEEDED, "fail": End.FAILED, "failed": End.FAILED}
_VERDICTS: Final = {"success": True, "fail": False, "failed": False}
_REASONS: Final = ("error_code", "fail_reason", "error", "addition_error_code", "addition_error_msg")


class _Image(msgspec.Struct, gc=False):
    id: Any = None
    name: Any = None
    owner: Any = None
    full_ecs: Any = msgspec.field(name="__whole_image", default=None)
    origin: Any = msgspec.field(name="__data_origin", default=None)
    backup: Any = msgspec.field(name="__backup_id", default=None)
    status: Any = None
    hidden: Any = msgspec.field(name="os_hidden", default=None)


class _DescribedImage(_Image, gc=False):
    os_type: Any = msgspec.field(name="__os_type", default=None)
    tags: Any = None
    created_at: Any = None


class _Page(msgspec.Struct):
    images: list[_Image]
    page_info: Any = None


class _DescribedPage(msgspec.Struct):
    images: list[_DescribedImage]
    page_info: Any = None


class _Submitted(msgspec.Struct):
    job_id: Any


class _Job(msgspec.Struct):
    status: str
    begin_time: Any = None
    end_time: Any = None
    error_code: Any = None
    fail_reason: Any = None
    entities: Any = None


_T = TypeVar("_T")
_PAGE: Final = msgspec.json.Decoder(_Page)
_DESCRIBED: Final = msgspec.json.Decoder(_DescribedPage)
_SUBMITTED: Final = msgspec.json.Decoder(_Submitted)
_JOB: Final = msgspec.json.Decoder(_Job)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the image list. `marker` is where the next page starts, or None where this one is the last.

    Ids are in small letters, to be compared; `spelled` has those that the list spells in another way.
    """

    images: tuple[ObservedImage, ...]
    marker: str | None
    spelled: Mapping[str, str] = field(default_factory=dict)


def read_page(body: bytes, secrets: Sequence[str] = (), max_images: int = 10_000, facts: Facts = NO_FACTS) -> Page:
    """Return a page of the image list, in the order of the answer; raise UnexpectedReply without `secrets`.

    What rules may ask of an image is decoded and kept only where it is among these `facts`.
    """
    page = decoded(_DESCRIBED, body, "image list", secrets) if facts else decoded(_PAGE, body, "image list", secrets)
    if len(page.images) > max_images:
        what = (
            f"a page of the image list has {len(page.images):,} images, and {max_images:,} are the most that are read"
        )
        raise UnexpectedReply(what, lasting=True)
    images = tuple([_image(image, secrets) for image in page.images])
    if facts:
        images = tuple([_described(*pair, facts) for pair in zip(images, page.images, strict=True)])
    spelled = {image.id: seen.id for image, seen in zip(images, page.images, strict=True) if image.id != seen.id}
    return Page(images, _marker(page, secrets), spelled)


def members_body(batch: Batch, spelled: Mapping[str, str]) -> bytes:
    """Return the body that updates the members of a batch's images, spelled as their list does.

    A vault that is not wanted is left out, since the API knows neither null nor an empty one.
    """
    images = [spelled.get(image, image) for image in batch.images]
    body = {"images": images, "project_id": batch.project_id, **batch.operation.fields}
    return msgspec.json.encode(body | ({"vault_id": batch.vault_id} if batch.vault_id else {}))


def read_submitted(body: bytes, secrets: Sequence[str] = ()) -> str:
    """Return the id of the job that a members update started; raise UnexpectedReply without `secrets`."""
    return checked_job_id(decoded(_SUBMITTED, body, "answer to the members update", secrets).job_id, secrets)


def checked_job_id(job_id: object, secrets: Sequence[str] = ()) -> str:
    """Return a job id that is safe within a URL; raise UnexpectedReply, without `secrets`, for another one."""
    # Short ones, as a rehearsal has them, stand in an id by chance.
    keys = [secret for secret in secrets if len(secret) >= _SHORTEST_KEY]
    if isinstance(job_id, str) and _JOB_ID.fullmatch(job_id) and not holds_any(job_id, keys):
        return job_id
    raise UnexpectedReply(f"unusable job id: {_shown(job_id, secrets)}")


def read_job(body: bytes, secrets: Sequence[str] = ()) -> JobReply:
    """Return what either job query says, without the `secrets` of the call; raise UnexpectedReply."""
    job = decoded(_JOB, body, "job", secrets)
    state = _STATES.get(job.status.strip().lower(), None)
    entities = job.entities if isinstance(job.entities, dict) else {}
    top = {"error_code": job.error_code, "fail_reason": job.fail_reason}
    said = (source.get(name) for source in (top, entities) for name in _REASONS)
    texts = _told_once(plain_text(text).strip() for text in said if isinstance(text, str))
    named = _CODE.search(" ".join(texts))
    code = named[0] if named else ""
    return JobReply(
        end=state,
        results=_results(entities.get("results")),
        reason=sanitize(": ".join(texts), secrets),
        code=code,
        scope=scope_of(code),
        lasted=lasted(job.begin_time, job.end_time),
    )


def decoded(decoder: msgspec.json.Decoder[_T], body: bytes, what: str, secrets: Sequence[str]) -> _T:
    """Return what a body says as a decoder has it; raise UnexpectedReply without `secrets`.

    It is decoded fast, and again with patience where bad encoding or an absurd number in a field is all that is wrong.
    """
    if not body.strip():
        raise UnexpectedReply(f"the answer that should be the {what} is empty")
    try:
        return decoder.decode(body)
    except (ValueError, RecursionError):
        pass
    try:
        document = json.loads(body.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError) as error:
        shown = _shown(body[:MAX_READ].decode("utf-8", "replace"), secrets)
        raise UnexpectedReply(f"the {what} is not JSON: {shown}") from error
    try:
        found: _T = msgspec.convert(document, decoder.type)
    except (ValueError, RecursionError) as error:
        raise UnexpectedReply(f"the {what} is not what the API promises: {sanitize(str(error), secrets)}") from error
    return found


def _image(image: _Image, secrets: Sequence[str]) -> ObservedImage:
    id_ = image.id.lower() if isinstance(image.id, str) else ""
    if not _UUID.fullmatch(id_):
        raise UnexpectedReply(f"the image list has an image with an unusable id: {_shown(image.id, secrets)}")
    return ObservedImage(
        id=id_,
        name=_text(image.name)[:MAX_NAME],
        owner=_text(image.owner).lower(),
        full_ecs=_full_ecs(image),
        state="" if image.status == "active" and image.hidden is None else _state(image),
    )


def _described(image: ObservedImage, seen: Any, facts: Facts) -> ObservedImage:
    """Return an image with these facts of it; what the list does not say, or says oddly, is not known."""
    tags = seen.tags if "tags" in facts and isinstance(seen.tags, list) else ()
    return replace(
        image,
        os_type=_text(seen.os_type) if "os_type" in facts else "",
        tags=tuple(text[:_MAX_TAG] for tag in tags[:_MAX_TAGS] if (text := _text(tag))),
        created_at=_moment(seen.created_at) if "created_at" in facts else None,
    )


def _moment(value: object) -> float | None:
    """Return a time of the API in seconds since the epoch, UTC where it does not say; None for what is none."""
    try:
        told = datetime.fromisoformat(_text(value))
        return (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _state(image: _Image) -> str:
    """Return in what state an image is that is not active, or is hidden; nothing where the list does not say."""
    said = _text(image.status).strip().lower()
    if said in {"", "active"}:
        hidden = image.hidden is True or _text(image.hidden).strip().lower() == "true"
        return "hidden" if hidden else ""
    return said if _STATE.fullmatch(said) else "something else"


def _full_ecs(image: _Image) -> bool | None:
    if isinstance(image.full_ecs, bool):
        return image.full_ecs
    flag = _BOOLEANS.get(_text(image.full_ecs).strip().lower())
    if flag is not None:
        return flag
    origin, backup = _text(image.origin).strip(), _text(image.backup).strip()
    return True if origin.startswith("server_backup") or (backup and not origin) else None


def _marker(page: _Page | _DescribedPage, secrets: Sequence[str]) -> str | None:
    info = page.page_info
    if isinstance(info, list) and len(info) == 1:
        info = info[0]
    if not isinstance(info, dict):
        return page.images[-1].id if page.images else None
    marker = info.get("next_marker")
    if marker is None or marker == "":
        return None
    # One with half characters, which no address can have, is not what the cloud gave out.
    if isinstance(marker, str) and len(marker) <= _MAX_MARKER and marker == _text(marker):
        return marker
    raise UnexpectedReply(f"the image list goes on at an unusable marker: {_shown(marker, secrets)}")


def _told_once(texts: Iterable[str]) -> list[str]:
    """Return the texts that say something which no other one says."""
    told: list[str] = []
    for text in texts:
        if text and not any(text.lower() in other.lower() for other in told):
            told = [other for other in told if other.lower() not in text.lower()] + [text]
    return told


def _results(results: object) -> dict[str, bool]:
    verdicts: dict[str, bool] = {}
    for result in results if isinstance(results, list) else ():
        if isinstance(result, dict):
            image_id = _text(result.get("image_id")).lower()
            verdict = _VERDICTS.get(_text(result.get("status")).strip().lower())
            if _UUID.fullmatch(image_id) and verdict is not None:
                verdicts[image_id] = verdict and verdicts.get(image_id, True)
    return verdicts


def _text(value: object) -> str:
    """Return a string as it is, save that half characters, which nobody can print or store, become question marks."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _shown(value: object, secrets: Sequence[str]) -> str:
    if isinstance(value, str):
        return ascii(sanitize(value, secrets)[:_MAX_SHOWN])
    if isinstance(value, dict | list):
        return f"of type {type(value).__name__}"
    return sanitize(str(value), secrets, _MAX_SHOWN)
