"""The requests of a DAX client that are counted, as one sends them, and a connection for them."""

import socket

import calls

GET_ITEM, QUERY, AUTHORIZE = 263244906, -931250863, 1489122155
# `null`: no options.
NULL = b"\xf6"
# The first answer to a request is known to be whole when nothing more has come for so long: the protocol has no lengths.
QUIET_SECONDS = 1


def head(major, number):
    for size, code, most in ((0, None, 23), (1, 24, 0xFF), (2, 25, 0xFFFF), (4, 26, 0xFFFFFFFF)):
        if number <= most:
            return bytes([major << 5 | number]) if code is None else bytes([major << 5 | code]) + number.to_bytes(size, "big")
    raise ValueError(number)


def integer(number):
    return head(0, number) if number >= 0 else head(1, -1 - number)


def data(content):
    return head(2, len(content)) + content


def text(content):
    return head(3, len(content)) + content.encode()


def begin():
    """What a client sends first: a preamble, and who it is."""
    preamble = text("J7yne5G") + integer(0) + data(b"session") + head(5, 1) + text("UserAgent") + text("DaxPythonClient-2.1.0") + integer(0)
    signed = b"AWS4-HMAC-SHA256\n20261121T040000Z\n20261121/us-east-1/dax/aws4_request\n" + b"0" * 64
    return preamble + integer(1) + integer(AUTHORIZE) + text("local") + text("0" * 64) + data(signed) + NULL + NULL


def key(number):
    return calls.key(number)["id"]["S"].encode()


def get(number):
    return integer(1) + integer(GET_ITEM) + data(b"Bench") + data(key(number)) + NULL


def query(page):
    # `id = :id` as a tree: format, comparison of a path with a value, and the values.
    comparison = head(4, 3) + integer(0) + head(4, 2) + integer(18) + text("id") + head(4, 2) + integer(17) + integer(0)
    condition = head(4, 3) + integer(1) + comparison + head(4, 1) + text(key(page).decode())
    return integer(1) + integer(QUERY) + data(b"Pages") + data(condition) + NULL


class Client:
    """One connection. Of each request it learns from the first answer how long the answers are."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=calls.SECONDS_MAX)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(begin())
        self.lengths = {}

    def ask(self, request):
        """Sends a request and returns its whole answer, which must be a success."""
        self.socket.sendall(request)
        length, answer = self.lengths.get(request), b""
        self.socket.settimeout(calls.SECONDS_MAX)
        while length is None or len(answer) < length:
            try:
                read = self.socket.recv(1 << 20)
            except TimeoutError:
                break
            if not read:
                raise SystemExit(f"the server has closed the connection after {answer!r}")
            answer += read
            self.socket.settimeout(calls.SECONDS_MAX if length else QUIET_SECONDS)
        self.lengths[request] = len(answer)
        # An empty list of error codes.
        if not answer.startswith(b"\x80"):
            raise SystemExit(f"not a success: {answer!r}")
        return answer

    def source(self, _answer):
        """What the cache says of the answer: nothing. The same is a hit over HTTP, which was counted before."""
        return None
