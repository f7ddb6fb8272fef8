"""A local server with the parts of the Hugging Face Hub's protocol that are needed to push and to download."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_good"


def environment(endpoint, home, **more):
    """Of a process that knows no other hub; its library reads these settings when it is imported."""
    settings = {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
        "NO_PROXY": "127.0.0.1",
        "HF_TOKEN": TOKEN,
    }
    return {**os.environ, **settings, **more}


@contextmanager
def serving() -> Iterator[Server]:
    """A server that runs."""
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class Server(ThreadingHTTPServer):
    """Repositories in memory: name -> revision -> file -> content."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server_port}"
        self.repos: dict[str, dict[str, dict[str, bytes]]] = {}
        self.objects: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.created: dict[str, dict] = {}
        self.summaries: list[str] = []

    def add(self, repo, **files):
        content = {name.replace("__", "."): data for name, data in files.items()}
        self.repos[repo] = dict.fromkeys(("main", "v1", COMMIT), content)


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self):
        self.give(body=False)

    def do_GET(self):
        self.give(body=True)

    def give(self, *, body):
        self.server.asked.append(f"{self.command} {self.path}")
        match = re.fullmatch(r"/(\w+/\w+)/resolve/(\w+)/(.+)", self.path)
        revisions = self.server.repos.get(match[1]) if match else None
        if revisions is None:
            return self.fail(404, "RepoNotFound")
        if match[2] not in revisions:
            return self.fail(404, "RevisionNotFound")
        content = revisions[match[2]].get(match[3])
        commit = next(name for name, files in revisions.items() if len(name) == 40 and files is revisions[match[2]])
        if content is None:
            return self.fail(404, "EntryNotFound", commit)
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)
        return None

    def do_PUT(self):
        name = self.path.rpartition("/")[2]
        self.server.objects[name] = content = self.read()
        assert hashlib.sha256(content).hexdigest() == name
        self.answer({})

    def do_POST(self):
        self.server.asked.append(f"POST {self.path}")
        sent = self.read()
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.fail(401)
        if self.path == "/api/repos/create":
            request = json.loads(sent)
            if request["organization"] == "closed":
                return self.fail(403)
            name = f"{request['organization']}/{request['name']}"
            if name in self.server.repos:
                return self.answer({"url": f"{self.server.endpoint}/{name}"}, 409)
            self.server.repos[name] = {}
            self.server.created[name] = request
            return self.answer({"url": f"{self.server.endpoint}/{name}"})
        if self.path == "/api/validate-yaml":
            assert json.loads(sent)["content"].startswith("---\n")
            return self.answer({"errors": [], "warnings": []})
        if "/preupload/" in self.path:
            modes = {True: "lfs", False: "regular"}
            names = [file["path"] for file in json.loads(sent)["files"]]
            upload_modes = [
                {"path": n, "uploadMode": modes[n.endswith(".safetensors")], "shouldIgnore": False} for n in names
            ]
            return self.answer({"files": upload_modes})
        if self.path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(sent)["objects"]
            for requested in objects:
                requested["actions"] = {"upload": {"href": f"{self.server.endpoint}/lfs/{requested['oid']}"}}
            return self.answer({"transfer": "basic", "objects": objects})
        return self.commit(sent)

    def commit(self, sent):
        name = re.fullmatch(r"/api/(?:models|datasets)/(\w+/\w+)/commit/main", self.path)[1]
        files = dict(self.server.repos[name].get("main", {}))
        for line in map(json.loads, sent.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                self.server.summaries.append(value["summary"])
            else:
                whole = line["key"] == "file"
                files[value["path"]] = (
                    base64.b64decode(value["content"]) if whole else self.server.objects[value["oid"]]
                )
        commit = hashlib.sha1(sent).hexdigest()
        self.server.repos[name] |= {"main": files, commit: files}
        return self.answer(
            {"success": True, "commitUrl": f"{self.server.endpoint}/{name}/commit/{commit}", "commitOid": commit}
        )

    def read(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers["Content-Length"]))

    def answer(self, document, status=200):
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def fail(self, status, code="", commit=""):
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        if commit:
            self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass
