"""A measurement with its signature, out of a real store."""

from __future__ import annotations

import msgspec
import pytest

from monitor.commands.verify import fault_of
from monitor.store.database import Database
from monitor.store.reading.proof import proof_of
from monitor.store.records import AdmittedBatch, Probe, ProbeKey, Token
from probes.delivery import signing_key
from probes.wire.batch_signature import SignedLine
from probes.wire.codec import BatchHeader, encode_batch, envelope_of
from tests.monitor.store.conftest import postgres_server, postgres_url, sqlite_url, store, url
from tests.monitor.store.samples import HOUR, NOON, admitted, id_of

__all__ = ["postgres_server", "postgres_url", "sqlite_url", "store", "url"]

KEY = signing_key.make()


async def sent(store: Database, *, signed: bool) -> tuple[list[str], list[SignedLine]]:
    """Three measurements in one batch, of a probe with a key: their ids and proofs."""
    made = [admitted(n) for n in range(3)]
    probe, lines = made[0].stored.measurement.probe, [one.line for one in made]
    token = Token(
        id="t", secret_sha256="h", role="vantage", owner="ada", uses_left=1, expires=NOON, created=1
    )
    await store.registry.add_token(token)
    key = ProbeKey(probe=probe, id=KEY.id, public_key=KEY.public, since=NOON - HOUR)
    record = Probe(id=probe, owner="", role="", enrolled=NOON - HOUR)
    await store.registry.enrol("t", "h", record, "x", NOON - HOUR, key)
    header = BatchHeader(boot="b", sequence=4)
    if signed:
        header = KEY.signed(header, lines)
    batch = AdmittedBatch(
        payload=encode_batch(header, lines),
        lines=3,
        entries=tuple((n, envelope_of(one.stored.measurement)) for n, one in enumerate(made)),
        owner="ada",
        role="vantage",
        enrolled=1,
        received=NOON + 900,
    )
    await store.facts.add_batches([batch], [])
    proofs = []
    async with store.reading() as connection:
        for one in made:
            found = await proof_of(connection, id_of(one))
            assert found is not None
            proofs.append(found)
        assert await proof_of(connection, "0" * 32) is None
    return [id_of(one) for one in made], proofs


async def test_a_signed_measurement_is_proved_without_the_store(store: Database) -> None:
    _, proofs = await sent(store, signed=True)
    for place, proof in enumerate(proofs):
        again = msgspec.json.decode(msgspec.json.encode(proof), type=SignedLine)
        assert (again.place, again.received, again.key_since) == (place, NOON + 900, NOON - HOUR)
        assert (fault_of(again), fault_of(again, KEY.public)) == ("", "")
    assert "public key is not given" in fault_of(proofs[0], signing_key.make().public)


async def test_an_unsigned_one_says_so(store: Database) -> None:
    _, proofs = await sent(store, signed=False)
    assert "did not sign it" in fault_of(proofs[0])


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("place", 1, "is not the line that was signed"),
        ("place", 3, "its place is 3"),
        ("sequence", 5, "signature is wrong"),
        ("boot", "c", "signature is wrong"),
        ("lines", ("0" * 64,) * 3, "is not the line that was signed"),
        ("public_key", "0" * 64, "public key is not given"),
        ("key", "", "public key is not given"),
        ("signature", "", "did not sign it"),
        ("probe", "p-" + "0" * 16, "the measurement names"),
        ("line", '{"v":1}', "is not the line that was signed"),
    ],
)
async def test_nothing_in_a_proof_can_be_changed(
    store: Database, field: str, value: object, fault: str
) -> None:
    _, proofs = await sent(store, signed=True)
    assert fault in fault_of(msgspec.structs.replace(proofs[0], **{field: value}))
