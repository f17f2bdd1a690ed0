# SPDX-License-Identifier: Apache-2.0
"""Our own small set, each entry with its source and date. Ids are never renamed.

Facts about providers are from two public collections, named by their rows:
ooni = github.com/ooni/blocking-fingerprints, fingerprints_{http,dns}.csv at commit 01f6ac3d;
cl = github.com/citizenlab/filtering-annotations, data/v1 at commits 08c7c1bc and 0610d7aa.
Both were read on 2026-11-25. Phrases of block pages are in `probes.wire.block_pages`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Known:
    """A host, name or address that serves block pages."""

    id: str
    what: str
    scope: str
    """`isp` or `nat`."""
    source: str
    countries: tuple[str, ...] = ()
    """Where it counts; empty: everywhere. A host that only censors redirect to counts everywhere; a
    name or address in a DNS answer only where it was observed."""


HOSTS: tuple[Known, ...] = (
    Known("id.positif.host", "internet-positif.org", "nat", "ooni.id_0; 2026-11-25"),
    Known("id.uzone.host", "internetpositif.uzone.id", "nat", "ooni.id_1; 2026-11-25"),
    Known("id.mercusuar.host", "mercusuar.uzone.id", "nat", "ooni.id_2; 2026-11-25"),
    Known("id.trustpositif.host", "trustpositif.kominfo.go.id", "nat", "ooni.id_95; 2026-11-25"),
    Known("ir.peyvandha.host", "peyvandha.ir", "nat", "ooni.ir_3; 2026-11-25"),
    Known("ru.eais.host", "eais.rkn.gov.ru", "nat", "ooni.ru_5; 2026-11-25"),
    Known(
        "ru.beeline.host",
        "blackhole.beeline.ru",
        "isp",
        "Beeline: cl isp_ru_beeline_blackhole_forward; 2026-11-25",
    ),
    Known("ru.rt.host", "warning.rt.ru", "nat", "Rostelecom: ooni.ru_6; 2026-11-25"),
    Known("ru.rt_block.host", "block.rt.ru", "isp", "Rostelecom: ooni.ru_25; 2026-11-25"),
    Known("ru.ttk.host", "fz139.ttk.ru", "isp", "TTK: ooni.ru_29; 2026-11-25"),
    Known("ru.mgts.host", "blocked.mgts.ru", "isp", "MGTS: ooni.ru_17; 2026-11-25"),
    Known("kr.warning.host", "warning.or.kr", "nat", "ooni.kr_1, ooni.kr_2; 2026-11-25"),
    Known("ae.restricted.host", "lighthouse.du.ae", "isp", "du: ooni.ae_2; 2026-11-25"),
    Known("kw.zain.host", "restrict.kw.zain.com", "isp", "Zain: ooni.kw_0; 2026-11-25"),
    Known("uz.reestr.host", "reestr.mitc.uz", "nat", "ooni.uz_0; 2026-11-25"),
)
_CN = "published reply of the Great Firewall"
ADDRESSES: tuple[Known, ...] = (
    Known("ir.10_10_34_34", "10.10.34.34", "nat", "ooni.ir_4; 2026-11-25", ("IR",)),
    Known("ir.10_10_34_35", "10.10.34.35", "nat", "ooni.ir_5; 2026-11-25", ("IR",)),
    Known("cn.8_7_198_45", "8.7.198.45", "nat", f"{_CN}: ooni.cn_0; 2026-11-25", ("CN",)),
    Known("cn.37_61_54_158", "37.61.54.158", "nat", f"{_CN}: ooni.cn_1; 2026-11-25", ("CN",)),
    Known("cn.46_82_174_68", "46.82.174.68", "nat", f"{_CN}: ooni.cn_2; 2026-11-25", ("CN",)),
    Known("cn.78_16_49_15", "78.16.49.15", "nat", f"{_CN}: ooni.cn_3; 2026-11-25", ("CN",)),
    Known("cn.93_46_8_89", "93.46.8.89", "nat", f"{_CN}: ooni.cn_4; 2026-11-25", ("CN",)),
    Known("mn.crc", "218.100.84.78", "nat", "ooni.mn_0; 2026-11-25", ("MN",)),
    Known("my.violates", "175.139.142.25", "nat", "ooni.my_2; 2026-11-25", ("MY",)),
    Known("th.mdes", "125.26.170.3", "nat", "ooni.th_9; 2026-11-25", ("TH",)),
    Known("tr.poison", "195.175.254.2", "nat", "since 2014: ooni.tr_6; 2026-11-25", ("TR",)),
    Known("mm.transport", "167.172.4.60", "nat", "ooni.mm_3; 2026-11-25", ("MM",)),
)
NAMES: tuple[Known, ...] = (
    Known("id.positif.alias", "internet-positif.org", "isp", "ooni.id_44; 2026-11-25", ("ID",)),
    Known(
        "id.trustpositif.alias", "trustpositif.kominfo.go.id", "nat", "ooni.id_95; 2026-11-25",
        ("ID",),
    ),
    Known("id.xl.alias", "blockpage.xl.co.id", "isp", "ooni.id_51; 2026-11-25", ("ID",)),
)  # fmt: skip
"""Aliases in DNS answers."""
