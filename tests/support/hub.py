"""A server of HuggingFace's style on this machine that can do everything that servers do wrong.

A Site has files by path, headers by path, and for each path a list of misdeeds, one of which is
done for each request until they are used up; then the answer is good. Standard library only.
"""
import hashlib
import http.server
import re
import socket
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as a good server does, unless the path's next misdeed says otherwise."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def handle(self):
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            pass

    def do_GET(self):
        site = self.server.site
        path = self.path.split("?")[0]
        with site.lock:
            site.requests.append((self.path, dict(self.headers)))
            misdeeds = site.misdeeds.get(path, [])
            misdeed = misdeeds.pop(0) if misdeeds else None
        if misdeed is not None:
            misdeed(self)
        else:
            self.good()

    def body(self):
        return self.server.site.files.get(self.path.split("?")[0])

    def good(self, ranges=True, etag=None, extra=(), length=None, wire=None):
        """A whole answer, or the part that is asked for. `wire` sends the body in its own way."""
        body = self.body()
        if body is None:
            self.plain(404, b"Entry not found")
            return
        etag = etag or f'"{hashlib.md5(body).hexdigest()}"'
        first = 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range", etag) == etag
        if asked and ranges and same:
            first = int(asked.group(1))
            if first >= len(body):
                self.plain(416, b"", [("Content-Range", f"bytes */{len(body)}")])
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body) - first if length is None else length))
        self.send_header("ETag", etag)
        for name, value in [*self.server.site.headers.get(self.path.split("?")[0], ()), *extra]:
            self.send_header(name, value)
        self.end_headers()
        (wire or self.wfile.write)(body[first:])

    def plain(self, code, body=b"", headers=()):
        self.send_response(code)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def hang_up(self):
        """Ends the connection at once, in the middle of whatever was said."""
        self.wfile.flush()
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.close_connection = True


# Misdeeds: each is called with the handler instead of good().

def drop_after(count, **kwargs):
    def send(handler):
        def wire(body):
            handler.wfile.write(body[:count])
            handler.hang_up()
        handler.good(wire=wire, **kwargs)
    return send


def answer(code, headers=()):
    return lambda handler: handler.plain(code, b"no", headers)


def redirect(target, code=302, headers=()):
    return lambda handler: handler.plain(code, b"", [("Location", target), *headers])


def lie(length):
    """Says another length than it sends, and closes."""
    def send(handler):
        def wire(body):
            handler.wfile.write(body)
            handler.hang_up()
        handler.good(length=length, wire=wire)
    return send


def wrong_bytes(handler):
    handler.good(wire=lambda body: handler.wfile.write(b"?" * len(body)))


def silent(handler):
    """Sends a beginning, then nothing for as long as the client can bear."""
    def wire(body):
        handler.wfile.write(body[:100])
        handler.wfile.flush()
        handler.server.site.stopped.wait(20)
        handler.close_connection = True
    handler.good(wire=wire)


def slowly(rate):
    """Bytes a second, in small pieces."""
    def send(handler):
        def wire(body):
            piece = max(1, rate // 20)
            for at in range(0, len(body), piece):
                handler.wfile.write(body[at:at + piece])
                if handler.server.site.stopped.wait(0.05):
                    return
        handler.good(wire=wire)
    return send


def chunked(handler, whole=True):
    body = handler.body()
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for at in range(0, len(body), 1000):
        piece = body[at:at + 1000]
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        if not whole and at > len(body) // 2:
            handler.hang_up()
            return
    handler.wfile.write(b"0\r\n\r\n")


def without_length(handler):
    """HTTP/1.0's way: the body ends with the connection."""
    handler.send_response(200)
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(handler.body())
    handler.close_connection = True


class Site:
    """A server with files, misdeeds per path, and a list of what was asked."""

    def __init__(self, tls=None):
        self.files, self.misdeeds, self.headers, self.requests = {}, {}, {}, []
        self.lock, self.stopped = threading.Lock(), threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.site = self
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None # a client may leave at any time
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.stopped.set()
        self.server.shutdown()
        self.server.server_close()

    def asked(self, path):
        return [headers for asked, headers in self.requests if asked.split("?")[0] == path]
