"""Messages between two processes."""

import threading
from multiprocessing import Pipe

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.engines.fleet.channel import Channel


@pytest.fixture
def ends():
    mine, its = Pipe()
    one, other = Channel(mine), Channel(its)
    yield one, other
    one.close()
    other.close()


def test_messages_come_in_the_order_in_which_they_were_sent(ends):
    one, other = ends
    for number in range(100):
        one.send("number", value=number)
    assert [other.receive() for _ in range(100)] == [{"kind": "number", "value": value} for value in range(100)]


@settings(max_examples=40)
@given(st.text(st.characters(exclude_categories=[])))
def test_any_text_arrives_as_it_was_lone_surrogates_too(text):
    mine, its = Pipe()
    one, other = Channel(mine), Channel(its)
    one.send("text", text=text)
    assert other.receive() == {"kind": "text", "text": text}
    one.close()
    other.close()


def test_sending_does_not_wait_for_a_side_that_reads_nothing(ends):
    one, other = ends
    for _ in range(40):  # a hundred times what a pipe holds
        one.send("text", text="x" * 200_000)
    assert sum(len(other.receive()["text"]) for _ in range(40)) == 40 * 200_000


def test_any_thread_may_send_and_no_message_is_torn(ends):
    one, other = ends
    senders = [
        threading.Thread(target=lambda n=n: [one.send("n", n=n, pad="y" * 5000) for _ in range(50)]) for n in range(4)
    ]
    for sender in senders:
        sender.start()
    found = [other.receive()["n"] for _ in range(200)]
    assert sorted(found) == sorted(list(range(4)) * 50)


def test_what_was_queued_is_delivered_before_the_line_is_closed(ends):
    one, other = ends
    for _ in range(20):
        one.send("text", text="z" * 10_000)
    closing = threading.Thread(target=one.close)
    closing.start()
    assert all(other.receive() is not None for _ in range(20)) and other.receive() is None
    closing.join()


def test_a_side_that_has_gone_is_none_and_sending_to_it_is_no_error(ends):
    one, other = ends
    other.close()
    for _ in range(3):
        one.send("text", text="lost")
    assert one.receive() is None and one.receive() is None
