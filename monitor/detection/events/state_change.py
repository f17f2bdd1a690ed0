# SPDX-License-Identifier: Apache-2.0
"""What is new in a state of the detector since an earlier one, and its bytes.

A round replaces the members and tracks of the vantages that reported, and leaves all others the
same objects (`state.changeable`): what is another object is what changed. So a change takes as many
bytes as vantages reported, however many there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from monitor.detection.events.state import (
    DetectorStateError,
    ServiceState,
    TargetNetwork,
    decode,
    unpacked,
)

_Value = TypeVar("_Value")


class StateChange(msgspec.Struct, array_like=True, frozen=True):
    """The difference between two states of a service."""

    state: ServiceState
    """The later one, but of its networks, members, tracks and open events only those that are
    new."""
    replaced: tuple[str, ...] = ()
    """Networks that are whole in it: something of them is gone, or they are new."""
    gone: tuple[str, ...] = ()
    """Networks that are gone."""
    ended: tuple[str, ...] = ()
    """Open events that are gone."""


_decoder = msgspec.msgpack.Decoder(StateChange)


def change_between(old: ServiceState, new: ServiceState) -> StateChange:
    """Return what is new since `old`, a state from which `new` was folded."""
    networks: dict[str, TargetNetwork] = {}
    replaced: list[str] = []
    for key, network in new.networks.items():
        known = old.networks.get(key)
        if known is network:
            continue
        if known is None or _has_lost(known, network):
            networks[key] = network
            replaced.append(key)
        else:
            networks[key] = _new_parts(known, network)
    return StateChange(
        replace(new, networks=networks, open_events=_other(old.open_events, new.open_events)),
        tuple(replaced),
        tuple(old.networks.keys() - new.networks.keys()),
        tuple(old.open_events.keys() - new.open_events.keys()),
    )


def changed(old: ServiceState, change: StateChange) -> ServiceState:
    """Return the state after a change."""
    networks = {key: old.networks[key] for key in old.networks.keys() - set(change.gone)}
    for key, network in change.state.networks.items():
        whole = key in change.replaced
        networks[key] = network if whole else _with_parts(networks[key], network)
    events = {key: old.open_events[key] for key in old.open_events.keys() - set(change.ended)}
    events |= change.state.open_events
    return replace(change.state, networks=_ordered(networks), open_events=_ordered(events))


def members(state: ServiceState) -> int:
    """How many vantages a state has on all its targets: about how large it is."""
    return sum(len(network.members) for network in state.networks.values())


def new_members(old: ServiceState, new: ServiceState) -> int:
    """How many of them are new since `old`: about how large the change is, which takes longer to
    make."""
    count = 0
    for key, network in new.networks.items():
        known = old.networks.get(key)
        if known is not network:
            before = known.members if known is not None else {}
            count += sum(before.get(probe) is not m for probe, m in network.members.items())
    return count


def restored(parts: Sequence[bytes]) -> ServiceState:
    """Return the state whose bytes are the first part (`state.encode`), after the changes whose
    bytes are the others. Raises DetectorStateError."""
    state = decode(parts[0])
    for part in parts[1:]:
        try:
            state = changed(state, unpacked(part, _decoder))
        except KeyError as error:
            raise DetectorStateError(
                f"detector state: a change of what is not there: {error}"
            ) from None
    return state


def _other(old: Mapping[str, _Value], new: Mapping[str, _Value]) -> dict[str, _Value]:
    """What is not the same object."""
    return {key: value for key, value in new.items() if old.get(key) is not value}


def _has_lost(old: TargetNetwork, new: TargetNetwork) -> bool:
    """Whether a member, a layer or a track is gone."""
    if not (old.members.keys() <= new.members.keys() and old.layers.keys() <= new.layers.keys()):
        return True
    layers = new.layers
    return any(
        not series.tracks.keys() <= layers[name].tracks.keys()
        for name, series in old.layers.items()
    )


def _new_parts(old: TargetNetwork, new: TargetNetwork) -> TargetNetwork:
    layers = {}
    for name, series in new.layers.items():
        known = old.layers.get(name)
        tracks = series.tracks if known is None else _other(known.tracks, series.tracks)
        layers[name] = replace(series, tracks=tracks)
    return replace(new, members=_other(old.members, new.members), layers=layers)


def _with_parts(old: TargetNetwork, new: TargetNetwork) -> TargetNetwork:
    return replace(
        new,
        members=_ordered(old.members | new.members),
        layers={
            name: replace(series, tracks=_ordered(old.layers[name].tracks | series.tracks))
            if name in old.layers
            else series
            for name, series in new.layers.items()
        },
    )


def _ordered(values: Mapping[str, _Value]) -> dict[str, _Value]:
    """In the order in which a whole state is decoded."""
    return dict(sorted(values.items()))
