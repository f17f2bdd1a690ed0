# SPDX-License-Identifier: Apache-2.0
"""What a visitor chooses on Compare and Explore: several services, countries and networks. All of
it is in the address.
"""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from monitor.web.history import TimeRange
from monitor.web.params import BadParameterError, country_code, network_number
from monitor.web.site import Site

MOST = 12
"""Services, countries or networks chosen at once."""


def _listed(request: web.Request, name: str) -> list[str]:
    """Values of a parameter that may be repeated, or have commas."""
    given = [part.strip() for text in request.query.getall(name, ()) for part in text.split(",")]
    found = list(dict.fromkeys(part for part in given if part))
    if len(found) > MOST:
        raise BadParameterError(f"{name}: at most {MOST} at once")
    return found


def chosen_services(site: Site, request: web.Request) -> list[str]:
    """Ids of services of the catalogue. Raises BadParameterError."""
    found = _listed(request, "service")
    for id in found:
        if site.service(id) is None:
            raise BadParameterError(f"service: {id[:40]!r} is not in the catalogue")
    return found


def chosen_countries(request: web.Request) -> list[str]:
    """Codes of countries. Raises BadParameterError."""
    return list(dict.fromkeys(country_code(text) for text in _listed(request, "country")))


def chosen_networks(request: web.Request) -> list[int]:
    """Numbers of networks. Raises BadParameterError."""
    return list(dict.fromkeys(network_number(text) for text in _listed(request, "asn")))


def addresses(
    request: web.Request,
    span: TimeRange,
    services: Sequence[str],
    countries: Sequence[str],
    asns: Sequence[int] = (),
) -> dict[str, str]:
    """The query of this page, its address at exactly this time, and the query of its data; a list
    of the API takes one service, one country and one network."""
    filters = request.url.without_query_params("lang")
    choice = filters.without_query_params("range", "since", "until").relative()
    one = [
        f"{name}={some[0]}"
        for name, some in (("service", services), ("country", countries), ("asn", asns))
        if len(some) == 1
    ]
    return {
        "filters": filters.query_string,
        "pinned": f"{choice}{'&' if choice.query_string else '?'}{span.fixed}",
        "export": "&".join([*one, span.fixed]),
    }
