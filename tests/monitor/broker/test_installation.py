"""A directory of `broker init`: made, made again, renewed, and interrupted."""

from __future__ import annotations

import getpass
import os
import stat
from pathlib import Path

import pytest

from monitor.broker import certificates, installation
from monitor.broker.certificates import Issued
from monitor.broker.installation import Choice
from monitor.enrolment import verify_secret
from probes.runtime.options import OptionError
from tests.monitor.broker.test_certificates import save, without_key_usage
from tests.world import pki

CHOICE = Choice(host="reach.example", user=getpass.getuser())


def contents(directory: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()
    }


def accepted(directory: Path, trusted: str) -> bool:
    """Whether a strict probe that trusts this takes what the broker shows."""
    shown = Issued(
        (directory / "certificates/fullchain.pem").read_text(),
        (directory / "certificates/privkey.pem").read_text(),
    )
    return not certificates.refusal(shown, trusted, "reach.example")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    directory = tmp_path / "broker"
    installation.prepare(directory, CHOICE)
    return directory


def test_made_again_it_stays_as_it_is(made: Path) -> None:
    (made / "probes.passwd").write_text("p-1:x\n")
    before = contents(made)
    assert installation.kept_choice(made) == CHOICE
    assert installation.prepare(made, CHOICE) == []
    assert contents(made) == before
    assert accepted(made, (made / "ca.pem").read_text())


def test_nobody_else_reads_a_secret(made: Path) -> None:
    public = {"mosquitto.conf", "ca.pem", "certificates/fullchain.pem", "authority/ca.pem"}
    for name in contents(made).keys() - public:
        assert stat.S_IMODE((made / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE(made.stat().st_mode) == 0o700


@pytest.mark.parametrize("lost", ["certificates/privkey.pem", "acl", "monitor.passwd", "ca.pem"])
def test_what_is_lost_is_made_again_and_probes_keep_what_they_have(made: Path, lost: str) -> None:
    trusted, probes = (made / "ca.pem").read_text(), made / "probes.passwd"
    probes.write_text("p-1:x\n")
    (made / lost).unlink()
    assert lost in installation.prepare(made, CHOICE)
    assert probes.read_text() == "p-1:x\n"
    assert (made / "ca.pem").read_text() == trusted
    assert accepted(made, trusted)


def test_another_name_gets_another_certificate_of_the_same_authority(made: Path) -> None:
    trusted = (made / "ca.pem").read_text()
    installation.prepare(made, Choice(host="other.example", user=CHOICE.user))
    assert not accepted(made, trusted)
    installation.prepare(made, CHOICE)
    assert accepted(made, trusted)


def test_a_renewed_certificate_is_one_that_probes_know(made: Path) -> None:
    trusted, before = (made / "ca.pem").read_text(), contents(made)
    assert installation.renew_certificate(made) == [
        "certificates/privkey.pem",
        "certificates/fullchain.pem",
    ]
    after = contents(made)
    assert {name for name in after if after[name] != before[name]} == {
        "certificates/privkey.pem",
        "certificates/fullchain.pem",
    }
    assert accepted(made, trusted)


def test_a_renewed_secret_is_the_one_that_mosquitto_knows(made: Path) -> None:
    before = (made / "monitor.secret").read_text()
    installation.renew_secret(made)
    secret = (made / "monitor.secret").read_text().strip()
    kept = (made / "monitor.passwd").read_text().strip().partition(":")[2]
    assert secret != before.strip()
    assert verify_secret(kept, secret)


def test_a_new_authority_in_two_steps_loses_no_probe_that_had_the_first(made: Path) -> None:
    old = (made / "ca.pem").read_text()
    installation.begin_authority(made)
    both = (made / "ca.pem").read_text()
    assert both.startswith(old)
    assert both != old
    installation.begin_authority(made)
    assert (made / "ca.pem").read_text() == both, "a second call makes no third"
    installation.prepare(made, CHOICE)
    assert accepted(made, old), "nobody is lost before the second step"
    assert accepted(made, both)
    installation.finish_authority(made)
    assert accepted(made, both)
    assert not accepted(made, old)
    assert accepted(made, (made / "ca.pem").read_text())
    with pytest.raises(OptionError, match="no new authority was begun"):
        installation.finish_authority(made)


def test_a_change_of_authority_that_was_killed_between_its_renames_goes_on(made: Path) -> None:
    installation.begin_authority(made)
    both = (made / "ca.pem").read_text()
    (made / "authority").rename(made / "authority.old")
    installation.prepare(made, CHOICE)
    assert accepted(made, both)
    assert (made / "authority/ca.pem").read_text() in both


def test_an_authority_without_key_usage_is_named_with_its_remedy(tmp_path: Path) -> None:
    old, directory = without_key_usage(), tmp_path / "broker"
    (directory / "authority").mkdir(parents=True)
    (directory / "authority/ca.pem").write_text(old.pem)
    (directory / "authority/ca.key").write_text(old.key_pem)
    with pytest.raises(OptionError) as refused:
        installation.prepare(directory, CHOICE)
    assert "Python 3.13 refuses it (CA cert does not include key usage" in str(refused.value)
    assert f"`reachwatch broker rotate authority {directory}`" in str(refused.value)
    installation.begin_authority(directory)
    installation.finish_authority(directory)
    assert accepted(directory, (directory / "ca.pem").read_text())


def own(folder: Path, issued: Issued, authority: str = "") -> Choice:
    folder.mkdir(exist_ok=True)
    chain, key = save(folder, issued)
    (folder / "ca.pem").write_text(authority)
    return Choice(
        host="reach.example",
        user=CHOICE.user,
        certificate=str(chain),
        key=str(key),
        authority=str(folder / "ca.pem") if authority else "",
    )


def test_the_operators_own_certificate_is_copied_at_each_call(tmp_path: Path) -> None:
    authority = pki.Authority()
    leaf = authority.issue("reach.example")
    choice = own(tmp_path / "own", Issued(leaf.chain_pem, leaf.key_pem), authority.pem)
    installation.prepare(tmp_path / "broker", choice)
    renewed = authority.issue("reach.example")
    save(tmp_path / "own", Issued(renewed.chain_pem, renewed.key_pem))
    assert installation.prepare(tmp_path / "broker", choice) == [
        "certificates/privkey.pem",
        "certificates/fullchain.pem",
    ]
    assert accepted(tmp_path / "broker", authority.pem)
    assert not (tmp_path / "broker/authority").exists()
    for change in (installation.renew_certificate, installation.begin_authority):
        with pytest.raises(OptionError, match="is yours"):
            change(tmp_path / "broker")


def test_an_own_certificate_that_probes_refuse_changes_nothing(tmp_path: Path) -> None:
    old, other = without_key_usage(), certificates.new_authority()
    cases = {
        "keyUsage=critical": own(
            tmp_path / "a", certificates.issue(old, ["reach.example"]), old.pem
        ),
        "it must be for reach.example": own(
            tmp_path / "b", certificates.issue(other, ["other.example"]), other.pem
        ),
        "give the CA with --authority": own(
            tmp_path / "c", certificates.issue(other, ["reach.example"])
        ),
    }
    for remedy, choice in cases.items():
        with pytest.raises(OptionError) as refused:
            installation.prepare(tmp_path / "broker", choice)
        assert remedy in str(refused.value)
        assert "\n" not in str(refused.value)
    assert not (tmp_path / "broker").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_an_unknown_user_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no user 'nobody-of-that-name'"):
        installation.prepare(tmp_path / "broker", Choice(host="x", user="nobody-of-that-name"))
    assert not (tmp_path / "broker").exists()


def test_what_is_not_a_broker_is_said(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no broker there"):
        installation.renew_secret(tmp_path)
    (tmp_path / "broker.json").write_text("rubbish")
    with pytest.raises(OptionError, match="damaged"):
        installation.kept_choice(tmp_path)
