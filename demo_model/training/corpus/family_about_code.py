"""Tasks about a given function: repair, explain, judge, test, translate it, or do its work by hand on one list.

Built from the same jobs as `family_select.py`, so a pair that is held out there is held out here.
"""

from __future__ import annotations

import random
import re

from demo_model.training.corpus.code_style import camel, capital
from demo_model.training.corpus.jobs import Job, draw_job
from demo_model.training.corpus.task import Task

REPAIR_FRAMES = (
    "The code below should {imp}, but {symptom}. Repair it.",
    "Fix this function: it is meant to {imp}, yet {symptom}.",
    "Debug the snippet. It ought to {imp}, but {symptom}.",
    "Find and correct the mistake: the goal is to {imp}, but {symptom}.",
    "{Owner} uses this code to {imp}. Unfortunately {symptom}; mend it.",
    "Why does this fail? It must return {res}, but {symptom}. Give the corrected code.",
    "Correct the bug so that the function returns {res}; now {symptom}.",
    "Someone tried to {imp}, but {symptom}. Show the right version.",
    "Expected: {res}. Problem: {symptom}. Rewrite the function properly.",
)
EXPLAIN_FRAMES = (
    "Explain in one sentence what this code does with {ns}.",
    "What does the following function return for its {ns}?",
    "Describe in plain English how the snippet treats {ns}.",
    "Tell a beginner why one would call `{f}`.",
    "Summarise the code about {ns} in a sentence.",
    "Put the meaning of `{f}` into words.",
    "Read the Python code on {ns} and say what it computes.",
    "Say in English what becomes of the {ns} in `{f}`.",
    "{Owner} found this code for {ns}. What is it good for?",
    "State the result of calling `{f}` on {ns}.",
    "Which {ns} matter to this function, and for what?",
    "Comment on `{f}` for {owner}: what comes out?",
)
EXPLAIN_ANSWERS = (
    "It tests `{c}` for each item of `{a}` and returns {res}.",
    "The function returns {res}; an item counts if `{c}` holds.",
    "It goes through `{a}` in order to {imp}.",
    "Its purpose is to {imp}, using the test `{c}`.",
)
COMPLEXITY_FRAMES = (
    "State the time complexity of this code, which is meant to {imp}.",
    "How does the running time grow with the list if we {imp} like this?",
    "What is the big-O cost to {imp} as below? Say why.",
    "Judge the cost of the function that returns {res}.",
    "Is this way to {imp} linear, and why?",
    "{Owner} has a long list. How expensive is it to {imp} this way?",
    "Name the order of growth when code has to {imp} as shown.",
    "For large lists, how slow is it to compute {res} like this?",
    "Could {owner} {imp} this way for a million {ns}?",
    "Give the complexity class: {imp}, over n {ns}.",
    "n {ns} come in. How many steps does it take to {imp}?",
    "Analyse the speed of `{f}`, which gives {res}.",
)
TEST_FRAMES = (
    "Test `{f}({a})`, which returns {res}, with two assert statements.",
    "Give two asserts for a function `{f}` that can {imp}.",
    "What two assertions check that `{f}` returns {res}?",
    "Provide short tests of `{f}`: its job is to {imp}.",
    "Assert the behaviour of `{f}`, made to {imp}, on two lists.",
    "{Owner} trusts `{f}` to {imp}. Prove it with two asserts.",
    "Before `{f}` exists, write the asserts it must pass; it will {imp}.",
    "Verify with a full and an empty list that `{f}` gives {res}.",
)
TRANSLATE_FRAMES = (
    "Translate this Python code into JavaScript; it is there to {imp}.",
    "Port the function to JavaScript. It returns {res}.",
    "Rewrite the snippet, made to {imp}, as a JavaScript arrow function.",
    "How would JavaScript {imp}? Follow the Python below.",
    "Convert to modern JavaScript: a function for {res}.",
    "{Owner} moves to JavaScript and must still {imp}. Convert this.",
    "Turn the Python into one JavaScript line that returns {res}.",
    "In JavaScript, {imp} as this Python does.",
    "Browser code must {imp}; translate `{f}`.",
    "What is `{f}` in JavaScript? It gives {res}.",
    "{Owner} needs JavaScript, not Python, to {imp}.",
)
COMPUTE_FRAMES = (
    "{Imp} in the list below.",
    "Look at the list and give {res}.",
    "For these {ns}, what is {res}?",
    "By hand, {imp}.",
    "Work through the {ns} and {imp}.",
    "State {res}.",
    "{Owner} noted these {ns}. {Imp}.",
    "No code, just the answer: {imp}.",
    "Given the {ns} below, tell me {res}.",
    "Please {imp} here.",
)
COMPLEXITY = {
    "sort": "O(n log n): the chosen {ns} are sorted.",
    "sort down": "O(n log n): the chosen {ns} are sorted.",
    **dict.fromkeys(
        ("count", "keep", "remove", "check all", "sum", "split", "positions", "tally", "flag", "zero", "average"),
        "O(n): each {n} is looked at once.",
    ),
    **dict.fromkeys(("find first", "check any", "check none", "stop at"), "O(n) at worst: it may look at every {n}."),
}
COMPUTED = (
    "keep",
    "remove",
    "count",
    "find first",
    "find last",
    "check any",
    "positions",
    "sort",
    "deduplicate",
    "zero",
)
JAVASCRIPT = {
    "keep": "{xs}.filter(({x}) => {c})",
    "remove": "{xs}.filter(({x}) => !({c}))",
    "count": "{xs}.filter(({x}) => {c}).length",
    "check any": "{xs}.some(({x}) => {c})",
    "check all": "{xs}.every(({x}) => {c})",
    "check none": "!{xs}.some(({x}) => {c})",
    "flag": "{xs}.map(({x}) => {c})",
    "double": "{xs}.map(({x}) => ({c} ? {x} * 2 : {x}))",
    "zero": "{xs}.map(({x}) => ({c} ? 0 : {x}))",
}


def _fill(frame: str, job: Job, rng: random.Random, **more: str) -> str:
    noun, imperative = job.selection.noun, job.imperative(rng)
    return frame.format(
        imp=imperative,
        Imp=capital(imperative),
        res=job.result(rng),
        f=job.name,
        a=job.argument,
        ns=noun.many,
        n=noun.one,
        owner=noun.owner,
        Owner=capital(noun.owner),
        **more,
    )


def _draw(rng: random.Random, verbs: tuple[str, ...] | dict[str, str], kinds: str = "number word record") -> Job:
    while True:
        job = draw_job(rng)
        if job.action.verb in verbs and job.selection.noun.kind in kinds.split():
            return job


def make_repair(rng: random.Random) -> Task:
    """A function with one fault as input, the right one as output."""
    while True:
        job = draw_job(rng)
        code = job.code(rng)
        broken, symptom = _break(code, job, rng)
        if broken != code:
            text = _fill(rng.choice(REPAIR_FRAMES), job, rng, symptom=symptom)
            return Task("repair", text, code, job.meaning(), input=broken)


def _break(code: str, job: Job, rng: random.Random) -> tuple[str, str]:
    selection, variable = job.selection, job.variable
    condition, inverse = selection.condition(variable), selection.condition(variable, inverse=True)
    lines = code.splitlines()
    fault = rng.randrange(4)
    if fault == 0:
        wrong = code.replace(inverse, condition, 1) if inverse in code else code.replace(condition, inverse, 1)
        return wrong, rng.choice(("it picks the wrong items", "its test is the wrong way"))
    if fault == 1 and len(lines) > 3:
        lines[-1] = "    " + lines[-1]
        return "\n".join(lines), rng.choice(("it stops too early", "it returns inside the loop"))
    if fault == 2:
        return code.replace(":\n", "\n", 1), rng.choice(("it does not compile", "Python reports a syntax error"))
    head, _, body = code.partition("\n")
    wrong = re.sub(rf"\b{job.argument}\b", "items", body)
    return f"{head}\n{wrong}", rng.choice(("a name is not defined", "it ends with a NameError"))


def make_explanation(rng: random.Random) -> Task:
    """A function as input, one sentence as output; the pair is in the answer, not in the request."""
    job = draw_job(rng)
    text = _fill(rng.choice(EXPLAIN_FRAMES), job, rng)
    answer = _fill(rng.choice(EXPLAIN_ANSWERS), job, rng, c=job.selection.condition(job.variable))
    return Task("explain", text, answer, job.meaning(), input=job.code(rng), language="text")


def make_complexity(rng: random.Random) -> Task:
    job = _draw(rng, COMPLEXITY)
    text = _fill(rng.choice(COMPLEXITY_FRAMES), job, rng)
    answer = _fill(COMPLEXITY[job.action.verb], job, rng)
    return Task("complexity", text, answer, job.meaning(), input=job.code(rng), language="text")


def make_tests(rng: random.Random) -> Task:
    """Two asserts with results computed by the reference."""
    job = _draw(rng, COMPUTED, "number")
    values = _short_list(job, rng)
    answer = "\n".join(
        f"assert {job.name}({items!r}) == {job.meaning().expected(items)!r}"  # type: ignore[misc]
        for items in (values, [])
    )
    return Task(
        "tests", _fill(rng.choice(TEST_FRAMES), job, rng), answer.replace(" == None", " is None"), job.meaning()
    )


def _short_list(job: Job, rng: random.Random) -> list[object]:
    pool = [item for sample in job.selection.kind.samples() for item in sample]
    return rng.sample(pool, rng.randint(3, 5))


def make_translation(rng: random.Random) -> Task:
    """Python to JavaScript, for actions and conditions that both languages say in the same way."""
    while True:
        job = _draw(rng, JAVASCRIPT, "number record")
        condition = job.selection.condition(job.variable)
        if "abs" not in condition and "<= 99" not in condition:
            break
    condition = (
        re.sub(r'\["(\w+)"\]', r".\1", condition)
        .replace("==", "===")
        .replace("!=", "!==")
        .replace("% 2 === 1", "% 2 !== 0")
    )
    body = JAVASCRIPT[job.action.verb].format(x=camel(job.variable), xs=camel(job.argument), c=condition)
    answer = f"const {camel(job.name)} = ({camel(job.argument)}) => {body};"
    text = _fill(rng.choice(TRANSLATE_FRAMES), job, rng)
    return Task("translate", text, answer, job.meaning(), input=job.code(rng), language="javascript")


def make_computation(rng: random.Random) -> Task:
    """A short list as input, the result itself as output."""
    job = _draw(rng, COMPUTED, "number word")
    values = _short_list(job, rng)
    text = _fill(rng.choice(COMPUTE_FRAMES), job, rng)
    answer = repr(job.meaning().expected(values))  # type: ignore[misc]
    return Task("compute", text, answer, job.meaning(), input=repr(values), language="value")
