"""When batches are signed, and why not."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest

from probes.delivery import enrolment, signing_key
from probes.delivery.batch_signer import BatchSigner
from probes.delivery.enrolment import Enrolment
from probes.log import Log
from probes.wire.codec import BatchHeader

HEADER = BatchHeader(boot="b", sequence=1)
ENROLLED = Enrolment(probe="p-0123456789abcdef", user="u", secret="s", broker=("mqtt://b",))


def enrolled_with(directory: Path, key: str) -> None:
    enrolment.save(directory, msgspec.structs.replace(ENROLLED, key=key))


def test_it_signs_with_the_key_that_the_monitor_has(tmp_path: Path) -> None:
    key = signing_key.make()
    key.save(tmp_path)
    enrolled_with(tmp_path, key.id)
    signer = BatchSigner(tmp_path, Log(io.StringIO()))
    assert (signer.key, signer.unsigned) == (key.id, "")
    assert signer(HEADER, [b"x"]) == key.signed(HEADER, [b"x"])
    other = signing_key.make()
    other.save(tmp_path)
    enrolled_with(tmp_path, other.id)
    assert signer.key == key.id, "until it is read again"
    assert signer.load()
    assert not signer.load()
    assert signer(HEADER, [b"x"]).key == other.id


@pytest.mark.parametrize(
    ("known", "kept", "reason"),
    [
        (None, False, "not enrolled"),
        ("", True, "the monitor has no key of this probe"),
        ("0123456789abcdef", False, "the key 0123456789abcdef is not in"),
        ("0123456789abcdef", True, "the key 0123456789abcdef is not in"),
    ],
)
def test_without_a_key_of_the_monitor_it_says_why(
    tmp_path: Path, known: str | None, kept: bool, reason: str
) -> None:
    if kept:
        signing_key.make().save(tmp_path)
    if known is not None:
        enrolled_with(tmp_path, known)
    log = io.StringIO()
    signer = BatchSigner(tmp_path, Log(log))
    assert reason in signer.unsigned
    assert (reason in log.getvalue()) == (known is not None), "in a laboratory it is no news"
    assert signer(HEADER, [b"x"]) == HEADER


def test_a_damaged_key_is_no_end_of_the_probe(tmp_path: Path) -> None:
    (tmp_path / signing_key.FILE).write_text("nonsense")
    enrolled_with(tmp_path, "0123456789abcdef")
    assert "damaged" in BatchSigner(tmp_path, Log(io.StringIO())).unsigned
