# SPDX-License-Identifier: Apache-2.0
"""A directory with all that mosquitto needs to be the broker: `reachwatch broker init`.

    mosquitto.conf, acl, monitor.passwd, probes.passwd    generated
    monitor.secret          the password of collect and detect
    certificates/           fullchain.pem and privkey.pem, which probes are shown
    authority/              ca.pem and ca.key, which issue them, unless they are the operator's own
    ca.pem                  what probes trust then
    broker.json             what the operator chose

Everything may be made again at any time: what fits stays, what is missing or due is made, and
nothing that a probe needs is replaced. A new authority therefore comes in two steps, between which
probes learn to trust it.
"""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

import msgspec

from monitor.broker import certificates, mosquitto
from monitor.broker.certificates import BrokerAuthority, Issued
from monitor.broker.mosquitto import Layout, put
from monitor.paths import ensure_secret
from probes.runtime.options import OptionError

CHOICE, SECRET, PID = "broker.json", "monitor.secret", "mosquitto.pid"
TRUSTED = "ca.pem"
AUTHORITY, NEXT, OLD = "authority", "authority.next", "authority.old"


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator decides; kept, so that the next call need not repeat it."""

    host: str
    """The name or address at which probes reach the broker."""
    user: str
    """System user of mosquitto and of `reachwatch`."""
    port: int = 8883
    monitor_port: int = 1883
    websockets_port: int = 0
    certificate: str = ""
    """The operator's own, with its chain; empty: issued here."""
    key: str = ""
    authority: str = ""
    """Who issued the operator's own, if no public authority did."""


def kept_choice(directory: Path) -> Choice | None:
    """What was chosen when the directory was made; None if it was not. Raises OptionError."""
    path = directory / CHOICE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Choice)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OptionError(f"{path}: {error.strerror or error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise OptionError(
            f"{path}: damaged ({error}): remove it, and give the options again"
        ) from None


def prepare(directory: Path, choice: Choice) -> list[str]:
    """Make what is missing or due; return the names of the files that changed. Raises OptionError
    and OSError."""
    _user(choice.user)
    # Read before anything is written: a bad file leaves the directory as it was.
    given = _given(choice)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    secret = ensure_secret(directory / SECRET)
    layout = Layout(
        directory=str(directory),
        probes_port=choice.port,
        monitor_port=choice.monitor_port,
        monitor_host="127.0.0.1",
        websockets_port=choice.websockets_port,
        certificate=str(directory / "certificates/fullchain.pem"),
        key=str(directory / "certificates/privkey.pem"),
        user=choice.user,
        pid_file=str(directory / PID),
    )
    kept = put(directory / CHOICE, msgspec.json.encode(choice).decode(), 0o600)
    texts = {
        mosquitto.CONFIGURATION: (mosquitto.configuration(layout), 0o644),
        **_certificate(directory, choice, given),
    }
    if not mosquitto.has_access_list(directory):
        texts[mosquitto.ACCESS] = (mosquitto.access_list(), 0o600)
    if not (directory / mosquitto.PROBES).exists():
        texts[mosquitto.PROBES] = ("", 0o600)
    if not mosquitto.knows_monitor(directory, secret):
        texts[mosquitto.MONITOR] = (mosquitto.monitor_password(secret), 0o600)
    changed = [name for name, (text, mode) in texts.items() if put(directory / name, text, mode)]
    _hand_over(directory, choice.user)
    return [CHOICE, *changed] if kept else changed


def renew_certificate(directory: Path) -> list[str]:
    """Issue another certificate with another key. Probes trust its authority, and notice nothing.
    Raises OptionError and OSError."""
    choice = _made(directory)
    if choice.certificate:
        raise OptionError(f"{choice.certificate}: is yours: renew it, and run `broker init` again")
    (directory / "certificates/fullchain.pem").unlink(missing_ok=True)
    return prepare(directory, choice)


def renew_secret(directory: Path) -> list[str]:
    """Make another password of the monitor's own parts. Raises OptionError and OSError."""
    choice = _made(directory)
    (directory / SECRET).unlink(missing_ok=True)
    return prepare(directory, choice)


def begin_authority(directory: Path) -> list[str]:
    """Make another authority that probes can learn to trust; nothing is issued by it yet.
    Raises OptionError and OSError."""
    choice = _made(directory)
    if choice.certificate:
        raise OptionError(f"{choice.certificate}: is yours, and not issued here")
    _settle(directory)
    if not (directory / NEXT / "ca.pem").exists():
        _make_authority(directory / NEXT)
    put(directory / TRUSTED, _trusted(directory), 0o644)
    _hand_over(directory, choice.user)
    return [TRUSTED]


def finish_authority(directory: Path) -> list[str]:
    """Let the new authority issue the certificate, and forget the old one. Raises OptionError and
    OSError."""
    choice = _made(directory)
    if not (directory / NEXT / "ca.pem").exists():
        raise OptionError(f"{directory}: no new authority was begun")
    if (directory / AUTHORITY).exists():
        shutil.rmtree(directory / OLD, ignore_errors=True)
        (directory / AUTHORITY).rename(directory / OLD)
    _settle(directory)
    return prepare(directory, choice)


def _certificate(
    directory: Path, choice: Choice, given: Issued | None
) -> dict[str, tuple[str, int]]:
    """The files of the certificate and of what probes trust. Raises OptionError and OSError."""
    chain, key = directory / "certificates/fullchain.pem", directory / "certificates/privkey.pem"
    files = {}
    if given is None:
        authority = _authority(directory)
        trusted, names = _trusted(directory), [choice.host, "localhost"]
        if certificates.is_current(chain, key, authority, names):
            issued = Issued(certificates.read_pem(chain), certificates.read_pem(key))
        else:
            issued = certificates.issue(authority, names)
        if reason := certificates.refusal(issued, trusted, choice.host):
            raise OptionError(
                f"{directory / AUTHORITY / 'ca.pem'}: Python 3.13 refuses it ({reason}): make "
                f"another with `reachwatch broker rotate authority {directory}`"
            )
        files[TRUSTED] = (trusted, 0o644)
    else:
        issued = given
        if choice.authority:
            files[TRUSTED] = (certificates.read_pem(Path(choice.authority)), 0o644)
    # The key first: mosquitto reads both at its next start or signal, which comes after both.
    return {
        "certificates/privkey.pem": (issued.key, 0o600),
        "certificates/fullchain.pem": (issued.chain, 0o644),
        **files,
    }


def _given(choice: Choice) -> Issued | None:
    """The operator's own certificate, if a probe would take it. Raises OptionError."""
    if not choice.certificate:
        return None
    issued = Issued(
        certificates.read_pem(Path(choice.certificate)), certificates.read_pem(Path(choice.key))
    )
    roots = certificates.read_pem(Path(choice.authority)) if choice.authority else None
    if reason := certificates.refusal(issued, roots, choice.host):
        raise OptionError(
            f"{choice.certificate}: probes on Python 3.13 refuse it ({reason}): "
            + _remedy(reason, choice)
        )
    return issued


def _remedy(reason: str, choice: Choice) -> str:
    if "do not fit" in reason:
        return "give the key that belongs to the certificate"
    if "key usage" in reason or "constraint" in reason or "key identifier" in reason.lower():
        return (
            "let the CA be made again with basicConstraints=critical,CA:TRUE, "
            "keyUsage=critical,keyCertSign,cRLSign and key identifiers, or leave --certificate out"
        )
    if "ismatch" in reason:
        return f"it must be for {choice.host}, the --host"
    if "expired" in reason:
        return "renew it"
    return "it must have its whole chain; give the CA with --authority if it is a private one"


def _authority(directory: Path) -> BrokerAuthority:
    _settle(directory)
    folder = directory / AUTHORITY
    if not (folder / "ca.pem").exists():
        _make_authority(folder)
    return certificates.read_authority(folder / "ca.pem", folder / "ca.key")


def _make_authority(folder: Path) -> None:
    made = certificates.new_authority()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    put(folder / "ca.key", made.key_pem, 0o600)
    put(folder / "ca.pem", made.pem, 0o644)


def _settle(directory: Path) -> None:
    """Finish a change of authority that was interrupted between its two renames."""
    if (directory / OLD).exists() and not (directory / AUTHORITY).exists():
        (directory / NEXT).rename(directory / AUTHORITY)


def _trusted(directory: Path) -> str:
    """The authority, and the next one if it was begun."""
    folders = [directory / name for name in (AUTHORITY, NEXT)]
    return "".join(
        certificates.read_pem(folder / "ca.pem")
        for folder in folders
        if (folder / "ca.pem").exists()
    )


def _made(directory: Path) -> Choice:
    choice = kept_choice(directory)
    if choice is None:
        raise OptionError(f"{directory}: no broker there: run `reachwatch broker init {directory}`")
    return choice


def _user(name: str) -> pwd.struct_passwd | None:
    """The system user whose files these are; None where only root could make them theirs.
    Raises OptionError."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise OptionError(
            f"--user: this machine has no user {name!r}: make one with `useradd --system "
            f"--home-dir /var/lib/{name} {name}`, or name another"
        ) from None


def _hand_over(directory: Path, user: str) -> None:
    """Give the directory to the user that mosquitto and `reachwatch` run as."""
    if (owner := _user(user)) is None:
        return
    for path in (directory, *directory.rglob("*")):
        os.chown(path, owner.pw_uid, owner.pw_gid, follow_symlinks=False)
