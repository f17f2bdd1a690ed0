import asyncio

from probes.local_http import PageReply, PageRequest, serving
from tests.probes.test_metrics import ask


async def test_a_request_is_read_and_answered() -> None:
    seen: list[PageRequest] = []

    def answer(request: PageRequest) -> PageReply:
        seen.append(request)
        return PageReply("200 OK", "é", "text/html", "X-Y: z\r\n")

    async with serving(("127.0.0.1", 0), answer) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /a?b HTTP/1.1\r\nHost: h:1\r\nACCEPT-LANGUAGE:  ru \r\n\r\n")
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        await ask(port, b"POST / HTTP/1.1\r\n\r\n")
    assert seen == [PageRequest("GET", "/a", {"host": "h:1", "accept-language": "ru"})]
    lines = head.decode().split("\r\n")
    assert lines[1:4] == ["Content-Type: text/html; charset=utf-8", "X-Y: z", "Content-Length: 2"]
    assert body == "é".encode()
