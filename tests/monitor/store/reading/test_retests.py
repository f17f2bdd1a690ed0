from monitor.store.database import Database
from monitor.store.reading.retests import open_retests
from monitor.store.retests import LATELY_MS, OpenRetest


async def test_requests_are_read_newest_first_until_long_after_they_end(store: Database) -> None:
    first, second, third = (
        OpenRetest(country="RU", asn=asn, ends=ends, body=b"{}")
        for asn, ends in ((1, 60), (2, 90), (1, 120))
    )
    await store.retests.add([first, second], 10)
    await store.retests.add([third], 20)
    async with store.reading() as connection:
        assert await open_retests(connection, 30) == [third, second, first]
        assert await open_retests(connection, LATELY_MS + 60) == [third, second]
