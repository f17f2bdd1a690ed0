# SPDX-License-Identifier: Apache-2.0
"""Rows of what is seen now, as text."""

import pytest

from monitor.detection.events.present import PresentState
from monitor.detection.model import State, Votes
from monitor.text.language import use
from monitor.web.draw import now_rows
from monitor.web.draw.now_rows import LayerCell, LayerRow

WORKS = LayerCell("ok", "works", "2 of 2 vantages")
FAILS = LayerCell("blocked", "blocked", "1 of 2", ("dns.drop", "dns.forged"), "0123456789abcdef")


def layers(*cells: LayerCell | None, name: str = "Signal", countries: bool = False) -> str:
    row = LayerRow("RU", "signal/web-client", name, cells)
    heads = ("DNS", "TLS")[: len(cells)]
    return str(now_rows.layer_rows([row], heads, {"signal"}, countries))


def state(vantages: int = 3, agreeing: int = 2, technique: str | None = None) -> PresentState:
    return PresentState(
        target="signal/web-client",
        country="RU",
        asn=64501,
        state=State.OK,
        technique=technique,
        rule="ok",
        vantages=vantages,
        agreeing=agreeing,
        round=0,
    )


def test_a_layer_that_nobody_saw_is_said_to_be_unseen() -> None:
    row = layers(WORKS, None)
    assert '<td data-label="DNS"><span class="mark ok">' in row
    assert '<td data-label="TLS"><span class="quiet">not seen</span></td></tr>\n' in row


def test_a_failing_layer_names_its_event_and_each_rule() -> None:
    row = layers(FAILS)
    assert '<a href="/e/0123456789abcdef"><span class="mark blocked">' in row
    assert "</a> <br><small>1 of 2</small>" in row
    for rule in FAILS.rules:
        assert f'<br><small class="id"><a href="/method#rule-{rule}">{rule}</a></small>' in row


def test_the_country_is_named_where_there_are_several() -> None:
    assert "<td>Russia</td>" in layers(WORKS, countries=True)
    assert "<td>Russia</td>" not in layers(WORKS)


def test_names_are_escaped_and_what_has_left_the_catalogue_has_no_link() -> None:
    row = LayerRow("RU", "gone/web", "<b>", ())
    text = str(now_rows.layer_rows([row], (), {"signal"}, False))
    assert '<th scope="row">&lt;b&gt; <small>(not in the catalogue)</small></th>' in text


def test_cells_are_in_the_language_of_the_page() -> None:
    english = layers(None)
    use("fr")
    try:
        assert "non observé" in layers(None)
    finally:
        use("en")
    assert layers(None) == english


@pytest.mark.parametrize(
    ("runs", "cell"),
    [
        pytest.param(Votes(), ' data-label="vantages">2 of 3</td>', id="vantages"),
        pytest.param(
            Votes(1, 1),
            ' data-label="vantages">1 of 2 <small>newest runs of OONI: 1 of 1</small></td>',
            id="both",
        ),
        pytest.param(
            Votes(2, 3), "> <small>newest runs of OONI: 2 of 3</small></td>", id="others alone"
        ),
    ],
)
def test_a_state_counts_vantages_and_runs_of_others_apart(runs: Votes, cell: str) -> None:
    text = str(now_rows.state_rows([(state(), ("ok", "reachable"), runs)]))
    assert f'<td class="n"{cell}' in text


def test_a_state_tells_how_it_fails() -> None:
    row = state(technique="dns.drop")
    text = str(now_rows.state_rows([(row, ("ok", "reachable"), Votes())]))
    assert '<small class="id">dns.drop</small></td></tr>\n' in text


def test_cells_of_a_matrix_name_event_and_scope() -> None:
    plain = {"kind": "ok", "word": "reachable", "rank": 5, "event": None, "scope": ""}
    event = plain | {"event": "0123456789abcdef", "scope": "1 of 2 networks <"}
    text = str(now_rows.matrix_cells([None, plain, event]))
    marked = now_rows.mark("ok", "reachable")
    assert text == (
        '<td><span class="quiet">no data</span></td>'
        f"<td>{marked}</td>"
        f'<td><a href="/e/0123456789abcdef">{marked}</a> '
        '<small class="scope">1 of 2 networks &lt;</small></td>'
    )
