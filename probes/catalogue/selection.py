# SPDX-License-Identifier: Apache-2.0
"""The selected part of a catalogue. Pure; ids are those of services or targets."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from probes.catalogue.syntax import quoted
from probes.catalogue.table import CatalogueError
from probes.wire.target import Catalogue


def select(
    catalogue: Catalogue,
    *,
    services: Collection[str] = (),
    targets: Collection[str] = (),
    only: Collection[str] = (),
    excluded: Collection[str] = (),
) -> Catalogue:
    """Return the catalogue with the chosen targets; resolvers and liveness stay.

    `services` and `targets` add up; `only` and `excluded` hold ids of either kind. With none
    of them everything is chosen. Raises CatalogueError for an id that is not in the catalogue, and
    when nothing is left.
    """
    service_ids = [service.id for service in catalogue.services]
    target_ids = [target.id for target in catalogue.targets]
    _known("service", services, service_ids)
    _known("target", targets, target_ids)
    require_known((*only, *excluded), {*service_ids, *target_ids})
    asked = {*services, *targets}
    kept = []
    for service in catalogue.services:
        chosen = tuple(
            target
            for target in service.targets
            if (not asked or asked & {service.id, target.id})
            and (not only or {service.id, target.id} & set(only))
            and not {service.id, target.id} & set(excluded)
        )
        if chosen:
            kept.append(msgspec.structs.replace(service, targets=chosen))
    if not kept:
        raise CatalogueError("nothing is left to measure: every target is excluded")
    return msgspec.structs.replace(catalogue, services=tuple(kept))


def all_ids(catalogue: Catalogue) -> set[str]:
    """Return the ids of all services and targets."""
    services = {service.id for service in catalogue.services}
    return services | {target.id for target in catalogue.targets}


def require_known(wanted: Iterable[str], ids: Collection[str]) -> None:
    """Raise CatalogueError for an id that is neither a service nor a target."""
    _known("service or target", wanted, ids)


def _known(what: str, wanted: Iterable[str], ids: Collection[str]) -> None:
    for name in wanted:
        if name not in ids:
            import difflib  # for this one line; the daemon runs without

            near = difflib.get_close_matches(name, ids, 1)
            hint = f", did you mean {near[0]}?" if near else ""
            raise CatalogueError(f"no {what} {quoted(name)} in this catalogue{hint}")
