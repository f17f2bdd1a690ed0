# SPDX-License-Identifier: Apache-2.0
"""Under which licence data may be used: our own, and what rests on those of others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from monitor.detection.model import OWN_SOURCE


class Licence(msgspec.Struct, frozen=True):
    """A licence, and whom it asks to name."""

    id: str
    """By SPDX."""
    name: str
    url: str
    holder: str = ""
    """Whose data they are; empty for our own."""


OWN = Licence("CC-BY-4.0", "CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/")
OTHERS: Mapping[str, Licence] = {
    "ooni": Licence(
        "CC-BY-NC-SA-4.0",
        "CC BY-NC-SA 4.0",
        "https://creativecommons.org/licenses/by-nc-sa/4.0/",
        "OONI",
    )
}
"""By source, as in `Stored.source` and `Event.source`; read 2026-11 at https://ooni.org/data/."""


def licence_of(source: str) -> Licence:
    """The licence of what rests on a source."""
    return OTHERS.get(source, OWN)


def licences_of(sources: Iterable[str]) -> list[Licence]:
    """Those of data that rest on some sources, our own first."""
    return [OWN, *(OTHERS[source] for source in sorted(sources) if source in OTHERS)]


def link_header(sources: Iterable[str]) -> str:
    """Value of the header `Link` of data that rest on some sources and on our own."""
    return ", ".join(
        f'<{licence.url}>; rel="license"'
        + (f'; title="what rests on data of {licence.holder}"' if licence.holder else "")
        for licence in licences_of({OWN_SOURCE, *sources})
    )
