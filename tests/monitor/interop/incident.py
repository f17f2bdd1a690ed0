"""An incident as OONI's files tell one, made up: three networks, one of them blocks for days."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from tests.monitor.interop.samples import DC, cells, web_cells

BEGIN = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
BLOCK_FROM, BLOCK_TO = 24 * 6, 24 * 9
HOURS = 24 * 14
NETWORKS = (64500, 64501, 64502)
BLOCKING = 64500


def incident() -> Iterator[dict[str, str]]:
    """Rows of about one run an hour and network, with the usual strays and gaps."""
    for hour in range(HOURS):
        for place, asn in enumerate(NETWORKS):
            if (hour * 7 + place * 3) % 5 == 0 or (asn == BLOCKING and hour % 24 in (2, 3, 4, 5)):
                continue  # nobody is awake
            at = BEGIN + dt.timedelta(hours=hour, minutes=17 * place)
            blocked = asn == BLOCKING and BLOCK_FROM <= hour < BLOCK_TO
            stray = (hour * 31 + asn) % 97 == 0
            own = {
                "report_id": f"{at:%Y%m%dT%H%M%SZ}_telegram_KE_{asn}_n1_x",
                "measurement_uid": f"{at:%Y%m%d%H%M%S}_{asn}",
                "measurement_start_time": f"{at:%Y-%m-%d %H:%M:%S}+00:00",
                "probe_asn": str(asn),
                "resolver_asn": str(asn),
            }
            for n, address in enumerate(DC):
                dead = (blocked and n > 0) or (stray and n == 0)
                yield cells(
                    ip=address,
                    port="443.0",
                    tcp_success="0.0" if dead else "1.0",
                    tcp_failure="generic_timeout_error" if dead else "",
                    **own,
                )
            if blocked:
                yield web_cells("192.168.7.222", "generic_timeout_error", **own)
            else:
                yield web_cells(**own)
