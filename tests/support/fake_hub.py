"""A fake of the Hub's HTTP API for uploading a dataset: create, validate, preupload, commit."""

import base64
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FakeHub:
    """A fake Hub with its requests and files. `failing` gives a status for the first address that contains the key, for the
    first `times` requests if that has the key. A commit whose key is in `fails_after` is made although it fails."""

    def __init__(self, url):
        self.url, self.failing, self.fails_after, self.times, self.commits = url, {}, set(), {}, []
        self.held = None  # an event: the server makes a commit at once, but answers only after this is set
        self.asked, self.anonymous, self.tokens, self.repositories, self.files = [], [], set(), {}, {}

    def answer(self, method, path, headers, body):
        """Return status and JSON for a request."""
        self.asked.append(f"{method} {path.partition('?')[0]}")
        if headers.get("Authorization") is not None or path.startswith("/api/repos") or "datasets" in path:
            self.tokens.add(headers.get("Authorization"))
        else:
            self.anonymous.append(path)
        for part, status in self.failing.items():
            if part in path and self.times.setdefault(part, 1000) > 0:
                self.times[part] -= 1
                if part in self.fails_after:
                    self._commit(body)
                return status, {"error": f"no, {headers.get('Authorization')}"}  # a server may repeat what it received
        if path == "/api/repos/create":
            about = json.loads(body)
            name = "/".join(filter(None, (about.get("organization"), about["name"])))
            known = name in self.repositories
            self.repositories.setdefault(name, about)
            return 409 if known else 200, {"url": f"{self.url}/datasets/{name}"}
        if path == "/api/validate-yaml":
            assert json.loads(body)["repoType"] == "dataset"
            return 200, {"warnings": [], "errors": []}
        if "/preupload/" in path:
            files = json.loads(body)["files"]
            return 200, {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]}
        if "/commit/" in path:
            self._commit(body)
            if self.held is not None:
                self.held.wait(60)
            return 200, {"commitUrl": f"{self.url}/datasets/ada/tasks/commit/abc", "commitOid": "abc"}
        return self._read(path)

    def _read(self, path):
        """Return the status and content of a request that reads the repository."""
        if "/tree/" in path:
            names = [{"type": "file", "path": name, "size": 1, "oid": "abc"} for name in self.files]
            return (200, names) if any(f"/datasets/{name}/" in path for name in self.repositories) else (404, {})
        if "/resolve/" in path and (name := path.partition("?")[0].rpartition("/")[2]) in self.files:
            return 200, self.files[name]
        if "/commits/" in path:
            return 200, [
                {"id": f"c{at}", "title": title, "message": text, "authors": [], "date": "2026-01-01T00:00:00.000Z"}
                for at, (title, text) in reversed(list(enumerate(self.commits)))
            ]
        return 404, {"error": "there is no such thing"}

    def _commit(self, body):
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "header":
                self.commits.append((line["value"]["summary"], line["value"]["description"]))
            if line["key"] == "file":
                assert line["value"]["encoding"] == "base64"
                self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])


@contextmanager
def fake_hub():
    """Run the server."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, answer = hub.answer(self.command, self.path, self.headers, body)
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", '"abc"')
            self.send_header("X-Repo-Commit", "abc")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub = FakeHub(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
