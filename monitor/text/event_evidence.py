# SPDX-License-Identifier: Apache-2.0
"""What an event rests on, in sentences: how many see it, the reasons for it and against it.

Pure. Every remark of the detector has its text here, which a test checks.
"""

from __future__ import annotations

from monitor.detection.events import contrasts
from monitor.detection.events.hypotheses import REMARKS, surest_networks
from monitor.detection.model import Event, EventState, Tier, Votes
from monitor.detection.policy import Policy
from monitor.text.event_sources import in_networks, is_imported, seen, witnesses
from monitor.text.event_state import (
    data_end,
    ended,
    gate,
    last_failure,
    length,
    reopened,
    tier_word,
)
from monitor.text.event_subject import OtherFunctions, function, functions, of_a_part
from monitor.text.language import _, grouped, n_
from monitor.text.network_names import network
from monitor.text.words import (
    TABLES,
    between,
    country,
    duration_text,
    number,
    plural,
    sentence,
    technique,
    when,
)

NO_OTHERS = OtherFunctions()
MOST_SHOWN = 2
"""Answers from elsewhere, or techniques, that are told."""
AGAINST, TIERS = TABLES["against"], TABLES["sureness"]
_INSTEAD_OF_CONTROL = {
    "control_by_helper",
    "control_by_runs_of_others",
    "control_by_other_networks",
}
_SAID_BY = {
    "no_control": _INSTEAD_OF_CONTROL,
    "few_vantages": {"no_quorum_for_imports"},
    "one_owner": {"no_quorum_for_imports"},
}
"""Remarks that say too much beside others: the service did not fail for those it was compared
with, and how many vantages or owners imported measurements are of is not known."""


def scope(event: Event, now: int | None, *, watched: bool = True) -> str:
    """Share of vantages, sureness and time: the first line together with the headline. Without
    `now` nothing is said of how long it has lasted, in what is kept and read later. `watched`:
    whether what it is about is measured there now."""
    told = {"seen": witnesses(event), "control": _control(event)}
    tier = sentence(_(TIERS[event.tier]))
    if event.state is EventState.CLEARING:
        tier = _("Clearing (was %(state)s)", state=_(TIERS[event.tier]))
    elif event.state is EventState.RETRACTED:
        tier = sentence(_retracted(event))
    elif reopened(event):
        tier = _("%(state)s, reopened", state=tier)
    end = ended(event)
    if event.state is EventState.RETRACTED and event.ended_latest is None and end is not None:
        # It was taken back while it was still seen: that is no end of what was seen.
        return _(
            "%(state)s: %(seen)s, %(control)s; first seen %(begin)s, retracted %(time)s.",
            state=tier,
            **told,
            begin=when(event.onset),
            time=when(end),
        )
    if end is not None:
        if event.state is EventState.CLOSED:
            # The headline says that it is reachable again; "confirmed" alone would be said of that.
            tier = _("Was %(state)s", state=tier_word(event))
        return _(
            "%(state)s: %(seen)s, %(control)s; %(time)s (%(length)s).",
            state=tier,
            **told,
            time=between(event.onset, end),
            length=length(event),
        )
    if (last := data_end(event)) is not None:
        return _(
            "%(state)s: %(seen)s, %(control)s; open at the end of the data (%(time)s).",
            state=tier,
            **told,
            time=when(last),
        )
    if not watched and (last := last_failure(event)) is not None:
        return _(
            "%(state)s: %(seen)s, %(control)s; since %(time)s, last seen %(last)s. Nobody measures "
            "it there now.",
            state=tier,
            **told,
            time=when(event.onset),
            last=when(last),
        )
    if now is None:
        return _(
            "%(state)s: %(seen)s, %(control)s; since %(time)s.",
            state=tier,
            **told,
            time=when(event.onset),
        )
    return _(
        "%(state)s: %(seen)s, %(control)s; since %(time)s (%(length)s).",
        state=tier,
        **told,
        time=when(event.onset),
        length=duration_text(now - event.onset),
    )


def _retracted(event: Event) -> str:
    return _("retracted (was %(state)s)", state=_(TIERS[event.tier]))


def _control(event: Event) -> str:
    return _("control fine") if event.control == "ok" else _("no control")


def manner(event: Event) -> str:
    """How it is blocked, in a sentence; of a retracted event why it was retracted."""
    how = _techniques(event)
    if event.state is EventState.RETRACTED:
        if event.inhibited_by:
            why = gate(event.inhibited_by)
            return _("Retracted because %(why)s. What had been seen: %(how)s.", why=why, how=how)
        return _("Retracted. What had been seen: %(how)s.", how=how)
    return f"{sentence(how)}."


def _techniques(event: Event) -> str:
    """The techniques that its networks show, that of the event first; with the functions that show
    it where there are several."""
    shown_by: dict[str, set[str]] = {event.technique: set()}
    for shown in event.networks:
        if shown.technique and shown.tier is not Tier.UNCONFIRMED:
            shown_by.setdefault(shown.technique, set()).add(function(shown.target))
    if len(shown_by) == 1 or not shown_by[event.technique]:
        return technique(event.technique)
    named = [
        _("%(how)s (%(functions)s)", how=technique(id), functions=", ".join(sorted(here)))
        for id, here in list(shown_by.items())[:MOST_SHOWN]
    ]
    left = len(shown_by) - len(named)
    return "; ".join([*named, *([_("%(n)s more", n=left)] if left else [])])


def weaker(event: Event) -> str:
    """That a block lets more pass than at first, in a sentence; empty where it does not."""
    shares = [
        (network.present_per_mille, network.dense_per_mille)
        for network in event.networks
        if network.tier is event.tier
    ]
    told = [now for now, all_of_it in shares if now is not None and 3 * now < 2 * all_of_it]
    if not event.ongoing or not told or len(told) < len(shares):
        return ""
    return _(
        "Weaker than at first: %(share)s %% of the measurements of those who saw it fail now.",
        share=round(max(told) / 10),
    )


def end_range(event: Event) -> str:
    """Between which times a block ended, in a sentence; empty when that is not known."""
    if event.ended_earliest is None or event.ended_latest is None:
        return ""
    return _(
        "It ended between %(first)s and %(last)s.",
        first=when(event.ended_earliest),
        last=when(event.ended_latest),
    )


def doubts(event: Event, apart: OtherFunctions = NO_OTHERS) -> list[str]:
    """Reasons against the event, in sentences, other explanations first; never empty. `apart` are
    the service's functions that are not part of it."""
    sentences = [
        _(AGAINST[remark]) if remark in AGAINST else sentence(remark.replace("_", " ")) + "."
        for remark in sorted(event.against, key=lambda remark: remark not in REMARKS)
        if not _SAID_BY.get(remark, set()) & set(event.against)
    ]
    if missing := _unconfirmed(event):
        sentences.append(missing)
    silent = event.total - event.agreeing
    if silent > 0 and is_imported(event):
        sentences.append(_("The newest runs there do not show it."))
    elif silent > 0:
        sentences.append(
            n_(
                "%(silent)s of %(n)s vantage there did not see it.",
                "%(silent)s of %(n)s vantages there did not see it.",
                event.total,
                silent=number(silent, True),
            )
        )
    if of_a_part(event):
        sentences.append(_("A part of the service is still reachable there."))
    if event.state is EventState.CLEARING:
        sentences.append(
            _(
                "Now %(seen)s see it: most of those affected vantages can reach it again. It ends "
                "when that has lasted.",
                seen=seen(event.now.agreeing, event.now.total),
            )
        )
    if apart.measured:
        sentences.append(
            _(
                "Affected: %(its)s; measured as well: %(others)s.",
                its=functions(event),
                others="; ".join(others_measured(apart)),
            )
        )
    if event.inhibited_by:
        why = gate(event.inhibited_by)
        if event.state is EventState.RETRACTED:
            said = _("It was retracted: %(why)s.", why=why)
        elif event.stands:
            said = _("It stays, because it was confirmed before; but at present: %(why)s.", why=why)
        else:
            said = _("No alert is sent for it: %(why)s.", why=why)
        sentences.append(said)
    return sentences or [_("No measurement contradicts it.")]


def others_measured(apart: OtherFunctions) -> list[str]:
    """`messaging, reachable in 24 of 24 measurements meanwhile`."""
    return [
        n_(
            "%(function)s, reachable in %(reached)s of %(n)s measurement meanwhile",
            "%(function)s, reachable in %(reached)s of %(n)s measurements meanwhile",
            count.judged,
            function=name,
            reached=grouped(count.reached),
        )
        for name, count in apart.measured
    ]


def _unconfirmed(event: Event) -> str:
    """What a likely event lacks for confirmation; empty for others, and where it can never be
    confirmed."""
    waits = event.state is EventState.OPEN and event.tier is Tier.LIKELY
    if "no_quorum_for_imports" in event.against or not waits or event.inhibited_by:
        return ""
    if "network_divided" in event.against:
        return _("A block of a part of a network is not confirmed on that alone.")
    policy = Policy(pace=event.pace)
    untyped = "untyped" in event.against
    confirmation = policy.confirmation
    hold = confirmation.confirm_plain_seconds if untyped else confirmation.confirm_signature_seconds
    return _(
        "It is not confirmed: that needs vantages of %(few)s to %(many)s owners in one network, "
        "and that it holds for %(time)s, by the times at which their measurements arrived as well.",
        few=number(confirmation.confirm_min_owners),
        many=number(confirmation.confirm_most_owners),
        time=duration_text(policy.ms(hold)),
    )


def reasons(event: Event) -> list[str]:
    """Reasons for the event, in sentences."""
    sentences = [in_networks(event)]
    owners = max((network.owners for network in event.rests_on), default=0)
    if owners > 1:
        sentences.append(
            _("They belong to %(n)s owners who measure independently.", n=number(owners))
        )
    sentences += [
        _(
            "The address %(address)s, which fails there, answered elsewhere: %(network)s, "
            "%(country)s, %(time)s.",
            address=answer.address,
            network=network(answer.asn),
            country=country(answer.country),
            time=when(answer.at),
        )
        for answer in contrasts.path_proof(event)[:MOST_SHOWN]
    ]
    if event.control == "ok":
        sentences.append(_("The control reached the service in the same rounds."))
    sentences += [
        _(
            "OONI's runs reached it in %(networks)s of %(countries)s between %(first)s and "
            "%(last)s.",
            networks=n_("%(n)s network", "%(n)s networks", told.networks),
            countries=n_("%(n)s country", "%(n)s countries", told.countries),
            first=when(told.first),
            last=when(told.last),
        )
        for told in [network.stand_in for network in surest_networks(event)][:1]
        if told is not None
    ]
    total = sum(n for _, n in event.rule_counts)
    if total:
        sentences.append(
            n_(
                "%(n)s measurement since the onset failed this way.",
                "%(n)s measurements since the onset failed this way.",
                total,
            )
        )
    if event.tier is Tier.CONFIRMED and event.confirmed is not None:
        sentences.append(_("It lasted and was confirmed on %(time)s.", time=when(event.confirmed)))
    # The same address may have answered twice within a minute.
    return list(dict.fromkeys(sentences))


def terms(event: Event) -> list[tuple[str, str, int]]:
    """(term, words, tenths) of the bars beside the confidence."""
    share = round(10 * event.agreeing / event.total) if event.total else 0
    total = sum(n for _, n in event.rule_counts)
    agreement = [(_("agreement"), seen(event.agreeing, event.total), share)]
    return [
        *(() if is_imported(event) else agreement),
        (
            _("control"),
            _("fine") if event.control == "ok" else _("none"),
            10 * (event.control == "ok"),
        ),
        (_("repeatability"), plural(total, "measurement"), min(10, total)),
        (
            _("signature"),
            _("not typical") if "untyped" in event.against else _("typical of interference"),
            3 if "untyped" in event.against else 10,
        ),
    ]


def confidence_summary(event: Event) -> str:
    """`confirmed: 4 of 4 vantages, control fine`."""
    tier = _(TIERS[event.tier])
    if event.state is EventState.RETRACTED:
        tier = _retracted(event)
    votes = witnesses(event) if is_imported(event) else seen(event.agreeing, event.total)
    differs = event.ongoing and event.now != Votes(event.agreeing, event.total)
    if differs and event.now.total and not is_imported(event):
        votes = _(
            "%(seen)s at the peak, %(n)s of %(total)s now",
            seen=votes,
            n=event.now.agreeing,
            total=event.now.total,
        )
    return _(
        "%(state)s: %(seen)s, %(control)s",
        state=tier,
        seen=votes,
        control=_control(event),
    )
