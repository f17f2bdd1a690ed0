"""The data: (id, what, source). Ids are never renamed. Patterns are regular expressions over the
title and the first 2,048 bytes, without regard to case.

Phrases name the act of blocking by an authority or operator, not a mere refusal: "403 Forbidden"
or "access denied" of a content network must not match.
"""

PHRASES: tuple[tuple[str, str, str], ...] = (
    (
        "en.blocked_by_order",
        r"\b(?:blocked|restricted|banned|prohibited)\b.{0,80}\b(?:by|under|on|per|pursuant to)\b"
        r".{0,60}\b(?:order|law|court|government|ministry|regulator|authorit(?:y|ies)"
        r"|department of telecommunications)\b",
        "wording common to national block pages; general knowledge, 2026-11",
    ),
    (
        "en.site_blocked",
        r"\b(?:this |the requested |requested )(?:web ?site|site|resource|page|url|service)"
        r"(?:\s\S{1,80})?\s(?:is|has been|was)\s(?:temporarily |currently )?"
        r"(?:blocked|banned|prohibited|not allowed|not available in your country)\b",
        "wording common to operators' block pages; general knowledge, 2026-11",
    ),
    (
        "en.access_blocked",
        r"\baccess to (?:this|the)\b.{0,60}\b(?:has been|is)\s(?:blocked|restricted|prohibited)\b",
        "wording common to operators' block pages; general knowledge, 2026-11",
    ),
    (
        "en.blocked_title",
        r"\A\s*(?:(?:access|web ?site|site|web ?page|page|content|url|domain|service)\s"
        r"(?:is\s|has been\s)?)?(?:blocked|restricted|prohibited|banned)\s*[.!]?\s*$",
        "titles of operators' block pages; general knowledge, 2026-11",
    ),
    (
        "en.noun_blocked",
        r"\b(?:web ?site|site|web ?page|page|resource|domain|url|content)\b"
        r"(?:(?!\.\s)[^<>\n]){0,40}?"
        r"\b(?:is|has been|was)\s(?:\w+\s)?(?:blocked|restricted|banned|prohibited)\b",
        "wording common to operators' block pages; general knowledge, 2026-11",
    ),
    (
        "ru.access_restricted",
        r"доступ\s(?:к\s.{0,80})?(?:ограничен|заблокирован|запрещ[её]н)|ресурс\sзаблокирован",
        "Russian operators, wording required by Federal Law 149-FZ; general knowledge, 2026-11",
    ),
    (
        "ru.registry",
        r"eais\.rkn\.gov\.ru|blocklist\.rkn\.gov\.ru",
        "link to Roskomnadzor's registry on Russian block pages; general knowledge, 2026-11",
    ),
    (
        "ir.frame",
        r"<iframe[^>]+src=\"?https?://10\.10\.34\.3[4-6]",
        "Iran: frame with a private address (OONI/FOCI papers since 2013), 2026-11",
    ),
    (
        "tr.order",
        r"eri[sş]im\s?(?:e)?\s?engellenmi[sş]tir|5651\s(?:say[iı]l[iı])",
        "Turkey: wording of Law 5651; general knowledge, 2026-11",
    ),
    (
        "id.positif",
        r"internet\s?positif|trust\s?positif",
        "Indonesia: Internet Positif / TrustPositif; general knowledge, 2026-11",
    ),
    (
        "it.monopoli",
        r"accesso\sal\s(?:presente\s)?sito.{0,60}inibito|sito\ssottoposto\sa\ssequestro",
        "Italy: seizure and AGCOM notices; general knowledge, 2026-11",
    ),
    (
        "ar.blocked",
        r"(?:تم|لقد تم)\s?(?:حجب|حظر)|هذا الموقع (?:محجوب|غير متاح)",
        "Arabic wording of Gulf states' block pages; general knowledge, 2026-11",
    ),
)
HOSTS: tuple[tuple[str, str, str], ...] = (
    ("id.positif.host", "internetpositif.id", "Indonesia; general knowledge, 2026-11"),
    ("id.trustpositif.host", "trustpositif.kominfo.go.id", "Indonesia; general knowledge, 2026-11"),
    ("id.aduankonten.host", "aduankonten.id", "Indonesia; general knowledge, 2026-11"),
    ("ir.peyvandha.host", "peyvandha.ir", "Iran; general knowledge, 2026-11"),
    ("ru.rkn.host", "blocklist.rkn.gov.ru", "Russia; general knowledge, 2026-11"),
    ("ru.eais.host", "eais.rkn.gov.ru", "Russia; general knowledge, 2026-11"),
    ("ru.beeline.host", "blackhole.beeline.ru", "Russia, Beeline; general knowledge, 2026-11"),
    ("ru.mts.host", "blocked.mts.ru", "Russia, MTS; general knowledge, 2026-11"),
    ("ru.rt.host", "warning.rt.ru", "Russia, Rostelecom; general knowledge, 2026-11"),
    ("kr.warning.host", "warning.or.kr", "South Korea, KCSC; general knowledge, 2026-11"),
    ("ae.restricted.host", "lighthouse.du.ae", "UAE, du; general knowledge, 2026-11"),
)
ADDRESSES: tuple[tuple[str, str, str], ...] = (
    ("ir.10_10_34_34", "10.10.34.34", "Iran, block page in private space; OONI 2014 onwards"),
    ("ir.10_10_34_35", "10.10.34.35", "Iran, the same"),
    ("ir.10_10_34_36", "10.10.34.36", "Iran, the same"),
    ("kr.warning", "121.189.57.82", "South Korea, warning.or.kr; general knowledge, 2026-11"),
)
