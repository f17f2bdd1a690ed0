"""A visitor walks from the overview to a raw witness of a block in two clicks, and back again:
with and without JavaScript, in both themes, on a phone and on a desk, in every language.
"""

from __future__ import annotations

import pytest

from tests.monitor.web.browsing import complaints, each_language, speak
from tests.world import site as world
from tests.world.browser import Tab

pytestmark = [
    pytest.mark.browser,
    pytest.mark.needs("chromium", "chromium-driver", "fonts-dejavu-core"),
]


@pytest.mark.parametrize("language", each_language())
@pytest.mark.parametrize(
    ("scripts", "dark"),
    [
        (True, False),
        (False, True),
        pytest.param(True, True, marks=pytest.mark.rest),
        pytest.param(False, False, marks=pytest.mark.rest),
    ],
)
def test_two_clicks_lead_to_a_raw_witness(
    tab: Tab, address: str, scripts: bool, dark: bool, language: str
) -> None:
    speak(tab, language)
    tab.call("Emulation.setScriptExecutionDisabled", value=not scripts)
    for width in (390, 1280):
        tab.look(width, dark=dark)
        tab.go(address)
        assert tab.nodes(f"html[lang={language}]")
        assert "WeChat" in tab.text("h1")
        assert "AS64501" in tab.text(f"#open ~ .rows .row:has(a[href='/e/{world.CONFIRMED}'])")

        tab.follow(f"#open ~ .rows a[href='/e/{world.CONFIRMED}']")
        assert tab.address() == f"{address}/e/{world.CONFIRMED}"
        assert "WeChat" in tab.text("h1")
        assert "tls.reset.sni" in tab.text("dl.facts")
        assert tab.nodes("#against")

        tab.follow("#witnesses ~ ul a[href^='/m/']")
        assert f"{address}/m/" in tab.address()
        assert "WeChat" in tab.text("h1")
        assert tab.nodes(".step-row.fail")
        # The bytes that the probe sent are on this page, folded.
        tab.click("details.raw summary")
        assert tab.nodes("details.raw[open]")
        assert '"target":"wechat/web"' in tab.text("details.raw pre")

        tab.follow(f"dl.facts a[href='/e/{world.CONFIRMED}']")
        assert tab.address() == f"{address}/e/{world.CONFIRMED}"
        tab.back()
        assert f"{address}/m/" in tab.address()
        tab.back()
        assert tab.address() == f"{address}/e/{world.CONFIRMED}"
        tab.back()
        assert tab.address() == f"{address}/"
        assert not tab.heard("Network.loadingFailed")
        assert complaints(tab) == []
