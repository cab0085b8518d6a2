"""The options of a run from categories."""

from dataclasses import dataclass

from self_instruct.config.option import option


@dataclass(frozen=True)
class CategoryOptions:
    """categories"""

    categories: str | None = option(
        None, "kinds of tasks with their shares, as general:50,coding:30,contextual:20, in place of seed tasks; each is a file "
        "in --categories_path or one of those that come with the project", plan=True,
    )  # fmt: skip
    categories_path: str | None = option(
        None, "directory of your own category files, NAME.yaml; they go before those that come with the project",
        path="always",
    )  # fmt: skip
    topics_path: str | None = option(
        None, "text file with a topic a line, for the prompts of categories [default: the list that comes with the project]",
        path="always",
    )  # fmt: skip
    samples_per_request: int | None = option(
        None, "tasks that a request of a category asks for [default: what its file says]", minimum=1, plan=True
    )


@dataclass(frozen=True)
class TopicOptions:
    """topics (not part of a generation run)"""

    num_topics: int = option(500, "stop at exactly this many topics", minimum=1)
    output_path: str | None = option(
        None, "text file of the topics, one a line; beside it NAME.run keeps what the model wrote, so that the same command "
        "goes on", path="always",
    )  # fmt: skip
    topic_avoidance: str | None = option(
        None, "what to leave out, with commas between; the model is told so, and topics that name it are dropped"
    )
    topics_per_request: int = option(20, "topics that a request asks for", minimum=1)
