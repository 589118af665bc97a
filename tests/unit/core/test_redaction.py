"""Foreign text as one line: whatever a server echoes, and however it writes it, no secret gets through."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from urllib.parse import quote, quote_plus, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.cloud.refusals import Reply, refusal
from worker.cloud.wire import read_job, read_page, read_submitted
from worker.core.redaction import MASK, MAX_READ, holds_any, sanitize
from worker.errors import UnexpectedReply

ACCESS_KEY, TOKEN = "AKEXAMPLE0000000000A", "tok/en+ab==<cd&EF> 01234567"
SECRETS = (TOKEN, ACCESS_KEY)
SEEN = 6
"""Characters of a secret in a row that nobody may see."""


def leaks(text: str, secrets: tuple[str, ...] = SECRETS) -> list[str]:
    """Return the pieces of secrets that stand in a text."""
    return [
        secret[at : at + SEEN]
        for secret in secrets
        for at in range(len(secret) - SEEN + 1)
        if secret[at : at + SEEN] in text
    ]


@pytest.mark.parametrize(
    "secret",
    [
        "SDK-HMAC-SHA256 Access=AKX, SignedHeaders=host;x-sdk-date, Signature=abc123",
        "X-Auth-Token: MIIabc",
        'security_token="stsabc"',
        "Authorization: Bearer abcdef",
        "'secret_key': 'abcdef'",
        "ak:AKEXAMPLE,err",
        "x" * 64,
    ],
)
def test_what_looks_like_a_secret_is_masked(secret: str) -> None:
    """Tokens, keys and signatures that a server echoes do not get into an error, known to us or not."""
    value = secret.replace("'", '"').split("=")[-1].split(":")[-1].split()[-1].strip('"').removesuffix(",err")
    message = sanitize(f"cannot use {secret} here")
    assert value not in message
    assert message.startswith("cannot use ")
    assert "***" in message


def test_a_reason_behind_a_word_for_a_secret_stays_readable() -> None:
    """No token is in Chinese; what stands there instead of one is what the operator must read."""
    assert sanitize("token: 已过期 请重新获取令牌") == "token: 已过期 请重新获取令牌"


def test_known_secrets_are_masked_wherever_they_stand() -> None:
    """A secret of the call is cut out even where nothing names it."""
    assert sanitize("did you mean s3cret?", ["", "s3cret"]) == "did you mean ***?"


@pytest.mark.parametrize(
    "write",
    [
        str,
        json.dumps,
        lambda text: json.dumps(json.dumps(json.dumps(text))),
        lambda text: json.dumps(text).replace("/", "\\/"),
        lambda text: "".join(f"\\u{ord(char):04X}" for char in text),
        lambda text: json.dumps("".join(f"\\u{ord(char):04x}" for char in text)),
        lambda text: quote(text, safe=""),
        lambda text: re.sub("%..", lambda found: found[0].lower(), quote(text, safe="")),
        lambda text: quote(quote(quote(text, safe=""))),
        lambda text: "".join(f"\\x{ord(char):02x}" for char in text),
        html.escape,
        lambda text: html.escape(html.escape("".join(f"&#{ord(char):08};" for char in text))),
        lambda text: "".join(f"&#{ord(char)};" for char in text),
        lambda text: "".join(f"&#x{ord(char):x};" for char in text),
        str.upper,
        str.lower,
        lambda text: f"{text[:9]}\n{text[9:]}",
        "\u200b".join,
        lambda text: text.replace(" ", " \u00a0 "),
    ],
)
def test_a_secret_is_found_however_it_is_written(write: Callable[[str], str]) -> None:
    """As programs write text into JSON within JSON, addresses and HTML, or break it over lines."""
    for secret in SECRETS:
        message = sanitize(f"we do not like {write(secret)}, sorry", SECRETS)
        assert message.replace('"', "").replace("\\", "") == "we do not like ***, sorry"


@given(st.lists(st.sampled_from(["q~w", "q", "w", "~", "\\", " and "]), max_size=12).map("".join))
def test_a_secret_is_found_whatever_backslashes_stand_in_it(text: str) -> None:
    """As a pattern with any number of backslashes between its characters would find it."""
    line = " ".join(text.split())
    assert sanitize(text, ["q~w"]) == re.sub(r"(?:q\\*~\\*w)+", "***", line)


@pytest.mark.parametrize(
    ("secrets", "text", "shown"),
    [
        (("abcdefgh", "abcdefghijklmnop"), "key abcdefghijklmnop!", "key ***!"),
        (("abcdef", "efghij"), "key abcdefghij!", "key ***!"),
        (("aba",), "key ababa!", "key ***!"),
        (("my  long\u00a0pass",), "key my  long\u00a0pass!", "key ***!"),
        (("\\", "  "), "key a\\b!", "key a\\b!"),
    ],
)
def test_secrets_that_overlap_are_masked_as_one(secrets: tuple[str, ...], text: str, shown: str) -> None:
    """No secret hides another one, and what stands for no character is no secret."""
    assert sanitize(text, secrets) == shown


@pytest.mark.parametrize("filler", [" ", "<a>", "\u200b", "<b> </b>"])
@pytest.mark.parametrize("known", [1, 5, 10, 19, 20])
def test_half_a_secret_where_a_text_is_cut_off_is_not_shown(filler: str, known: int) -> None:
    """A page that is read in part may end within a secret, which nobody can find any more."""
    body = (filler * MAX_READ)[: MAX_READ - known] + ACCESS_KEY
    error = refusal(Reply(400, {}, f"{body} and more".encode()), 0.0, SECRETS)
    assert ACCESS_KEY[:known] not in error.message


def test_a_secret_is_not_shown_as_a_code_or_request_id() -> None:
    """Whatever form a field must have, a key may have it too."""
    body = json.dumps({"error_code": ACCESS_KEY, "request_id": ACCESS_KEY, "error_msg": "no"})
    error = refusal(Reply(400, {}, body.encode()), 0.0, SECRETS)
    assert (error.code, error.request_id, str(error)) == ("", "", "HTTP 400: no")


def test_a_secret_in_the_place_that_an_answer_redirects_to_is_masked() -> None:
    """The host keeps its letters as they came, so that a key in it is found."""
    error = refusal(Reply(302, {"Location": f"https://{ACCESS_KEY}.example/x"}, b""), 0.0, SECRETS)
    assert error.message == "the answer redirects to ***.example"


@pytest.mark.parametrize(
    ("read", "body"),
    [
        (read_page, "<html>you are {}, are you not?"),
        (read_page, '{{"images": [{{"id": "{}"}}]}}'),
        (read_page, '{{"images": [], "page_info": {{"next_marker": "{}"}}}}'),
        (read_submitted, "<html>you are {}, are you not?"),
        (read_submitted, '{{"job_id": "job of {}"}}'),
        (read_job, "<html>you are {}, are you not?"),
    ],
)
def test_a_secret_in_an_answer_that_makes_no_sense_is_masked(
    read: Callable[[bytes, tuple[str, ...]], object], body: str
) -> None:
    """A login page with status 200 may echo as much as a refusal."""
    with pytest.raises(UnexpectedReply) as caught:
        read(body.format(f"{'x ' * 300}{ACCESS_KEY}").encode(), SECRETS)
    assert not leaks(str(caught.value))
    with pytest.raises(UnexpectedReply) as caught:
        read(body.format(f"{ACCESS_KEY} \ud800".encode("utf-8", "backslashreplace").decode()).encode(), SECRETS)
    assert "***" in str(caught.value)
    assert not leaks(str(caught.value))


ENCODINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "percent": lambda text: quote(text, safe=""),
    "percent, each byte": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "percent, twice": lambda text: quote(quote(text, safe=""), safe=""),
    "plus": quote_plus,
    "json": lambda text: json.dumps(text)[1:-1],
    "json, each character": lambda text: "".join(f"\\u{ord(char):04X}" for char in text),
    "json in json": lambda text: json.dumps(json.dumps(text)[1:-1])[1:-1],
    "html": html.escape,
    "html, each character": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "html in json": lambda text: json.dumps(html.escape(text))[1:-1],
    "an address in html": lambda text: html.escape(quote(text, safe="")),
    "json in an address in html": lambda text: html.escape(quote(json.dumps(text)[1:-1], safe="")),
    "html in an address": lambda text: quote(html.escape(text), safe=""),
}
KEY_LETTERS = st.sampled_from("ABCDEFabcdef0123456789/+=;#&%xuz_-")
OPENINGS = ("", "%", "%2", "%25", "&", "&#", "&#x", "&amp;#", "\\", "\\u", "\\u00", "\\x", "\\\\u0", "+", "=", '"', "x")


@given(
    st.text(KEY_LETTERS, min_size=1, max_size=40),
    st.sampled_from(sorted(ENCODINGS)),
    st.lists(st.sampled_from(OPENINGS), max_size=3).map("".join),
    st.sampled_from([*OPENINGS, ";", "%41", "amp;"]),
    st.integers(0, 40),
)
def test_no_letters_beside_a_secret_hide_it(secret: str, way: str, before: str, after: str, bare: int) -> None:
    """What stands before a key may make its first letters look like an escape: it is read as they stand as well."""
    echo = f"you sent {before}{secret[:bare]}{ENCODINGS[way](secret[bare:])}{after} here"
    pieces = {secret} if len(secret) < 12 else {secret[at : at + 12] for at in range(len(secret) - 11)}
    pieces = {piece.strip("\\") for piece in pieces}
    shown = sanitize(echo, [secret])
    rest = shown.replace("***", " ")
    assert "***" in shown
    assert not any(piece in text for piece in pieces for text in (rest, unquote(rest), html.unescape(rest)))


PRINTABLE = st.characters(exclude_categories=("C", "Z"), exclude_characters="\\<>*")


@given(st.text(PRINTABLE, min_size=1, max_size=40), st.sampled_from(sorted(ENCODINGS)))
def test_any_secret_is_found_in_any_writing(secret: str, way: str) -> None:
    """Passwords beyond ASCII too, by their characters, bytes or halves of characters."""
    if way != "json, each character" or all(char < "\U00010000" for char in secret):
        # Backslashes, and last bytes that by themselves stand for nothing, may be left.
        shown = sanitize(f"<{ENCODINGS[way](secret)}>", [secret], 10_000)
        assert re.fullmatch(r"<(\\|%(25)?5C)*\*\*\*(%(25)?[89Aa]\w){0,3}>", shown, re.ASCII)


def test_a_piece_of_a_secret_is_masked() -> None:
    """A gateway that shows the first letters of a token shows enough to be of use."""
    assert sanitize(f"token starts with {TOKEN[:20]}...", SECRETS) == "token starts with ***..."
    assert sanitize(f"key {quote(ACCESS_KEY[4:], safe='')} is unknown", SECRETS) == "key *** is unknown"


@pytest.mark.parametrize("text", ["token {} is no good", "{}", "no {}" + " words" * 200, "a%20b\\/{}" + "y" * 3000])
def test_a_piece_of_a_very_long_token_is_masked(text: str) -> None:
    """However short or long the text is: a token has tens of thousands of characters, and an answer echoes a few."""
    token = "".join(chr(ord("A") + number * number % 23) + str(number) for number in range(6_000))
    piece = token[5_000:5_040]
    shown = sanitize(text.format(piece), (token,))
    assert piece not in shown
    assert MASK in shown
    assert sanitize(text.format("word"), (token,)) == sanitize(text.format("word"))
    assert holds_any(text.format(piece), (token,))


@pytest.mark.parametrize("letters", ["a", "%25", "&amp;", "\\\\", "%", "+", "%2525\\u0061", "&#97;"])
def test_masking_takes_a_bounded_number_of_steps(letters: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However a text repeats itself or a secret does, each of its places is looked at a few times for each secret."""
    looks = 0

    def counted(char: str) -> bool:
        nonlocal looks
        looks += 1
        return char == "\\" or char.isspace()

    monkeypatch.setattr("worker.core.redaction._stands_for_nothing", counted)
    sanitize((letters * MAX_READ)[:MAX_READ], ["a" * 4000 + "b", "%25" * 1000 + "b", ACCESS_KEY])
    assert looks < 30 * MAX_READ


def test_whether_a_secret_stands_in_a_text_can_be_asked() -> None:
    """With the same eyes."""
    assert holds_any(f"a {ACCESS_KEY}", SECRETS)
    assert not holds_any("a key", SECRETS)
    assert not holds_any("a key", ())


@given(st.text(max_size=600), st.integers(1, 40), st.lists(st.text(max_size=5), max_size=3))
def test_tidy_text_is_one_short_printable_line(text: str, limit: int, secrets: list[str]) -> None:
    """Whatever the cloud says fits a log line and cannot break out of it."""
    line = sanitize(text, secrets, limit)
    assert len(line) <= limit
    assert line.isprintable()


def test_the_work_for_a_text_ends_however_often_it_is_escaped() -> None:
    """Nobody reads what has to be read a dozen times to be understood."""
    text = f"%{'25' * 12}41"
    assert sanitize(text, SECRETS) == text
