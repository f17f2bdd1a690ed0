from __future__ import annotations

import pytest

from probes.catalogue.load import load
from probes.catalogue.selection import select
from probes.catalogue.table import CatalogueError
from probes.wire.target import Catalogue

SHIPPED = load()


def ids(catalogue: Catalogue) -> set[str]:
    return {target.id for target in catalogue.targets}


def test_everything_when_nothing_is_asked() -> None:
    assert select(SHIPPED) == SHIPPED


def test_services_and_targets_add_up_and_the_rest_stays() -> None:
    chosen = select(SHIPPED, services=["wechat"], targets=["telegram/dc"])
    assert ids(chosen) == {i for i in ids(SHIPPED) if i.startswith("wechat/")} | {"telegram/dc"}
    assert chosen.liveness == SHIPPED.liveness
    assert chosen.resolvers == SHIPPED.resolvers
    assert chosen.version == SHIPPED.version


def test_only_and_excluded_take_ids_of_either_kind() -> None:
    assert ids(select(SHIPPED, only=["linkedin", "signal/chat"], excluded=["linkedin/web"])) == {
        "linkedin/messaging", "linkedin/media", "linkedin/links", "linkedin/web-cn",
        "linkedin/login", "linkedin/api", "linkedin/api-public", "linkedin/static", "signal/chat",
    }  # fmt: skip


def test_an_unknown_id_is_refused_with_the_nearest() -> None:
    for asked, line in (
        ({"services": ["wechta"]}, "no service 'wechta' in this catalogue, did you mean wechat?"),
        ({"targets": ["telegram"]}, "no target 'telegram' in this catalogue"),
        ({"only": ["signal/chta"]}, "did you mean signal/chat?"),
        ({"excluded": ["\n"]}, "no service or target '\\n' in this catalogue"),
    ):
        with pytest.raises(CatalogueError) as caught:
            select(SHIPPED, **asked)
        assert line in str(caught.value)


def test_nothing_left_is_refused() -> None:
    with pytest.raises(CatalogueError, match="nothing is left"):
        select(SHIPPED, services=["wechat"], excluded=["wechat"])
