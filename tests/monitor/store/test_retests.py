from monitor.store.database import Database
from monitor.store.reading.retests import open_retests
from monitor.store.retests import LATELY_MS, OpenRetest


async def test_what_ended_lately_is_known_and_removed_later(store: Database) -> None:
    for asn, ends, now in ((1, 60, 10), (2, 120, 60), (3, LATELY_MS + 120, LATELY_MS + 60)):
        request = OpenRetest(country="RU", asn=asn, ends=ends, body=b"{}")
        await store.retests.add([request], now)
    async with store.reading() as connection:
        assert [found.asn for found in await open_retests(connection, 0)] == [3, 2]
        assert [found.asn for found in await open_retests(connection, LATELY_MS + 120)] == [3]
