import pytest

from monitor.follow.layout import Listed
from monitor.follow.listing import ListingError, Page, page_of, query

AMAZON = b"""<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>ooni-data-eu-fra</Name>
<IsTruncated>true</IsTruncated><NextContinuationToken>abc=</NextContinuationToken>
<Contents><Key>raw/a&amp;b</Key><ETag>&quot;e-1&quot;</ETag><Size>42</Size></Contents>
<CommonPrefixes><Prefix>raw/20260101/</Prefix></CommonPrefixes></ListBucketResult>"""


def test_a_page_and_what_asks_for_the_next() -> None:
    page = page_of(AMAZON)
    assert page == Page((Listed("raw/a&b", "e-1", 42),), ("raw/20260101/",), "abc=")
    assert query("raw/", folders=True, after=page.next) == {
        "list-type": "2",
        "prefix": "raw/",
        "delimiter": "/",
        "continuation-token": "abc=",
    }


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "no XML"),
        (b"<Error><Code>AccessDenied</Code></Error>", "<Error> in place of"),
        (AMAZON.replace(b"abc=", b""), "without a token"),
    ],
)
def test_what_is_no_page(body: bytes, reason: str) -> None:
    with pytest.raises(ListingError, match=reason):
        page_of(body)
