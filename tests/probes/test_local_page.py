import pytest

from probes.catalogue.load import load
from probes.contributions import Contribution
from probes.local_http import PageReply, PageRequest
from probes.local_page import reply
from probes.summary import Cause, FunctionSummary
from probes.words import LANGUAGES, say
from tests.probes.test_status import NOW, probe_status

FOUND = (
    FunctionSummary("wechat/messaging", True),
    FunctionSummary("wechat/web", False, Cause("reset", "TLS ", by_name=True)),
    FunctionSummary("line/web", False, Cause("other", detail="<script>")),
)


def shown(
    language: str = "en", host: str = "127.0.0.1:8077", path: str = "/", **status: object
) -> PageReply:
    return reply(
        PageRequest("GET", path, {"host": host, "accept-language": language}),
        status=probe_status(**status),
        problem="",
        catalogue=load(),
        found=FOUND,
    )


def test_the_page_says_what_was_seen() -> None:
    page = shown(month_spent_bytes=12_000_000, measured_ms=NOW)
    assert page.status == "200 OK"
    assert "WeChat: messaging works; web: TLS connection reset when the name appears" in page.body
    assert "12 MB so far" in page.body
    assert "<script" not in page.body
    assert "script-src" not in page.headers
    assert "default-src 'none'" in page.headers


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_speaks_the_volunteers_language(language: str) -> None:
    page = shown(language, offline=True)
    assert f'lang="{language}"' in page.body
    assert say(language, "title").replace("'", "&#x27;") in page.body
    assert say(language, "is_offline") in page.body
    assert "WeChat" not in page.body, "all functions fail on a machine that is offline"


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_says_what_measurements_of_this_probe_showed_others(language: str) -> None:
    title = say(language, "for_others").replace("'", "&#x27;")
    assert title not in shown(language).body
    told = Contribution(event="a", service="wechat", country="RU", began="2026-11-29", vantages=3)
    for offline in (False, True):
        page = shown(language, contributions=(told,), offline=offline).body
        assert f"<h2>{title}</h2><ul><li>WeChat (RU)" in page


def test_a_revoked_and_a_paused_probe() -> None:
    asked = PageRequest("GET", "/", {"host": "localhost", "accept-language": "ru"})
    page = reply(
        asked, status=probe_status(), problem=say("en", "revoked"), catalogue=load(), found=()
    )
    assert say("ru", "revoked") in page.body
    assert say("ru", "nothing_yet") in page.body
    assert say("en", "is_paused") in shown(paused=True).body


@pytest.mark.parametrize("host", ["evil.test", "evil.test:8077", "", "192.0.2.1:8077"])
def test_a_name_that_is_not_loopbacks_is_refused(host: str) -> None:
    assert shown(host=host).status.startswith("403")


@pytest.mark.parametrize("host", ["localhost:1", "localhost", "[::1]:8077", "[::1]"])
def test_loopback_names(host: str) -> None:
    assert shown(host=host).status == "200 OK"
    assert shown(host=host, path="/x").status.startswith("404")
