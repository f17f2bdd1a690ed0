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
from probes.cli.terminal import say_waiting
from probes.delivery import enrolment, monitor_request, signing_key
from probes.delivery.monitor_ways import web_server
from probes.delivery.signing_key import SigningKey, SigningKeyError
from probes.log import Log
from probes.runtime import private_authority
from probes.wire.enrolment_token import parse_token


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
    say_waiting("asking the monitor for credentials")
    key = _new_key()
    enrolled = enrolment.enrol(token, f"reachprobe/{probes.__version__}", chosen.proxy, key)
    if key is not None and enrolled.key == key.id:
        key.save(chosen.state)
    enrolment.save(chosen.state, enrolled)
    excerpts.choose_at_join(chosen, enrolled)
    country, asn = enrolled.country or "CC", enrolled.asn or "N"
    told = "where this machine is"
    if enrolled.country:
        told += ", as the monitor sees it: give others if that is wrong, as behind a VPN"
    print(
        f"enrolled as {enrolled.probe} ({enrolled.role}); "
        f"next: reachprobe run --country {country} --asn {asn} ({told})"
    )
    return 0


def _new_key() -> SigningKey | None:
    """A key for this probe's signatures; None, and a line that says why, where none can be made."""
    try:
        return signing_key.make()
    except SigningKeyError as error:
        print(f"reachprobe: measurements will not be signed: {error}", file=sys.stderr)
        return None


def key(chosen: Namespace, log: Log) -> int:
    """Print the public key of this probe, or give the monitor another one."""
    enrolled = enrolment.load(chosen.state)
    if enrolled is None:
        raise monitor_request.EnrolmentError(f"{chosen.state}: not enrolled")
    if chosen.renew:
        say_waiting("giving the monitor a new key")
        enrolled = enrolment.renew_key(chosen.state, enrolled, chosen.proxy)
    held = signing_key.load(chosen.state)
    if held is None or held.id != enrolled.key:
        print("measurements are not signed: `reachprobe key --renew` makes a key")
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
    print(consent.text(), file=sys.stderr)
    if not sys.stdin.isatty():
        raise consent.ConsentError(
            "not enrolled, and the token is not used: nobody has agreed; to agree, add "
            f"--accept-risks {consent.digest()}"
        )
    print("Do you agree? Type yes, or anything else to stop: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() != "yes":
        raise consent.ConsentError("not enrolled, and the token is not used: you did not agree")
    consent.agree(chosen.state, consent.digest(), dt.datetime.now(dt.UTC))


def leave(chosen: Namespace, log: Log) -> int:
    """Have the credentials revoked, and remove the probe's files."""
    if not chosen.state.is_dir():
        print(f"{chosen.state}: nothing is enrolled here")
        return 0
    with state_directory.locked(chosen.state):
        enrolled = None if chosen.force else enrolment.load(chosen.state)
        enrolled_here = (chosen.state / enrolment.FILE).exists()
        try:
            if enrolled is not None:
                say_waiting("asking the monitor to revoke the credentials")
                url = web_server(chosen.state, enrolled.url)
                enrolment.leave(enrolled, chosen.proxy, url)
        except monitor_request.EnrolmentError as error:
            # Without the credentials they could never be revoked.
            state_directory.wipe(chosen.state, keep=enrolment.FILE)
            print(
                f"reachprobe: not revoked yet ({error}): the credentials are kept in "
                f"{chosen.state}, everything else is removed; run `reachprobe leave` again later",
                file=sys.stderr,
            )
            return 1
        state_directory.wipe(chosen.state)
    if not enrolled_here:
        print(f"{chosen.state}: nothing is enrolled here")
    elif enrolled is None:
        print("files removed; the credentials are not revoked: tell your operator")
    else:
        print("credentials revoked, files removed")
    return 0
