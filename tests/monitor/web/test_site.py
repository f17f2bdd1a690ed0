from __future__ import annotations

import dataclasses

import pytest

from monitor.web.site import Site


async def test_a_site_knows_its_services_and_does_not_change(site: Site) -> None:
    found = site.service("wechat")
    assert found is not None
    assert found.name == "WeChat"
    assert site.service("nosuch") is None
    with pytest.raises(dataclasses.FrozenInstanceError):
        site.public_url = "x"  # type: ignore[misc]
