# SPDX-License-Identifier: Apache-2.0
"""`reachprobe join` and `leave`: the probe's credentials, from the token to their end."""

from __future__ import annotations

import contextlib
import datetime as dt
import sys
from argparse import Namespace

import probes
from probes import state_directory
from probes.cli import consent, excerpts
from probes.cli.terminal import agrees, say_waiting, show, volunteers_language
from probes.delivery import enrolment, monitor_request, signing_key
from probes.delivery.monitor_ways import web_server
from probes.delivery.signing_key import SigningKey, SigningKeyError
from probes.log import Log
from probes.runtime import private_authority
from probes.wire.enrolment_token import parse_token
from probes.words import say


def join(chosen: Namespace, log: Log) -> int:
    """Exchange a token for credentials."""
    token = parse_token(chosen.token)
    if monitor_request.is_open(token.url) and not chosen.plain_http:
        raise monitor_request.EnrolmentError(
            f"collector {token.url}: not https://, so whoever is on the path could take the token "
            "and the credentials: ask your operator for a token with an https:// address; in a "
            "network of your own, add --plain-http"
        )
    if warning := private_authority.flaw():
        print(f"reachprobe: {warning}", file=sys.stderr)
    state_directory.prepare(chosen.state)
    if (old := enrolment.load(chosen.state)) is not None:
        raise monitor_request.EnrolmentError(
            f"{chosen.state}: already enrolled as {old.probe}; run `reachprobe leave` first"
        )
    _ask_consent(chosen)
    enrolment.require_room(chosen.state)
    say_waiting("waits_for_credentials")
    key = _new_key()
    enrolled = enrolment.enrol(token, f"reachprobe/{probes.__version__}", chosen.proxy, key)
    if key is not None and enrolled.key == key.id:
        key.save(chosen.state)
    enrolment.save(chosen.state, enrolled)
    excerpts.choose_at_join(chosen, enrolled)
    language = volunteers_language()
    where = say(language, "where_you_are_seen" if enrolled.country else "where_you_are")
    command = f"reachprobe run --country {enrolled.country or 'CC'} --asn {enrolled.asn or 'N'}"
    told = {"probe": enrolled.probe, "role": enrolled.role, "command": command, "where": where}
    print(say(language, "is_enrolled", **told))
    return 0


def _new_key() -> SigningKey | None:
    """A key for this probe's signatures; None, and a line that says why, where none can be made."""
    try:
        return signing_key.make()
    except SigningKeyError as error:
        told = say(volunteers_language(), "will_be_unsigned", reason=error)
        print(f"reachprobe: {told}", file=sys.stderr)
        return None


def key(chosen: Namespace, log: Log) -> int:
    """Print the public key of this probe, or give the monitor another one."""
    enrolled = enrolment.load(chosen.state)
    if enrolled is None:
        raise monitor_request.EnrolmentError(f"{chosen.state}: not enrolled")
    if chosen.renew:
        say_waiting("waits_for_key")
        enrolled = enrolment.renew_key(chosen.state, enrolled, chosen.proxy)
    held = signing_key.load(chosen.state)
    if held is None or held.id != enrolled.key:
        print(say(volunteers_language(), "has_no_key"))
        return 1
    print(held.public)
    return 0


def _ask_consent(chosen: Namespace) -> None:
    """Show the risks before the token is spent, unless they were agreed to, and ask for agreement
    on a terminal. Raises ConsentError when it is refused, and where nobody can be asked."""
    if chosen.accept_risks:
        consent.agree(chosen.state, chosen.accept_risks, dt.datetime.now(dt.UTC))
        return
    with contextlib.suppress(consent.ConsentError):
        consent.require(chosen.state)
        return
    language = volunteers_language()
    show(consent.text(language), sys.stderr)
    if not sys.stdin.isatty():
        raise consent.ConsentError(say(language, "nobody_agreed", hash=consent.digest()))
    if not agrees(language, "agree_question"):
        raise consent.ConsentError(say(language, "you_disagreed"))
    consent.agree(chosen.state, consent.digest(), dt.datetime.now(dt.UTC))


def leave(chosen: Namespace, log: Log) -> int:
    """Have the credentials revoked, and remove the probe's files."""
    language = volunteers_language()
    if not chosen.state.is_dir():
        print(say(language, "is_not_enrolled", directory=chosen.state))
        return 0
    with state_directory.locked(chosen.state):
        enrolled = None if chosen.force else enrolment.load(chosen.state)
        enrolled_here = (chosen.state / enrolment.FILE).exists()
        try:
            if enrolled is not None:
                say_waiting("waits_for_revocation")
                url = web_server(chosen.state, enrolled.url)
                enrolment.leave(enrolled, chosen.proxy, url)
        except monitor_request.EnrolmentError as error:
            # Without the credentials they could never be revoked.
            state_directory.wipe(chosen.state, keep=enrolment.FILE)
            told = say(language, "has_not_left", reason=error, directory=chosen.state)
            print(f"reachprobe: {told}", file=sys.stderr)
            return 1
        state_directory.wipe(chosen.state)
    if not enrolled_here:
        print(say(language, "is_not_enrolled", directory=chosen.state))
    else:
        print(say(language, "has_left_by_force" if enrolled is None else "has_left"))
    return 0
