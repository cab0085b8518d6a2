"""Whether the Hub can be reached, with local servers in its place."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from huggingface_hub import constants

from self_instruct import hub
from self_instruct.datasets.tables import hub_rows
from self_instruct.engines.local.tokenizer import load_text
from self_instruct.errors import UserError


@pytest.fixture(autouse=True)
def network_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "_answers", {})


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
        yield


@contextmanager
def answering(status: int) -> Iterator[tuple[str, list[str]]]:
    """Run a server that answers every HEAD request with one status; return the requested paths."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("status", [200, 404])
def test_any_answer_counts_and_is_remembered(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(status) as (url, asked):
        monkeypatch.setattr(constants, "ENDPOINT", url)
        assert hub.reachable() and hub.reachable()
        with hub.offline_if_unreachable("acme/model"):
            assert not constants.HF_HUB_OFFLINE
        assert len(asked) == 1
        monkeypatch.setattr(hub, "_VALID_FOR", -1)
        assert hub.reachable() and len(asked) == 2


def test_offline_mode_sends_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(200) as (url, asked):
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert not hub.reachable() and not asked


def test_server_that_never_answers_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.1)
        assert not hub.reachable()


@pytest.mark.parametrize("endpoint", ["no scheme", "http://", "http://[::1"])
def test_malformed_endpoint_is_unreachable(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    assert not hub.reachable()


def test_offline_mode_ends_with_the_block(no_network: None, tmp_path: Path) -> None:
    with pytest.raises(KeyError), hub.offline_if_unreachable("acme/model"):
        assert constants.HF_HUB_OFFLINE
        raise KeyError
    assert not constants.HF_HUB_OFFLINE
    with hub.offline_if_unreachable(str(tmp_path)):
        assert not constants.HF_HUB_OFFLINE


def test_models_and_datasets_are_refused_without_retries(no_network: None, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    with pytest.raises(
        UserError, match=r"--model_name_or_path acme/none: cannot be loaded .* `hf download acme/none`"
    ):
        load_text("acme/none")
    with pytest.raises(UserError, match=r"--input_path acme/none: .* cannot be loaded"):
        list(hub_rows("acme/none", None, "--input_path"))
    assert not waits  # the libraries wait before they retry
