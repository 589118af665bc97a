"""Each kind of credential as a flow: what it asks, what it takes from the answers, and where it gives up."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from worker.cloud.auth import kinds
from worker.cloud.auth.answers import read_caller
from worker.cloud.auth.asking import SESSION
from worker.cloud.auth.flow import EVERYWHERE, Ask, AuthScope, Flow, Granted, Kind, ReadFile, Step
from worker.cloud.auth.kinds.agency import Agency
from worker.cloud.auth.kinds.environment import keys_of_environment
from worker.cloud.auth.kinds.metadata import Metadata
from worker.cloud.auth.kinds.oidc import Oidc, Wanted
from worker.cloud.auth.kinds.password import Password
from worker.cloud.auth.kinds.pod_identity import PodIdentity
from worker.cloud.auth.kinds.profile import keys_of_profile
from worker.cloud.auth.kinds.static import StaticKeys
from worker.cloud.auth.presenter import Presenter, presenter_of
from worker.cloud.auth.signing import SigningKeys
from worker.cloud.auth.tokens import Token
from worker.cloud.refusals import Reply, refusal
from worker.cloud.regions import Endpoints, Service
from worker.cloud.request import Call, Request
from worker.core.calls import CallGroup
from worker.errors import (
    AuthFailed,
    BadRequest,
    Cause,
    CloudError,
    Forbidden,
    TerminalCloudError,
    TransientCloudError,
    UnexpectedReply,
)
from worker.settings.credentials import KINDS as KIND_WORDS

PROJECT, REGION = "edc89b490d7d4392898e19b2deb34797", "eu-west-101"
ACCOUNT = "9c61004714024f9586705d090530f9fa"
IAM, STS = "https://iam.eu-west-101.myhuaweicloud.eu", "https://sts.eu-west-101.myhuaweicloud.eu"
HERE = Endpoints(region=REGION)
CALL = Call(CallGroup.IMAGES_LIST, "GET", "https://ims.example", "/v2/cloudimages", PROJECT, region="eu-de")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
END = 1_800_000_000.0
DATES = ("2027-01-15T08:00:00Z", "2027-01-15T08:00:00.000Z", "2027-01-15T08:00:00.000000Z", "2027-01-15T08:00:00")
KEYS = SigningKeys("AK", "SK", "ST")
PASSWORD = Password(HERE, "robot", "acme", "hunter2")
FIXED = StaticKeys(SigningKeys("mine", "secret"))
ROLE = {"agency_name": "share", "duration_seconds": 3600}


def v3(date: str = DATES[0]) -> dict[str, Any]:
    """Return keys as IAM and the metadata service word them."""
    return {"credential": {"access": "AK", "secret": "SK", "securitytoken": "ST", "expires_at": date}}


def v5(date: str = DATES[0]) -> dict[str, Any]:
    """Return keys as the STS words them."""
    keys = {"access_key_id": "AK", "secret_access_key": "SK", "security_token": "ST", "expiration": date}
    return {"credentials": keys}


def flat(date: str = DATES[0]) -> dict[str, Any]:
    """Return keys in the third spelling."""
    return {"accessKeyId": "AK", "secretAccessKey": "SK", "securityToken": "ST", "expiration": date}


def answer(document: object, **headers: str) -> Reply:
    """Return an answer of JSON."""
    return Reply(200, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(document).encode())


def token(date: str = DATES[0], text: str = "a-token") -> Reply:
    """Return an answer that grants a token."""
    return answer({"token": {"expires_at": date}}, **{"X-Subject-Token": text})


def refused(status: int, code: str = "", message: str = "no") -> CloudError:
    """Return a refusal as the client has it."""
    return refusal(Reply(status, {}, json.dumps({"error_code": code, "error_msg": message}).encode()), 0.0)


def carried_out(flow: Flow, *answers: Reply | CloudError) -> tuple[Granted, list[Step]]:
    """Carry out a flow over these answers, all of which it has to use; return what it grants and what it asked."""
    asked: list[Step] = []
    left = list(answers)
    try:
        step = next(flow)
        while True:
            asked.append(step)
            given = left.pop(0)
            step = flow.throw(given) if isinstance(given, CloudError) else flow.send(given)
    except StopIteration as done:
        assert not left
        return done.value, asked


def sent(step: Step) -> tuple[str, Any]:
    """Return where a request goes, with its method, and its body."""
    assert isinstance(step, Ask)
    call = step.call
    assert (call.group, call.project_id) == (CallGroup.TOKEN, "")
    query = "?" + "&".join(f"{key}={value}" for key, value in call.query) if call.query else ""
    return f"{call.method} {call.origin}{call.path}{query}", json.loads(call.body) if call.body else None


def headers_of(step: Step) -> Mapping[str, str]:
    """Return the headers that authorise a request."""
    assert isinstance(step, Ask)
    return step.authorization.headers(Request(step.call.method, "host", step.call.path), NOW)


def read(text: str) -> Reply:
    """Return what is in a file."""
    return Reply(200, {}, text.encode())


class TestFixedKeys:
    """Keys that are written down, in a config, in variables, or in a profile."""

    KINDS = (
        StaticKeys(KEYS),
        keys_of_environment("a", {f"HUAWEICLOUD_SDK_{name}": f"{name[-2:]}" for name in ("AK", "SK")}),
        keys_of_environment("a", {"HW_ACCESS_KEY": "AK", "HW_SECRET_KEY": "SK", "HW_SECURITY_TOKEN": "ST"}),
        keys_of_profile("file", "[basic]\nak = AK\nsk = SK\nsecurity_token = ST\n", "basic"),
    )

    @pytest.mark.parametrize("kind", KINDS)
    def test_nothing_is_asked_for_them(self, kind: StaticKeys) -> None:
        """They are good for all calls, without an end, and no part of them is to be shown."""
        granted, asked = carried_out(kind.obtain(kind.scope(CALL)))
        assert (asked, granted.ends_at, kind.scope(CALL)) == ([], None, EVERYWHERE)
        headers = granted.authorization.headers(Request("GET", "host", "/"), NOW)
        assert "Access=AK, " in headers["Authorization"]
        assert ("X-Security-Token" in headers) is ("ST" in kind.secrets)
        assert {"AK", "SK"} <= {*kind.secrets} == {*granted.authorization.secrets}
        assert "SK" not in repr(kind)


class TestPassword:
    """A token of each project."""

    def test_it_asks_for_a_token_of_the_project(self) -> None:
        """Of the IAM of the project's region; the catalog is left out, and the password stands in the body alone."""
        scope = PASSWORD.scope(CALL)
        granted, (asked,) = carried_out(PASSWORD.obtain(scope), token())
        where, body = sent(asked)
        assert where == "POST https://iam.eu-de.otc.t-systems.com/v3/auth/tokens?nocatalog=true"
        assert body == {
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {"user": {"name": "robot", "password": "hunter2", "domain": {"name": "acme"}}},
                },
                "scope": {"project": {"id": PROJECT}},
            }
        }
        assert headers_of(asked) == {}
        assert isinstance(asked, Ask)
        assert asked.authorization.secrets == PASSWORD.secrets == ("hunter2",)
        assert granted == Granted(Token("a-token"), END)
        assert granted.authorization.secrets == ("a-token",)
        assert granted.authorization.headers(Request("GET", "h", "/", headers={"X-Project-Id": PROJECT}), NOW) == {
            "X-Project-Id": PROJECT,
            "X-Auth-Token": "a-token",
        }

    def test_each_project_and_region_is_a_scope(self) -> None:
        """A token belongs to the IAM of one region."""
        assert PASSWORD.scope(CALL) == AuthScope(PROJECT, "eu-de")

    def test_without_a_project_it_is_the_account_s(self) -> None:
        """That is what assumes agencies."""
        _, (asked,) = carried_out(PASSWORD.obtain(EVERYWHERE), token())
        where, body = sent(asked)
        assert where.startswith(f"POST {IAM}/")
        assert body["auth"]["scope"] == {"domain": {"name": "acme"}}

    @pytest.mark.parametrize(
        "given",
        [
            answer({"token": {"expires_at": DATES[0]}}),
            token(text="two words"),
            token(text="line\nbreak"),
            token(date="tomorrow"),
            answer({"token": []}, **{"X-Subject-Token": "a-token"}),
            Reply(200, {"X-Subject-Token": "a-token"}, b"<html>a-token"),
            Reply(200, {"X-Subject-Token": "a-token"}, b"[" * 100_000),
        ],
    )
    def test_an_answer_without_a_token_makes_no_sense(self, given: Reply) -> None:
        """It is not repeated, for a part of it may be a token."""
        with pytest.raises(UnexpectedReply) as caught:
            carried_out(PASSWORD.obtain(EVERYWHERE), given)
        assert "a-token" not in str(caught.value)

    def test_a_region_that_is_none_is_told(self) -> None:
        """Nothing is asked."""
        with pytest.raises(TerminalCloudError, match="is not a region"):
            next(PASSWORD.obtain(AuthScope(PROJECT, "x")))

    def test_a_project_without_rights_is_named(self) -> None:
        """The credential is stopped for it, and has others; without a project it is another refusal."""
        for scope, told in ((AuthScope("p1"), "no (for the project p1)"), (EVERYWHERE, "no")):
            with pytest.raises(Forbidden) as caught:
                carried_out(PASSWORD.obtain(scope), refused(403))
            assert caught.value.message == told
            assert (caught.value.cause is Cause.OTHER_PROJECT) is bool(scope.project_id)

    def test_who_it_is_stands_in_the_answer(self) -> None:
        """With the account; an answer that does not say so is good all the same."""
        said = {"token": {"expires_at": DATES[0], "user": {"name": "robot", "domain": {"name": "acme"}}}}
        granted, _ = carried_out(PASSWORD.obtain(AuthScope("p1")), answer(said, **{"X-Subject-Token": "a-token"}))
        assert granted.principal == "user robot of the account acme"
        for odd in ({"token": {"expires_at": DATES[0], "user": "x"}}, {"token": {"expires_at": DATES[0]}}):
            granted, _ = carried_out(PASSWORD.obtain(EVERYWHERE), answer(odd, **{"X-Subject-Token": "a-token"}))
            assert granted.principal == ""


class TestAgency:
    """Keys of an agency of another account."""

    def of(self, source: Kind = FIXED, domain: str = ACCOUNT, **more: Any) -> Agency:
        """Return an agency that is assumed by keys."""
        return Agency(source, HERE, "share", domain, **more)

    def test_the_sts_is_asked_where_the_account_s_id_is_known(self) -> None:
        """The request is signed by the keys of the source."""
        granted, (asked,) = carried_out(self.of(external_id="word").obtain(EVERYWHERE), answer(v5()))
        assert sent(asked) == (
            f"POST {STS}/v5/agencies/assume",
            {
                "agency_urn": f"iam::{ACCOUNT}:agency:share",
                "agency_session_name": SESSION,
                "duration_seconds": 3600,
                "external_id": "word",
            },
        )
        assert "Access=mine" in headers_of(asked)["Authorization"]
        assert granted == Granted(KEYS, END)

    def test_it_is_good_for_all_calls(self) -> None:
        """Keys are not a matter of a project; what may not be repeated is what the source presents."""
        assert self.of().scope(CALL) == EVERYWHERE
        assert self.of().secrets == FIXED.secrets

    @pytest.mark.parametrize("code", ["APIGW.0101", "APIGW.0103"])
    def test_a_cloud_without_sts_exchanges_at_iam(self, code: str) -> None:
        """That is what a path that nobody knows means, and nothing else."""
        flow = self.of().obtain(EVERYWHERE)
        granted, (_, asked) = carried_out(flow, refused(404, code), answer(v3()))
        body = {"auth": {"identity": {"methods": ["assume_role"], "assume_role": {**ROLE, "domain_id": ACCOUNT}}}}
        assert sent(asked) == (f"POST {IAM}/v3.0/OS-CREDENTIAL/securitytokens", body)
        assert "Access=mine" in headers_of(asked)["Authorization"]
        assert granted == Granted(KEYS, END)

    def test_so_does_one_whose_sts_has_no_host(self) -> None:
        """As a sister cloud's: IAM is asked instead. What the STS alone takes waits, since a name may come back."""
        unknown = TransientCloudError("cannot connect", nothing_done=True).caused(Cause.UNKNOWN_HOST)
        granted, (_, asked) = carried_out(self.of().obtain(EVERYWHERE), unknown, answer(v3()))
        assert sent(asked)[0] == f"POST {IAM}/v3.0/OS-CREDENTIAL/securitytokens"
        assert granted == Granted(KEYS, END)
        with pytest.raises(TransientCloudError, match="cannot connect"):
            carried_out(self.of(external_id="word").obtain(EVERYWHERE), unknown)
        away = TransientCloudError("cannot connect", nothing_done=True).caused(Cause.UNREACHABLE)
        with pytest.raises(TransientCloudError, match="cannot connect"):
            carried_out(self.of().obtain(EVERYWHERE), away)

    @pytest.mark.parametrize(
        "error", [refused(404, "STS5.1106"), refused(403, "PAP5.0001"), refused(400, "APIGW.0101"), refused(503)]
    )
    def test_another_refusal_of_the_sts_is_one(self, error: CloudError) -> None:
        """An agency that is not there is not looked for elsewhere."""
        with pytest.raises(type(error)):
            carried_out(self.of().obtain(EVERYWHERE), error)

    def test_what_only_the_sts_takes_is_not_left_out(self) -> None:
        """Without the word the agency would be another's to assume."""
        with pytest.raises(TerminalCloudError, match="no STS, which alone takes an external_id"):
            carried_out(self.of(external_id="word").obtain(EVERYWHERE), refused(404, "APIGW.0101"))

    def test_an_account_s_name_leads_to_iam(self) -> None:
        """The STS knows accounts by their ids alone."""
        _, (asked,) = carried_out(self.of(domain="acme", seconds=86_400).obtain(EVERYWHERE), answer(v3()))
        assert sent(asked)[1]["auth"]["identity"]["assume_role"] == {
            "agency_name": "share",
            "domain_name": "acme",
            "duration_seconds": 86_400,
        }

    def test_on_top_of_a_password_iam_exchanges_a_token_of_the_account(self) -> None:
        """It goes with the request; the STS takes signatures alone."""
        granted, (first, second) = carried_out(self.of(PASSWORD).obtain(EVERYWHERE), token(), answer(v3()))
        assert sent(first)[1]["auth"]["scope"] == {"domain": {"name": "acme"}}
        assert sent(second)[0] == f"POST {IAM}/v3.0/OS-CREDENTIAL/securitytokens"
        assert headers_of(second) == {"X-Auth-Token": "a-token"}
        assert granted == Granted(KEYS, END)

    @pytest.mark.parametrize(("source", "asked", "seconds"), [(FIXED, 86_400, 43_200), (Metadata("h"), 7_200, 3_600)])
    def test_the_sts_is_asked_for_no_more_than_it_gives(self, source: Kind, asked: int, seconds: int) -> None:
        """Keys that end themselves are good for an hour."""
        first: Sequence[Reply] = (read("metadata-token"), answer(v3())) if isinstance(source, Metadata) else ()
        _, steps = carried_out(self.of(source, seconds=asked).obtain(EVERYWHERE), *first, answer(v5()))
        assert sent(steps[-1])[1]["duration_seconds"] == seconds

    def test_one_agency_may_stand_on_another(self) -> None:
        """Each is assumed by the keys of the one below."""
        _, (_, second) = carried_out(self.of(self.of()).obtain(EVERYWHERE), answer(v5()), answer(v5()))
        assert "Access=AK" in headers_of(second)["Authorization"]

    @pytest.mark.parametrize("status", [403, 404])
    def test_one_that_may_not_be_assumed_is_the_agency_s_affair(self, status: int) -> None:
        """Or is not there; a wrong key of the source is not."""
        others = ((refused(401), False), (refused(404), False))
        for error, is_agency in ((refused(status, "PAP5.0001"), True), *others):
            with pytest.raises(CloudError) as caught:
                carried_out(self.of().obtain(EVERYWHERE), error)
            assert (caught.value.cause is Cause.AGENCY) is is_agency

    def test_who_was_assumed_stands_in_the_answer(self) -> None:
        """Of the STS."""
        granted, _ = carried_out(
            self.of().obtain(EVERYWHERE), answer({**v5(), "assumed_agency": {"urn": "sts::a:assumed-agency:share/x"}})
        )
        assert granted.principal == "sts::a:assumed-agency:share/x"


class TestMetadata:
    """Keys of a cloud server."""

    SERVER = Metadata("http://169.254.169.254")
    TOKEN, KEY = (
        "PUT http://169.254.169.254/meta-data/latest/api/token",
        ("GET http://169.254.169.254/openstack/latest/securitykey"),
    )

    def test_a_token_goes_with_the_question(self) -> None:
        """It is asked for at each renewal, and good for all calls."""
        granted, (first, second) = carried_out(self.SERVER.obtain(EVERYWHERE), read("word\n"), answer(v3()))
        assert [sent(first)[0], sent(second)[0]] == [self.TOKEN, self.KEY]
        assert headers_of(first) == {"X-Metadata-Token-Ttl-Seconds": "21600"}
        assert headers_of(second) == {"X-Metadata-Token": "word"}
        assert isinstance(second, Ask)
        assert second.authorization.secrets == ("word",)
        assert granted == Granted(KEYS, END)
        assert (self.SERVER.scope(CALL), self.SERVER.secrets) == (EVERYWHERE, ())

    @pytest.mark.parametrize("status", [404, 405, 503])
    def test_an_older_service_has_no_token_to_give(self, status: int) -> None:
        """The keys are asked for without one."""
        granted, (_, second) = carried_out(self.SERVER.obtain(EVERYWHERE), refused(status), answer(v3()))
        assert headers_of(second) == {}
        assert granted == Granted(KEYS, END)

    @pytest.mark.parametrize("status", [400, 403, 500])
    def test_another_failure_is_one(self, status: int) -> None:
        """The keys are not asked for in a way that the service may not want."""
        with pytest.raises(CloudError):
            carried_out(self.SERVER.obtain(EVERYWHERE), refused(status))

    def test_a_token_that_is_refused_is_asked_for_anew_once(self) -> None:
        """It may have been lost on the other side."""
        answers = read("one"), refused(401), read("two"), answer(v3())
        _, steps = carried_out(self.SERVER.obtain(EVERYWHERE), *answers)
        assert headers_of(steps[3]) == {"X-Metadata-Token": "two"}
        with pytest.raises(AuthFailed):
            carried_out(self.SERVER.obtain(EVERYWHERE), read("one"), refused(401), read("two"), refused(401))
        with pytest.raises(AuthFailed):
            carried_out(self.SERVER.obtain(EVERYWHERE), refused(404), refused(401), refused(404))

    def test_a_server_without_an_agency_is_not_asked_again(self) -> None:
        """No token would help."""
        no_agency = refused(401, message="Please configure Cloud Service Agency first")
        with pytest.raises(AuthFailed, match="Cloud Service Agency"):
            carried_out(self.SERVER.obtain(EVERYWHERE), read("one"), no_agency)

    @pytest.mark.parametrize("text", ["", " ", "two words", "<html>\x7f"])
    def test_a_token_that_could_be_none_goes_nowhere(self, text: str) -> None:
        """A page of a proxy is no token."""
        with pytest.raises(UnexpectedReply):
            carried_out(self.SERVER.obtain(EVERYWHERE), read(text))


class TestPodIdentity:
    """Keys of a pod."""

    POD = PodIdentity("http://169.254.170.23", "/v1/credentials", (("pod", "1"),), Path("/token"))

    @pytest.mark.parametrize("shape", [v3, v5, flat])
    def test_what_is_in_the_file_is_shown_for_keys(self, shape: Any) -> None:
        """In a header, as it is at the time; the keys may be spelled in three ways."""
        granted, (first, second) = carried_out(self.POD.obtain(EVERYWHERE), read("jwt\n"), answer(shape()))
        assert first == ReadFile(Path("/token"))
        assert sent(second) == ("POST http://169.254.170.23/v1/credentials?pod=1", {})
        assert headers_of(second) == {"Authorization": "jwt"}
        assert isinstance(second, Ask)
        assert second.authorization.secrets == ("jwt",)
        assert granted == Granted(KEYS, END)
        assert (self.POD.scope(CALL), self.POD.secrets) == (EVERYWHERE, ())

    @pytest.mark.parametrize("text", ["", "a b", "jwt\nX-Evil: 1"])
    def test_a_file_without_a_token_is_told_without_showing_it(self, text: str) -> None:
        """It goes into no header."""
        with pytest.raises(UnexpectedReply, match="what should be a token") as caught:
            carried_out(self.POD.obtain(EVERYWHERE), read(text))
        assert "Evil" not in str(caught.value)


class TestOidc:
    """Keys for a workload's token."""

    WANTED = Wanted("iam::acme:oidcProvider:cce", f"iam::{ACCOUNT}:agency:share")

    def test_the_token_of_the_file_stands_in_the_body(self) -> None:
        """The request is not signed, and asks for no more than is said."""
        kind = Oidc(HERE, self.WANTED, Path("/token"))
        granted, (first, second) = carried_out(kind.obtain(EVERYWHERE), read("jwt\n"), answer(v5()))
        assert first == ReadFile(Path("/token"))
        assert sent(second) == (
            f"POST {STS}/v5/agencies/assume-with-oidc",
            {
                "provider_urn": "iam::acme:oidcProvider:cce",
                "agency_urn": f"iam::{ACCOUNT}:agency:share",
                "agency_session_name": SESSION,
                "id_token": "jwt",
                "duration_seconds": 3600,
            },
        )
        assert headers_of(second) == {}
        assert isinstance(second, Ask)
        assert second.authorization.secrets == ("jwt",)
        assert granted == Granted(KEYS, END)
        assert (kind.scope(CALL), kind.secrets) == (EVERYWHERE, ())

    def test_the_file_is_read_at_each_renewal(self) -> None:
        """The cluster replaces it."""
        kind = Oidc(HERE, self.WANTED, Path("/token"))
        for text in ("first", "second"):
            _, (_, asked) = carried_out(kind.obtain(EVERYWHERE), read(text), answer(v5()))
            assert sent(asked)[1]["id_token"] == text

    def test_a_token_of_a_variable_needs_no_file_and_rights_may_be_less(self) -> None:
        """It is a secret from the beginning."""
        wanted = Wanted("p", "a", "me", 900, "{}", ("one",))
        kind = Oidc(HERE, wanted, None, "jwt")
        _, (asked,) = carried_out(kind.obtain(EVERYWHERE), answer(v5()))
        body = sent(asked)[1]
        assert (body["policy"], body["policy_ids"], body["duration_seconds"]) == ("{}", ["one"], 900)
        assert kind.secrets == ("jwt",)

    def test_a_refusal_passes_through(self) -> None:
        """What it means for the credential is not the flow's to say."""
        kind = Oidc(HERE, self.WANTED, None, "jwt")
        with pytest.raises(Forbidden):
            carried_out(kind.obtain(EVERYWHERE), refused(403))
        with pytest.raises(BadRequest):
            carried_out(kind.obtain(EVERYWHERE), refused(400))


class TestKeys:
    """Temporary keys out of an answer."""

    SERVER = Metadata("http://127.0.0.1")

    @pytest.mark.parametrize("date", DATES)
    @pytest.mark.parametrize("shape", [v3, v5, flat])
    def test_every_spelling_and_every_date_is_read(self, shape: Any, date: str) -> None:
        """With fractions of a second and without, in any of the three shapes; a date without a zone is in UTC."""
        granted, _ = carried_out(self.SERVER.obtain(EVERYWHERE), refused(404), answer(shape(date)))
        assert granted == Granted(KEYS, END)

    @pytest.mark.parametrize("key", ["access", "secret", "securitytoken"])
    @pytest.mark.parametrize("value", [None, "", 7, "two words", "SK\r\nX-Evil: 1", "sécret"])
    def test_what_could_be_no_key_goes_nowhere(self, key: str, value: object) -> None:
        """The message names what is missing, and repeats nothing of the answer."""
        document = v3()
        document["credential"][key] = value
        with pytest.raises(UnexpectedReply, match=f'no usable "{key}"') as caught:
            carried_out(self.SERVER.obtain(EVERYWHERE), refused(404), answer(document))
        assert "Evil" not in str(caught.value)
        assert caught.value.__cause__ is None

    @pytest.mark.parametrize("date", [None, "", 7, "soon", "0000-00-00T00:00:00Z", "99999-01-01T00:00:00Z"])
    def test_keys_of_which_nobody_knows_the_end_are_no_use(self, date: Any) -> None:
        """They could not be renewed in time."""
        with pytest.raises(UnexpectedReply, match="until when"):
            carried_out(self.SERVER.obtain(EVERYWHERE), refused(404), answer(v3(date)))

    @pytest.mark.parametrize("body", [b"", b"null", b"[]", b"<html>", b"\xff", b"{" * 50_000])
    def test_what_is_no_json_object_makes_no_sense(self, body: bytes) -> None:
        """It may be the page of a proxy."""
        with pytest.raises(UnexpectedReply, match="not a JSON object"):
            carried_out(self.SERVER.obtain(EVERYWHERE), refused(404), Reply(200, {}, body))


def test_each_kind_is_one_file() -> None:
    """Of the name that stands in the config, so that whoever reads the one finds the other."""
    files = {file.stem.replace("_", "-") for file in Path(kinds.__file__).parent.glob("*.py")} - {"--init--"}
    assert files == KIND_WORDS.keys()


def test_what_is_given_holds_for_every_region() -> None:
    """An endpoint of the config or of the vendor's variables."""
    given = Endpoints(region=REGION, given={Service.IAM: "https://iam.example"})
    _, (asked,) = carried_out(Password(given, "u", "d", "p").obtain(AuthScope(PROJECT, "eu-de")), token())
    assert sent(asked)[0].startswith("POST https://iam.example/v3/auth/tokens")


def test_who_calls_is_read_without_what_was_presented() -> None:
    """The name of a user may be that of its key; what says nothing is no answer."""
    said = json.dumps({"account_id": "a1", "principal_urn": "iam::a1:user:AKROBOT"}).encode()
    assert read_caller(said, ["AKROBOT"]) == "iam::a1:user:***"
    assert read_caller(b'{"account_id": "a1"}', []) == "the account a1"
    for odd in (b"<html>", b"[]", b"{}", b'{"principal_urn": 7}'):
        with pytest.raises(UnexpectedReply):
            read_caller(odd, [])


@pytest.mark.parametrize(("key", "told"), [("AKROBOTOFTHETEST", "AKRO…"), ("AKROBOT", "A…"), ("any", "…")])
def test_of_a_key_the_beginning_is_told(key: str, told: str) -> None:
    """Four characters at most, of a short one a quarter; of a token nothing."""
    keys = presenter_of(SigningKeys(key, "SK"), "")
    assert (keys.principal, keys.key, keys.may_be_asked) == ("", f"key {told}", True)
    assert not presenter_of(SigningKeys(key, "SK"), "known").may_be_asked
    assert presenter_of(Token("a-token"), "robot") == Presenter("robot", "a token")
    assert presenter_of(None, "") == Presenter()
