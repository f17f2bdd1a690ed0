# SPDX-License-Identifier: Apache-2.0
"""What an import records of a whole run, beside the observations of one target (step `ooni.run`).

The helper of OONI's web_connectivity asks for the same site at the same time from elsewhere. What
it found is a fact about the site, as a control's measurement is: it tells a broken site from a
blocked one. What OONI concluded from it is not read.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from probes.wire.observation import PageShape, Unrecognised

RUN_STEP = "ooni.run"
"""Step of the observation that describes the whole run: see `RunRecord`."""
ROUND_MS = 300_000
"""Imported runs have no rounds; they are assigned to rounds of five minutes."""
VPN = "vpn"
"""The network type of a run over a virtual private network."""


class SitePage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The page that a request of a site led to, after all redirects."""

    host: str = ""
    """The host that showed it; empty for the helper, which does not tell."""
    via: str = ""
    """The address that the first request went to."""
    proven: bool = False
    """It came over TLS, with a valid certificate of its host."""
    status: int = 0
    title: str = ""
    """Without addresses, which may be the reader's."""
    server: str = ""
    known: tuple[str, ...] = ()
    """Ids of the phrases of block pages in it."""
    shape: PageShape = PageShape()


class Helper(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What OONI's test helper found."""

    name: str = ""
    """The site's host."""
    dns_failure: str | None = None
    addresses: tuple[str, ...] = ()
    """What the host resolves to there."""
    tcp: dict[str, bool] = {}
    """Whether it could connect to each `address:port`; it tries the run's addresses too."""
    tls: dict[str, bool] = {}
    """Whether a handshake with the site's name passed there; empty before version 0.5."""
    http: bool | None = None
    """Whether the site answered its request; None when it did not ask."""
    page: SitePage | None = None
    """What the site showed it, where the run's page can be compared with it."""

    def reaches(self) -> bool:
        """Whether the site works for the helper. Its connects say nothing of that: they also go to
        the run's addresses, forged ones included."""
        return any(self.tls.values()) if self.http is None else self.http


class RunRecord(msgspec.Struct, frozen=True):
    """The whole run."""

    passed: int = -1
    """Steps that were answered, for any target; -1 when not known."""
    steps: int = 0
    own_authority: bool = False
    """The service has its own certificate authority, and old probes do not know its newer roots: an
    invalid certificate means nothing."""
    test_name: str = ""
    test_version: str = ""
    network_type: str = ""
    helper: Helper | None = None
    page: SitePage | None = None
    """What a request in clear text led to: anyone on the way may have answered it."""

    @property
    def method(self) -> str:
        """Name and version of the test. An old version may fail everywhere, because the service has
        moved on, and then only runs of the same version can be compared."""
        return f"{self.test_name} {self.test_version}".strip()


_record = msgspec.json.Decoder(RunRecord)


class DecodedRecord(RunRecord, frozen=True, tag_field="step", tag=RUN_STEP):
    """A record that was decoded with the other observations, without all that is not read."""


def record_of(observations: Iterable[object]) -> RunRecord:
    """The record of the whole run; empty when there is none."""
    for observation in observations:
        if isinstance(observation, DecodedRecord):
            return observation
        if isinstance(observation, Unrecognised) and observation.step == RUN_STEP:
            try:
                return _record.decode(observation.raw)
            except msgspec.DecodeError:
                break
    return RunRecord()
