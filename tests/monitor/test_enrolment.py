"""Tokens and credentials, over a real registry, with mosquitto's own program as the judge of
our hashes."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor import enrolment
from monitor.enrolment import Credentials, Enrolled, EnrolmentRefusal
from monitor.enrolment_limits import PROBES_A_DAY, EnrolmentLimits
from monitor.store.database import open_database
from monitor.store.records import Probe, Seen, StoreUnavailableError
from monitor.store.registry import Registry
from probes.wire.enrolment_token import EnrolmentToken, parse_token
from tests.world.stores import migrated

NOW = 1_790_000_000_000
HOUR = 3_600_000


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    database = await open_database(await migrated(tmp_path / "store.sqlite"))
    yield database.registry
    await database.close()


async def token(registry: Registry, uses: int = 1, role: str = "vantage") -> EnrolmentToken:
    kept, text = enrolment.new_token("https://x.example/", role, "ada", uses, NOW + HOUR, NOW)
    await registry.add_token(kept)
    return parse_token(text)


def test_a_token_says_what_it_should_and_the_store_gets_no_secret() -> None:
    kept, text = enrolment.new_token("https://x.example/", "control", "ada", 3, NOW + 1, NOW)
    assert text.startswith("rch1.")
    body = json.loads(base64.urlsafe_b64decode(text[5:] + "==="))
    assert set(body) == {"url", "id", "secret"}
    assert body["url"] == "https://x.example"
    assert len(bytes.fromhex(body["secret"])) == 16
    assert body["secret"] not in repr(kept)
    assert (kept.role, kept.owner, kept.uses_left) == ("control", "ada", 3)
    assert parse_token(f" {text}\n").secret == body["secret"]


def test_tokens_without_a_name_are_one_owner_together() -> None:
    """Or one person with two tokens could confirm a block."""
    one, _ = enrolment.new_token("u", "vantage", "", 1, NOW + 1, NOW)
    two, _ = enrolment.new_token("u", "vantage", "", 1, NOW + 1, NOW)
    assert one.owner == two.owner == enrolment.NOBODY


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("u", "boss", "", 1, NOW + 1, NOW), "role"),
        (("u", "vantage", "", 0, NOW + 1, NOW), "uses"),
        (("u", "vantage", "", 1, NOW, NOW), "expires"),
        (("u", "vantage", "a\nb", 1, NOW + 1, NOW), "owner"),
    ],
)
def test_a_token_that_cannot_be(arguments: tuple[str, str, str, int, int, int], named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}: "):
        enrolment.new_token(*arguments)


async def test_enrolling_uses_the_token_once(registry: Registry) -> None:
    told = await token(registry)
    both = await asyncio.gather(
        *(enrolment.enrol(registry, told.id, told.secret, NOW) for _ in range(2))
    )
    enrolled = next(each for each in both if isinstance(each, Enrolled))
    assert any(isinstance(each, EnrolmentRefusal) for each in both)
    assert enrolled.user == enrolled.probe
    assert (enrolled.role, enrolled.owner) == ("vantage", "ada")
    assert len(base64.urlsafe_b64decode(enrolled.secret + "=")) == 32
    record = await registry.probe(enrolled.probe)
    assert record is not None
    assert (record.role, record.owner, record.enrolled) == ("vantage", "ada", NOW)
    kept = await registry.secret_hash(enrolled.probe)
    assert kept is not None
    assert enrolled.secret not in kept
    assert enrolment.verify_secret(kept, enrolled.secret)


async def test_every_bad_token_gets_the_same_answer(registry: Registry) -> None:
    told = await token(registry, uses=5)
    revoked = await token(registry)
    await registry.revoke_token(revoked.id, NOW)
    answers = {
        str(await enrolment.enrol(registry, id, secret, now))
        for id, secret, now in (
            ("nobody", told.secret, NOW),
            (told.id, "wrong", NOW),
            (told.id, told.secret, NOW + 2 * HOUR),
            (revoked.id, revoked.secret, NOW),
        )
    }
    assert len(answers) == 1
    assert "EnrolmentRefusal" in answers.pop()


def test_hash_is_what_mosquitto_makes(tmp_path: Path) -> None:
    path = tmp_path / "passwd"
    subprocess.run(
        ["mosquitto_passwd", "-c", "-b", str(path), "p-1", "s3cret ü"],
        check=True,
        capture_output=True,
    )
    kept = path.read_text().strip().partition(":")[2]
    assert kept.startswith(f"$7${enrolment.ITERATIONS}$")
    assert enrolment.verify_secret(kept, "s3cret ü")
    assert not enrolment.verify_secret(kept, "s3cret u")
    salt = base64.b64decode(kept.split("$")[3])
    assert enrolment.hash_secret("s3cret ü", salt) == kept
    assert enrolment.hash_secret("x") != enrolment.hash_secret("x")


@given(st.one_of(st.text(), st.from_regex(r"\$7\$[0-9]{1,9}\$[A-Za-z0-9+/=]*\$[A-Za-z0-9+/=]*")))
def test_any_text_as_a_hash_is_no_match(kept: str) -> None:
    assert not enrolment.verify_secret(kept.replace("$7$", "$7$0") if len(kept) > 6 else kept, "x")


class Counting:
    """A registry that counts how often it is asked for everything."""

    def __init__(self, registry: Registry) -> None:
        self._registry, self.lists, self.away = registry, 0, False

    def __getattr__(self, name: str) -> object:
        if self.away:
            raise StoreUnavailableError("away")
        self.lists += name == "probes"
        return getattr(self._registry, name)


async def test_credentials_are_cheap_and_notice_revocation(registry: Registry) -> None:
    told = await token(registry)
    enrolled = await enrolment.enrol(registry, told.id, told.secret, NOW)
    assert isinstance(enrolled, Enrolled)
    time, counting = [0.0], Counting(registry)
    ask = Credentials(counting, seconds=3, clock=lambda: time[0])  # type: ignore[arg-type]
    assert not await ask(enrolled.user, "wrong")
    assert not await ask("p-nobody", enrolled.secret)
    for _ in range(50):
        assert await ask(enrolled.user, enrolled.secret)
    assert not await ask(enrolled.user, "wrong")
    assert counting.lists == 1
    assert ask.place_of(enrolled.user) is None, "it has sent nothing"
    await registry.record_seen([Seen(probe=enrolled.probe, at=NOW, country="RU", asn=64501)])
    time[0] = 3.0
    assert await ask(enrolled.user, enrolled.secret)
    assert ask.place_of(enrolled.user) == ("RU", 64501)
    await registry.revoke_probe(enrolled.probe, NOW)
    time[0] = 6.0
    assert not await ask(enrolled.user, enrolled.secret)
    assert not await ask(enrolled.user, enrolled.secret)
    counting.away = True
    with pytest.raises(StoreUnavailableError):
        await ask(enrolled.user, enrolled.secret)


@pytest.mark.parametrize("away", [False, True])
async def test_a_flood_of_right_secrets_is_one_query(registry: Registry, away: bool) -> None:
    told = await token(registry)
    enrolled = await enrolment.enrol(registry, told.id, told.secret, NOW)
    assert isinstance(enrolled, Enrolled)
    asked = 0

    class Slow(Counting):
        async def probes(self) -> Sequence[Probe]:
            nonlocal asked
            asked += 1
            await asyncio.sleep(0.01)
            if away:
                raise StoreUnavailableError("away")
            return await registry.probes()

    ask = Credentials(Slow(registry), seconds=3)  # type: ignore[arg-type]
    assert await ask(enrolled.user, enrolled.secret)
    all = (ask(enrolled.user, enrolled.secret) for _ in range(50))
    answers = await asyncio.gather(*all, return_exceptions=True)
    assert asked == 1
    if away:
        assert {type(answer) for answer in answers} == {StoreUnavailableError}
        with pytest.raises(StoreUnavailableError):
            await ask(enrolled.user, enrolled.secret)
        assert asked == 2, "who asks later tries again"
    else:
        assert answers == [True] * 50


async def test_enrol_over_json(registry: Registry) -> None:
    told = await token(registry)
    body = json.dumps({"token_id": told.id, "secret": told.secret, "software": "x"}).encode()
    status, answer = await enrolment.enrol_answer(
        registry,
        body,
        NOW,
        ["mqtts://b:8883"],
        catalogue_key="a" * 64,
        ways=["mqtts://b:8883?address=192.0.2.1"],
    )
    assert status == 201
    fields = json.loads(answer)
    assert set(fields) == {
        *("probe", "user", "secret", "broker", "ways", "role", "owner"),
        *("catalogue_key", "country", "asn", "key", "mark", "excerpts"),
    }
    assert fields["broker"] == ["mqtts://b:8883"]
    assert fields["ways"] == ["mqtts://b:8883?address=192.0.2.1"]
    assert fields["catalogue_key"] == "a" * 64
    again, answer = await enrolment.enrol_answer(registry, body, NOW, ["mqtts://b:8883"])
    assert again == 403
    assert json.loads(answer)["error"]
    wish = json.dumps({"probe": fields["probe"], "user": "", "secret": "wrong"}).encode()
    assert (await enrolment.leave_answer(registry, wish, NOW))[0] == 403
    wish = json.dumps({"probe": fields["probe"], "secret": fields["secret"]}).encode()
    assert await enrolment.leave_answer(registry, wish, NOW) == (200, b"{}")
    gone = await registry.probe(fields["probe"])
    assert gone is not None
    assert gone.revoked == NOW


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b"\xff", b'{"token_id": 1}', b"[" * 100_000, b'{"a":"\\ud800"}',
     b'{"token_id":"a\\u0000","probe":"p\\u0000","secret":"x"}'],
)  # fmt: skip
async def test_bad_json_is_400_with_a_reason(registry: Registry, body: bytes) -> None:
    for answer in (
        await enrolment.enrol_answer(registry, body, NOW, ["x"]),
        await enrolment.leave_answer(registry, body, NOW),
    ):
        assert answer[0] == 400
        assert "\n" not in json.loads(answer[1])["error"]


async def test_a_monitor_without_a_broker_enrols(registry: Registry) -> None:
    told = await token(registry)
    body = json.dumps({"token_id": told.id, "secret": told.secret}).encode()
    status, answer = await enrolment.enrol_answer(registry, body, NOW, [])
    assert (status, json.loads(answer)["broker"]) == (201, [])


async def test_no_store_is_503(registry: Registry) -> None:
    body = json.dumps({"token_id": "a", "secret": "b"}).encode()
    away = Counting(registry)
    away.away = True
    assert (await enrolment.enrol_answer(away, body, NOW, ["x"]))[0] == 503  # type: ignore[arg-type]


async def test_what_the_limits_refuse_leaves_the_token_unused(registry: Registry) -> None:
    """300 by one address and one token are a few; others elsewhere may still use it."""
    told = await token(registry, uses=300)
    body = json.dumps({"token_id": told.id, "secret": told.secret}).encode()
    limits = EnrolmentLimits(lambda: NOW)

    async def status(address: str) -> int:
        answer = await enrolment.enrol_answer(
            registry, body, NOW, ["mqtt://x"], limits=limits, address=address
        )
        return answer[0]

    answers = [await status("203.0.114.7") for _ in range(PROBES_A_DAY + 2)]
    assert answers == [201] * PROBES_A_DAY + [429] * 2
    assert [kept.uses_left for kept in await registry.tokens()] == [300 - PROBES_A_DAY]
    assert await status("198.51.99.1") == 201


async def test_a_wrong_secret_counts_against_nobody(registry: Registry) -> None:
    told = await token(registry)
    body = json.dumps({"token_id": told.id, "secret": "wrong"}).encode()
    limits = EnrolmentLimits(lambda: NOW)
    for _ in range(PROBES_A_DAY + 1):
        answer = await enrolment.enrol_answer(
            registry, body, NOW, ["mqtt://x"], limits=limits, address="203.0.114.7"
        )
        assert answer[0] == 403
    assert limits.refusal("203.0.114.7", "ada") is None
