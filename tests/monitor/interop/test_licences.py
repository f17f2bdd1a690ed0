from monitor.detection.model import OWN_SOURCE
from monitor.interop.forms import LICENCE, LICENCE_URL
from monitor.interop.licences import OWN, licence_of, licences_of, link_header


def test_what_rests_on_others_has_their_licence() -> None:
    assert (OWN.id, OWN.url) == (LICENCE, LICENCE_URL)
    assert licence_of(OWN_SOURCE) == licence_of("") == OWN
    assert licence_of("ooni").id == "CC-BY-NC-SA-4.0"
    assert [each.holder for each in licences_of({"ooni", OWN_SOURCE})] == ["", "OONI"]


def test_the_header_names_all_of_them() -> None:
    assert link_header(()) == f'<{LICENCE_URL}>; rel="license"'
    assert link_header({"ooni"}).endswith(
        '<https://creativecommons.org/licenses/by-nc-sa/4.0/>; rel="license"; '
        'title="what rests on data of OONI"'
    )
