# SPDX-License-Identifier: Apache-2.0
"""Imported events describe a whole incident: networks that joined stay named, and the onset is that
of the network that failed first, even if few measurements made it certain only later.

Our own events name the networks that see the block now, for people who are paged. Imported events
are read afterwards: which networks were affected, and since when.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from monitor.detection.events.imported.suspicions import densest
from monitor.detection.events.state import ImportedRuns, Suspicion
from monitor.detection.model import Event


def spans_since(
    runs: ImportedRuns | None, suspicions: Collection[Suspicion]
) -> tuple[tuple[int, int, int], ...]:
    """When a network failed since the onset (`NetworkEvidence.spans`)."""
    onset = min((held.onsets[densest(held)] for held in suspicions), default=0)
    return tuple(
        (max(first, onset), last, again)
        for first, last, again in (runs.spans if runs is not None else ())
        if last >= onset
    )


def whole_incident(old: Event, new: Event, sure: Collection[tuple[str, int]]) -> Event:
    """The event's new form with what its old form contained. `sure`: (target, network) of series
    that may move the onset back."""
    networks = {(evidence.target, evidence.asn): evidence for evidence in old.networks}
    joined = [
        evidence for evidence in new.networks if (evidence.target, evidence.asn) not in networks
    ]
    for evidence in new.networks:
        before = networks.get((evidence.target, evidence.asn), evidence)
        # After the block, isolated failures before it may weigh more than the block itself.
        began = evidence.spans[0][0] if evidence.spans else 0
        earlier = tuple(span for span in before.spans if span[1] < began)
        networks[evidence.target, evidence.asn] = replace(
            evidence, onset=before.onset, spans=(*earlier, *evidence.spans)
        )
    asns = tuple(sorted({*old.asns, *new.asns}))
    onset = min(
        [
            old.onset,
            *(evidence.onset for evidence in joined if (evidence.target, evidence.asn) in sure),
        ]
    )
    first = new.onset_earliest if new.onset == onset else onset
    return replace(
        new,
        targets=tuple(sorted({*old.targets, *new.targets})),
        asns=asns,
        onset=onset,
        onset_earliest=first if onset < old.onset else old.onset_earliest,
        onset_latest=old.onset_latest,
        agreeing=len(asns),
        total=max(new.total, len(asns)),
        networks=tuple(networks[key] for key in sorted(networks)),
        against=tuple(word for word in new.against if word != "one_network" or len(asns) == 1),
    )
