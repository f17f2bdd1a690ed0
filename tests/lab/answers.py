"""Pages and other answers in clear text that somebody on the path gives in a server's place."""

from __future__ import annotations

PAGE = (
    b"<html><head><title>Restricted</title></head><body><h1>Access to this site has been blocked"
    b"</h1><p>By order of the court, number 1-234.</p></body></html>"
)
NOTICE = b"<html><title>Notice 4711</title>Kindly contact the operator of this line.</html>"
"""A page that no list of block pages knows."""
ANSWERS = {
    "notice": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(NOTICE), NOTICE),
    "page": b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(PAGE), PAGE),
    "page_as_if_well": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(PAGE), PAGE),
    "law": b"HTTP/1.1 451 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    "known_host": b"HTTP/1.1 302 Found\r\nLocation: http://blackhole.beeline.ru/?url=x\r\n"
    b"Connection: close\r\nContent-Length: 0\r\n\r\n",
    "away": b"HTTP/1.1 302 Found\r\nLocation: http://portal.elsewhere.test/in\r\n"
    b"Connection: close\r\nContent-Length: 0\r\n\r\n",
}
