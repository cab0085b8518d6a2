"""Sentences around a job: questions, orders, scenarios, and the constraints that may follow.

`imp` is an imperative clause, `res` a noun phrase for the result, `cont` the container, `f` the function's name, `a`
its argument. The clauses come from elsewhere; nothing here depends on what they say.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from demo_model.training.corpus.code_style import capital

SCENARIOS = (
    "{Owner} keeps its {ns} in a {shape}.",
    "{Owner} hands you a {shape} of {ns}.",
    "Suppose {owner} exports its {ns} as a Python {shape}.",
    "The {ns} of {owner} arrive as a {shape}.",
    "Every evening {owner} sends its {ns} to you.",
    "{Owner} has collected {ns} for a year.",
    "Imagine a {shape} of {ns} from {owner}.",
    "A report for {owner} is built from its {ns}.",
    "{Owner} reads its {ns} from disk into a {shape}.",
    "Software for {owner} passes {ns} around as a {shape}.",
)

CONTAINERS = (
    "a {shape} of {ns}",
    "the {shape} `{a}`",
    "a {shape} called `{a}`",
    "some {ns}",
    "a {shape}",
    "any {shape} of {ns}",
    "the {ns} of {owner}",
    "its argument `{a}`",
)

STRING_SCENARIOS = (
    "{Owner} checks one {n} at a time.",
    "{Owner} receives a {n} as a string.",
    "Every {n} of {owner} is a string.",
    "Suppose {owner} stores a {n}.",
    "{Owner} cleans each {n} before saving it.",
    "Imagine any {n} from {owner}.",
)
STRING_CONTAINERS = (
    "the string `{a}`",
    "a string",
    "one {n}",
    "a {n} of {owner}",
    "its argument `{a}`",
    "a string called `{a}`",
)

IMPERATIVE_FRAMES = (
    "{Imp} in {cont}.",
    "From {cont}, {imp}.",
    "Given {cont}, {imp}.",
    "How can you {imp} in {cont} with Python?",
    "Implement `{f}({a})` to {imp}.",
    "Define `{f}`, a function that can {imp}, given {cont}.",
    "{scene} {Imp}.",
    "{scene} The function `{f}` should {imp}.",
    "I have {cont}. Please {imp}.",
    "Use Python to {imp} in {cont}.",
    "Complete `def {f}({a}):` so that it will {imp}.",
    "{Owner} wants to {imp}; help with a function `{f}`.",
    "Code a short function to {imp}; call it `{f}`.",
    "{Imp}, taking {cont} as input.",
    "Let `{f}` {imp}.",
    "{scene} How would you {imp}?",
    "Add a method-free Python function `{f}({a})`: {imp}.",
    "Help me {imp}. My data is {cont}.",
    "{Imp}; name the function `{f}`.",
    "Python exercise: {imp}.",
)

RESULT_FRAMES = (
    "Return {res} for {cont}.",
    "Given {cont}, return {res}.",
    "Implement `{f}({a})`, which returns {res}.",
    "What function gives {res} in {cont}?",
    "{scene} Compute {res}.",
    "{scene} We need {res}.",
    "I need {res}; the input is {cont}.",
    "Create a function that takes {cont} and returns {res}.",
    "Turn {cont} into {res}.",
    "For {cont}, give {res}.",
    "Produce {res} from {cont}.",
    "Show a Python function `{f}` whose result is {res}.",
    "Provide `{f}`: it accepts {cont} and answers with {res}.",
    "{scene} `{f}({a})` must give back {res}.",
    "Which code returns {res}, given {cont}?",
    "Calling `{f}({a})` should yield {res}. Define it.",
    "Obtain {res} with a function on {cont}.",
    "{Owner} asks for {res}. Answer with Python.",
)

EXPRESSION_FRAMES = (
    "Which expression gives {res} if `{a}` is a {shape} of {ns}?",
    "In one expression, {imp} in the {shape} `{a}`.",
    "Give a single expression on `{a}` for {res}.",
    "{scene} Its name is `{a}`; state one expression for {res}.",
    "As an expression, not a function: {imp} in `{a}`.",
    "Without `def`, {imp} in `{a}`.",
)

LOOP_RULES = (
    "Use a plain for loop.",
    "Avoid comprehensions.",
    "Solve it with an explicit loop.",
    "Loop over the items yourself.",
)
QUICK_RULES = (
    "Keep the body to one line.",
    "Do not write a for statement.",
    "A one-line body is enough.",
    "Be brief.",
)
HINT_RULES = ("Add type hints.", "Annotate argument and result.", "Type hints are required.", "Include annotations.")
DOC_RULES = ("Add a docstring.", "Document it in one line.", "Include a one-line docstring.")
GUARD_RULES = (
    "Raise ValueError if the list is empty.",
    "An empty list must raise ValueError.",
    "Reject an empty list with ValueError.",
    "Empty input is an error: raise ValueError.",
)
NEUTRAL_RULES = (
    "Import nothing.",
    "The list may be empty.",
    "Python only.",
    "Use no library.",
    "Keep it readable.",
    "Short code is welcome.",
    "Mind empty input.",
)


@dataclass(frozen=True)
class Wording:
    """The parts of a sentence about one job."""

    imperative: str
    result: str
    name: str
    argument: str
    nouns: str
    owner: str
    shape: str = "list"

    def fill(self, template: str, rng: random.Random) -> str:
        string = self.shape == "string"
        scene = rng.choice(STRING_SCENARIOS if string else SCENARIOS)
        simple = {
            "ns": self.nouns,
            "a": self.argument,
            "f": self.name,
            "owner": self.owner,
            "Owner": capital(self.owner),
            "imp": self.imperative,
            "Imp": capital(self.imperative),
            "res": self.result,
            "shape": self.shape,
            "n": self.argument.replace("_", " "),
        }
        container = rng.choice(STRING_CONTAINERS if string else CONTAINERS).format(**simple)
        return template.format(**simple, cont=container, scene=scene.format(**simple))


def ask(wording: Wording, rng: random.Random) -> str:
    """A request for a function; it names the function or leaves the name to be derived."""
    frames = IMPERATIVE_FRAMES if rng.random() < 0.52 else RESULT_FRAMES
    return wording.fill(rng.choice(frames), rng)


def ask_expression(wording: Wording, rng: random.Random) -> str:
    return wording.fill(rng.choice(EXPRESSION_FRAMES), rng)
