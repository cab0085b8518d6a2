"""The main family: a Python function or expression that does something with selected items of a list.

Combines a job (`jobs.py`) with a sentence (`phrasing.py`).
"""

from __future__ import annotations

import random

from demo_model.training.corpus import phrasing
from demo_model.training.corpus.code_style import Layout
from demo_model.training.corpus.jobs import Job, draw_job
from demo_model.training.corpus.task import Task


def wording_of(job: Job, rng: random.Random) -> phrasing.Wording:
    noun = job.selection.noun
    return phrasing.Wording(job.imperative(rng), job.result(rng), job.name, noun.argument, noun.many, noun.owner)


def make_function(rng: random.Random) -> Task:
    """A function, in half of the cases under one constraint that shapes it."""
    job = draw_job(rng)
    text = phrasing.ask(wording_of(job, rng), rng)
    loop, layout, rule = _constraint(job, rng)
    if rule:
        text = f"{text} {rule}"
    return Task("function", text, job.code(rng, loop, layout), job.meaning())


def _constraint(job: Job, rng: random.Random) -> tuple[bool | None, Layout, str]:
    """Loop or not, layout, and the sentence that asks for it."""
    roll = rng.random()
    both = bool(job.action.quick and job.action.loop)
    if roll < 0.10 and both:
        return True, Layout(), rng.choice(phrasing.LOOP_RULES)
    if roll < 0.20 and both:
        return False, Layout(), rng.choice(phrasing.QUICK_RULES)
    if roll < 0.28:
        return None, Layout(hints=True), rng.choice(phrasing.HINT_RULES)
    if roll < 0.33:
        return None, Layout(docstring=job.docstring(rng)), rng.choice(phrasing.DOC_RULES)
    if roll < 0.40 and job.action.verb != "yield":
        return None, Layout(guard=True), rng.choice(phrasing.GUARD_RULES)
    if roll < 0.52:
        return None, Layout(), rng.choice(phrasing.NEUTRAL_RULES)
    return None, Layout(), ""


def make_expression(rng: random.Random) -> Task:
    """One expression on a named list; wrapped in a lambda now and then."""
    job = draw_job(rng)
    while not job.action.quick:
        job = draw_job(rng)
    text = phrasing.ask_expression(wording_of(job, rng), rng)
    expression = job.expression(rng)
    return Task("expression", text, expression, job.meaning(), extra={"argument": job.argument})
