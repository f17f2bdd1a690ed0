"""What is compiled says what Jinja's own code says, and markup is never made of a text."""

from __future__ import annotations

import jinja2
import pytest
from markupsafe import Markup

from monitor.web import quick_templates, template_text
from monitor.web.quick_templates import QuickEnvironment, escaped

MACROS = (
    "{% macro row(name, kind='none') %}<td class=\"{{ kind }}\">{{ name }}"
    "</td>{% endmacro %}"
    "{% macro around() %}<td>{{ caller() }}</td>{% endmacro %}"
)
VALUES = {
    "hostile": "<script>\"'&",
    "safe": Markup("<b>bold</b>"),
    "n": 7,
    "half": 0.5,
    "nothing": None,
    "rows": [{"name": "<a>", "items": 3}, {"name": "b", "items": 4}],
    "join": lambda *parts, sep="": Markup(sep).join(parts),
}


@pytest.mark.parametrize(
    "source",
    [
        "{{ hostile }} {{ safe }} {{ n }} {{ half }} {{ nothing }}",
        "{{ row(hostile) }}{{ row(safe, kind=hostile) }}",
        "{% for each in rows %}{{ loop.index }}{{ row(each.name, each['items']) }}{% endfor %}",
        "{% call around() %}{{ hostile }}{% endcall %}",
        "{% if rows %}{% for each in rows if each.items() %}{{ each.name }}{% endfor %}{% endif %}",
        "{{ rows[0].name.upper().lower() }} {{ safe.real|default('') if n > 9 else n.real }}",
        "{{ join('<', hostile, sep='<br>') }}{{ [hostile, safe]|join(', ') }}",
        "{% set made %}{{ hostile }}{% endset %}{{ made }}{{ made ~ hostile }}",
    ],
)
def test_as_jinja(source: str) -> None:
    made = [
        kind(autoescape=True, undefined=jinja2.StrictUndefined)
        .from_string(MACROS + source)
        .render(VALUES)
        for kind in (jinja2.Environment, QuickEnvironment)
    ]
    assert made[0] == made[1]
    assert "<script" not in made[1]


def test_an_undefined_name_is_an_error() -> None:
    made = QuickEnvironment(autoescape=True, undefined=jinja2.StrictUndefined)
    for source in ("{{ unknown }}", "{{ unknown() }}"):
        with pytest.raises(jinja2.UndefinedError):
            made.from_string(source).render(VALUES)
    for source, error in (("{{ rows.unknown }}", AttributeError), ("{{ rows[0].key }}", KeyError)):
        with pytest.raises(error):
            made.from_string(source).render(VALUES)


def test_texts_are_in_the_language_of_the_environment() -> None:
    english = QuickEnvironment(autoescape=True, extensions=[template_text.Texts])
    source = (
        '{% macro row(name) %}<p title="Name of it">Who <b>else</b> {{ name }} '
        "{{ _('a < b') }}</p>{% endmacro %}"
        "{% for name in names %}{{ row(name) }}{% endfor %}{{ loud(_('Who')) }}"
    )
    loader = jinja2.DictLoader({"page.html": source})
    english.loader = loader
    french = english.translated(
        {"Who <b>else</b>": "Qui <b>d’autre</b>", "Name of it": "Son nom", "a < b": "a < b & c"}
    )
    values = {"names": ["<i>"], "loud": str.upper, "_": str}
    for made, text in (
        (english, '<p title="Name of it">Who <b>else</b> &lt;i&gt; a &lt; b</p>WHO'),
        (french, '<p title="Son nom">Qui <b>d’autre</b> &lt;i&gt; a &lt; b &amp; c</p>WHO'),
        (english, '<p title="Name of it">Who <b>else</b> &lt;i&gt; a &lt; b</p>WHO'),
    ):
        assert made.get_template("page.html").render(values) == text


def test_a_text_is_not_taken_for_markup_that_is_equal() -> None:
    assert escaped(Markup("<i>")) == "<i>"
    assert escaped("<i>") == "&lt;i&gt;"
    assert escaped(Markup("<i>")) == "<i>"
    assert escaped(True) == "True"


def test_what_is_long_is_not_kept() -> None:
    before = quick_templates._escaped_text.cache_info().currsize
    for length in (quick_templates.MOST_KEPT + 1, 100_000):
        assert escaped("<" * length) == "&lt;" * length
    assert quick_templates._escaped_text.cache_info().currsize == before
