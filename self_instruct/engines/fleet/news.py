"""What the processes that generate tell of themselves, taken together: speed, idle time, rows, devices, memory."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class News:
    """One process. `tokens`, `steps`, `seconds` and `waited` count from its first request; `waited` are the seconds without a
    request to work on. `rows` are worked on at a time now, `rows_at_first` before memory was ever short. `devices` are
    accelerators; memory is in bytes.
    """

    tokens: int = 0
    steps: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    rows: int = 0
    rows_at_first: int = 0
    name: str = ""
    devices: int = 0
    taken: int = 0
    memory: int = 0


def tokens_per_second(all_news: Sequence[News]) -> float:
    """Tokens that all processes together draw in a second."""
    return sum(news.tokens / news.seconds for news in all_news if news.seconds)


def idleness(all_news: Sequence[News]) -> float:
    """The share of their time in which the processes had nothing to work on."""
    seconds = sum(news.seconds for news in all_news)
    return sum(news.waited for news in all_news) / seconds if seconds else 0.0


def occupancy(all_news: Sequence[News]) -> float:
    """The share of the rows that drew a token, over all steps."""
    places = sum(news.steps * news.rows for news in all_news)
    return sum(news.tokens for news in all_news) / places if places else 0.0


def devices(all_news: Sequence[News]) -> int:
    """Accelerators in use."""
    return sum(news.devices for news in all_news)


def fit(all_news: Sequence[News]) -> list[str]:
    """One line for each process: its rows and the memory that it took."""
    return [
        f"{news.rows} rows on {news.name}, {news.taken / 1e9:.1f} of {news.memory / 1e9:.1f} GB taken at most"
        + (f"; memory was short, it began with {news.rows_at_first}" if news.rows < news.rows_at_first else "")
        for news in all_news
        if news.rows
    ]
