"""A refused credential is told of in words by which an operator knows what to do."""

from __future__ import annotations

import json
from email.utils import formatdate

import pytest

from worker.cloud.auth.reasons import explained
from worker.cloud.refusals import Reply, refusal
from worker.errors import AuthFailed, Cause

NOW = 1_800_000_000.0
INCORRECT = "Incorrect IAM authentication information: "


def told(message: str, code: str = "APIGW.0301", *, skew: float = 0.0) -> str:
    """Return what is told of a 401 of the gateway, by a machine whose clock is so many seconds ahead."""
    headers = {"Date": formatdate(NOW, usegmt=True)}
    body = json.dumps({"error_code": code, "error_msg": message}).encode()
    error = refusal(Reply(401, headers, body), NOW + skew)
    assert isinstance(error, AuthFailed)
    return explained(error).message


@pytest.mark.parametrize(
    ("message", "code", "cause"),
    [
        (f"{INCORRECT}verify aksk signature fail", "APIGW.0301", "wrong key"),
        ("AK/SK signature mismatch", "APIGW.0301", "wrong key"),
        (f"{INCORRECT}security token missing or wrong for a temporary AK", "APIGW.0301", "wrong key"),
        (f"{INCORRECT}the AK AKEXAMPLE does not exist", "APIGW.0301", "wrong key: the cloud does not know"),
        ("AK unknown", "APIGW.0301", "wrong key: the cloud does not know"),
        (f"{INCORRECT}Get secretKey failed", "APIGW.0301", "wrong key: the cloud does not know"),
        (f"{INCORRECT}AK access failed to reach the limit, forbidden", "APIGW.0301", "blocked"),
        ("AK blocked for too many failures", "APIGW.0301", "blocked"),
        ("The account is locked after too many failed attempts.", "", "blocked"),
        (f"{INCORRECT}decrypt token fail, token has expired", "APIGW.0301", "expired"),
        (f"{INCORRECT}the security token has expired", "APIGW.0301", "expired"),
        ("The token must be updated.", "APIGW.0307", "wrong region"),
        (f"{INCORRECT}decrypt token fail", "APIGW.0301", "wrong token"),
        ("signature expired: X-Sdk-Date is more than 15 minutes off", "APIGW.0301", "this machine's clock"),
        ("The username or password is wrong.", "", "wrong password"),
        ("Multi-factor authentication is required: totp is missing or wrong.", "", "the user needs a second factor"),
        ("Please configure Cloud Service Agency first", "", "no agency is set on this server"),
        ("access denied: sts:agencies:assume on iam::a:agency:b", "PAP5.0001", "the agency may not be assumed"),
    ],
)
def test_the_cause_is_named(message: str, code: str, cause: str) -> None:
    """After what the cloud says, which stays."""
    assert told(message, code).startswith(f"{message} ({cause}")


@pytest.mark.parametrize(
    ("skew", "told_as"), [(1200.0, "20 minutes ahead of the cloud's"), (-1200.0, "20 minutes behind the cloud's")]
)
def test_a_clock_that_is_off_is_the_cause_whatever_is_said(skew: float, told_as: str) -> None:
    """The offset is measured by the answer's own date, and nothing else is guessed."""
    message = told(f"{INCORRECT}verify aksk signature fail", skew=skew)
    assert message.endswith(f"(this machine's clock is {told_as}: set it by NTP)")
    assert "wrong key" not in message


def test_a_clock_that_is_only_inexact_hides_nothing() -> None:
    """The cloud takes a quarter of an hour."""
    message = told(f"{INCORRECT}verify aksk signature fail", skew=400.0)
    assert "7 minutes ahead" in message
    assert "wrong key" in message


@pytest.mark.parametrize(
    ("message", "asked", "cause", "reason"),
    [
        ("verify aksk signature fail", Cause.UNSAID, Cause.WRONG_KEY, "wrong key"),
        ("verify aksk signature fail", Cause.AGENCY, Cause.WRONG_KEY, "wrong key"),
        ("You are not authorized to perform it.", Cause.AGENCY, Cause.AGENCY, "the agency may not be assumed"),
        ("You are not authorized to perform it.", Cause.UNSAID, Cause.OTHER_PROJECT, "the user has no rights"),
        ("No.", Cause.OTHER_PROJECT, Cause.OTHER_PROJECT, "the user has no rights in this project"),
        ("No.", Cause.UNSAID, Cause.UNSAID, ""),
    ],
)
def test_a_refusal_carries_its_cause(message: str, asked: Cause, cause: Cause, reason: str) -> None:
    """By the words, or else by what was asked for: IAM has the same ones for an agency and for a project."""
    error = explained(AuthFailed(message, status=403).caused(asked))
    assert error.cause is cause
    assert error.message.startswith(f"{message} ({reason}" if reason else message)


def test_what_nobody_knows_is_left_as_it_is() -> None:
    """A guess would lead astray."""
    assert told("Something else.") == "Something else."
