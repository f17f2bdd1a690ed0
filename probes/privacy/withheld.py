# SPDX-License-Identifier: Apache-2.0
"""What of a page that answered does not leave the machine, unless the operator asks for excerpts
and the volunteer agreed to send them.

A page may name its reader in more ways than can be found and removed. What is told in its place is
what pages are compared by: lengths, hashes of words without digits, and which known block page it
is. Pure.
"""

from __future__ import annotations

import re

from msgspec.structs import replace

from probes.wire.measurement import Measurement
from probes.wire.observation import AnyObservation, AppExchange, HTTPExchange
from probes.wire.page_facts import place, title_shape

_PRODUCT = re.compile(r"[A-Za-z]{1,24}")


def without_quotations(measurement: Measurement) -> Measurement:
    """Return the measurement without excerpts, titles, links and names of software of pages."""
    kept = tuple(map(_without, measurement.observations))
    same = all(map(lambda a, b: a is b, kept, measurement.observations))
    return measurement if same else replace(measurement, observations=kept)


def _without(seen: AnyObservation) -> AnyObservation:
    match seen:
        case HTTPExchange():
            return _without_page(seen)
        case AppExchange() if seen.excerpt:
            return replace(seen, excerpt=b"")
    return seen


def _without_page(seen: HTTPExchange) -> HTTPExchange:
    fields: dict[str, object] = {}
    if seen.excerpt:
        fields["excerpt"] = b""
    if seen.title and not seen.known_pages:
        fields |= {"title": None, "title_shape": title_shape(seen.title)}
    if seen.location:
        fields["location"] = place(seen.location)
    if seen.server:
        product = _PRODUCT.match(seen.server)
        fields["server"] = product[0] if product else None
    if seen.body_sha256 and (seen.shape is not None or not seen.tls or seen.excerpt):
        # A page that shows its reader's address has few enough forms to try them all.
        fields["body_sha256"] = None
    changed = {name: value for name, value in fields.items() if getattr(seen, name) != value}
    return replace(seen, **changed) if changed else seen
