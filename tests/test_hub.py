"""``hub:`` weights from a server on this machine that speaks the hub's protocol: fetched, cached, pinned, refused."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from stemclean.models import registry, weights
from stemclean.models.contract import ModelSpec

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OPTIONS = {"backbone": "convnext_atto", "hop_length": 1024, "n_mels": 32}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """Serves ``org/good`` at revisions ``main`` and ``v1``; yields its address and the paths that were asked for."""
    torch.manual_seed(0)
    spec = ModelSpec(44100, 2, ("vocals", "drums"), 131072)
    model = registry.build("classifiers", "convnext", spec, OPTIONS)
    card = {"kind": "classifiers", "architecture": "convnext", "spec": spec.to_dict(), "options": OPTIONS}
    content = weights.save(tmp_path_factory.mktemp("hub") / "model.safetensors", model, card).read_bytes()
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.answer(body=False)

        def do_GET(self):
            self.answer(body=True)

        def answer(self, *, body):
            asked.append(f"{self.command} {self.path}")
            known = [f"/org/good/resolve/{revision}/model.safetensors" for revision in ("main", "v1", COMMIT)]
            if self.path not in known:
                self.send_response(404)
                self.send_header("X-Error-Code", "RepoNotFound" if "/good/" not in self.path else "RevisionNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def load(uri, endpoint, cache, **environment):
    """Load weights in a process of their own, as the hub's library reads its settings at import."""
    code = (
        "import sys; from stemclean.models import weights; from stemclean.errors import StemcleanError\n"
        "try: w = weights.load(sys.argv[1]); print(w.uri, w.sha256, w.model.spec.labels)\n"
        "except StemcleanError as error: print('refused:', error.message); print(error.hint)"
    )
    settings = {
        **os.environ,
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(cache),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "127.0.0.1",
        **environment,
    }
    done = subprocess.run(
        [sys.executable, "-c", code, uri], env=settings, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_from_the_hub_and_then_from_the_cache(hub, tmp_path):
    endpoint, asked = hub
    first = load("hub:org/good@v1", endpoint, tmp_path)
    assert first.startswith("hub:org/good@v1 ") and "('vocals', 'drums')" in first
    assert "GET /org/good/resolve/v1/model.safetensors" in asked
    downloads = sum(line.startswith("GET") for line in asked)
    assert load("hub:org/good@v1/model.safetensors", endpoint, tmp_path).split()[1] == first.split()[1]
    assert sum(line.startswith("GET") for line in asked) == downloads  # the cache had it
    assert load("hub:org/good@v1", endpoint, tmp_path, HF_HUB_OFFLINE="1").split()[1] == first.split()[1]


def test_what_cannot_be_had_is_refused_in_one_line(hub, tmp_path):
    endpoint, _ = hub
    assert "refused: hub:org/good: the hub cannot be reached" in load(
        "hub:org/good", endpoint, tmp_path, HF_HUB_OFFLINE="1"
    )
    assert "refused: hub:org/none: " in load("hub:org/none", endpoint, tmp_path)
    assert "refused: hub:org/good@v9: " in load("hub:org/good@v9", endpoint, tmp_path)
