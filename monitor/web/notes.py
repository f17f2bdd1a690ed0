# SPDX-License-Identifier: Apache-2.0
"""Operators write notes on events and retract them: by a form, or by the API.

Both need an operator's token (`reachwatch token new --role operator`) in the request itself, so
that no other site can write in the name of someone who is signed in: nobody is.
"""

from __future__ import annotations

import unicodedata
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from monitor.enrolment import operator_token
from monitor.interop.forms import note_form
from monitor.store.notes import MAX_LINK, MAX_TEXT, NOTE, RETRACTION, Note, NoteRefusedError
from monitor.web.answers import json_answer
from monitor.web.params import BadParameterError
from monitor.web.response_cache import CACHE
from monitor.web.site import SITE


class NoteBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /api/v1/events/{id}/notes`."""

    text: str
    kind: str = NOTE
    link: str | None = None


async def from_form(request: web.Request) -> web.Response:
    """Store what the form of an event's page sent, and show the page again."""
    fields = await request.post()
    texts = {name: value for name, value in fields.items() if isinstance(value, str)}
    body = NoteBody(
        text=texts.get("text", ""), kind=texts.get("kind", ""), link=texts.get("link") or None
    )
    await _add(request, body, texts.get("token", ""))
    raise web.HTTPSeeOther(f"/e/{request.match_info['id']}#notes")


async def from_api(request: web.Request) -> web.Response:
    """Write a note on an event, or retract it (`kind`: `note` or `retraction`; `text`, the cause;
    `link`, the source). Needs an operator's token: `Authorization: Bearer TOKEN`."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    try:
        body = msgspec.json.decode(await request.read(), type=NoteBody)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadParameterError(str(error).splitlines()[0][:200]) from None
    note = await _add(request, body, token if scheme.lower() == "bearer" else "")
    return json_answer(note_form(note), 201)


async def _add(request: web.Request, body: NoteBody, token: str) -> Note:
    site = request.app[SITE]
    id = await operator_token(site.database.registry, token, site.clock())
    if id is None:
        raise web.HTTPForbidden(
            reason="A valid operator's token is needed: reachwatch token new --role operator."
        )
    if body.kind not in (NOTE, RETRACTION):
        raise BadParameterError(f"kind: must be {NOTE} or {RETRACTION}, not {body.kind[:40]!r}")
    text, link = checked_text(body.text), checked_link(body.link or "")
    try:
        note = await site.database.notes.add(
            request.match_info["id"], body.kind, text, link, token=id
        )
    except NoteRefusedError as error:
        raise web.HTTPConflict(reason=f"Not stored: {error}.") from None
    site.present.expire()
    request.app[CACHE].clear()
    return note


def checked_text(text: str) -> str:
    """The text on one line, without anything that is not printed or that turns the direction of
    what follows. Raises BadParameterError."""
    text = " ".join(text.split())
    if not text:
        raise BadParameterError("text: say what the cause is")
    if len(text) > MAX_TEXT:
        raise BadParameterError(f"text: must be at most {MAX_TEXT} characters, not {len(text)}")
    if any(_is_hidden(each) for each in text):
        raise BadParameterError("text: has control characters")
    return text


def _is_hidden(character: str) -> bool:
    # Joiners belong to the writing of Persian and of Indian languages.
    if character in "\u200c\u200d":
        return False
    return unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")


def checked_link(link: str) -> str:
    """An http or https URL, or nothing. Raises BadParameterError."""
    link = link.strip()
    if not link:
        return ""
    wrong = BadParameterError(
        f"link: must be an http or https URL of at most {MAX_LINK} characters, without a password"
    )
    if len(link) > MAX_LINK or not all(0x21 <= ord(each) < 0x7F for each in link):
        raise wrong
    try:
        parts = urlsplit(link)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise wrong
        _ = parts.port  # raises ValueError when it is no number
    except ValueError:
        raise wrong from None
    return link
