# SPDX-License-Identifier: Apache-2.0
"""The condition of a network in words: what is known, and what is not."""

from __future__ import annotations

from monitor.detection.network_condition import Condition, NetworkCondition, Word
from monitor.text import words
from monitor.text.language import _, n_


def sentence(here: NetworkCondition, network: str) -> str:
    """What is known of a network's condition; empty if it is ok, and was, or nobody is there."""
    match here.condition:
        case Condition.OK:
            return _afterwards(here, network) if here.delivered_afterwards else ""
        case Condition.UNKNOWN:
            if not any(here.witnesses.values()):
                return ""
            return _(
                "The monitor hears no probe anywhere, so this network's present state is unknown."
            )
        case Condition.OFFLINE:
            return n_(
                "%(network)s is offline, as %(n)s vantage there measured.",
                "%(network)s is offline, as %(n)s vantages there measured.",
                here.witnesses[Word.OFFLINE],
                network=network,
            )
        case Condition.UNHEARD:
            return _unheard(here, network)


def _afterwards(here: NetworkCondition, network: str) -> str:
    return n_(
        "Delivered afterwards: %(n)s vantage in %(network)s sent up to %(span)s later what it had "
        "measured while the monitor did not hear it.",
        "Delivered afterwards: %(n)s vantages in %(network)s sent up to %(span)s later what they "
        "had measured while the monitor did not hear them.",
        here.delivered_afterwards,
        network=network,
        span=words.duration_text(here.longest_delay),
    )


def _unheard(here: NetworkCondition, network: str) -> str:
    told = here.witnesses[Word.WAYS_FAIL]
    silent = told + here.witnesses[Word.NO_WORD]
    stopped = n_(
        "No word from %(network)s since %(time)s: %(n)s vantage stopped reporting.",
        "No word from %(network)s since %(time)s: %(n)s vantages stopped reporting.",
        silent,
        network=network,
        time=words.exactly(here.onset or 0),
    )
    heard = here.witnesses[Word.HEARD]
    if heard:
        why = n_(
            "%(n)s vantage there reports, so the network as a whole is not offline.",
            "%(n)s vantages there report, so the network as a whole is not offline.",
            heard,
        )
    elif not told:
        why = _(
            "Whether the network is offline, has no way to the monitor, or the machines are off is "
            "not known."
        )
    else:
        why = n_(
            "%(n)s of them had told that a way to the monitor fails there, so the monitor itself "
            "may be blocked.",
            "%(n)s of them had told that ways to the monitor fail there, so the monitor itself "
            "may be blocked.",
            told,
        )
    return f"{stopped} {why}"
