"""Small classes: a thing with one attribute and two methods. The answer is Python that compiles.

Every such task has one right text, so its meaning holds that text.
"""

from __future__ import annotations

import random

from demo_model.training.corpus.code_style import capital
from demo_model.training.corpus.task import Meaning, Task

# class, attribute, owner
THINGS = (
    ("Thermostat", "degrees", "a smart home"),
    ("Account", "balance", "a savings bank"),
    ("Tank", "litres", "a fish farm"),
    ("Battery", "charge", "a phone maker"),
    ("Scoreboard", "points", "a gym"),
    ("Lamp", "brightness", "a theatre"),
    ("Parking", "cars", "an airport"),
    ("Shelf", "boxes", "a depot"),
    ("Elevator", "floor", "an office tower"),
    ("Wallet", "coins", "a game studio"),
    ("Radio", "volume", "a car maker"),
    ("Printer", "pages", "a copy shop"),
    ("Garden", "plants", "a nursery"),
    ("Bus", "passengers", "a bus company"),
    ("Oven", "heat", "a bakery"),
    ("Library", "books", "a village"),
    ("Pedometer", "steps", "a fitness app"),
    ("Fridge", "bottles", "a canteen"),
    ("Kiosk", "tickets", "a museum"),
    ("Drone", "altitude", "a film crew"),
)
# method, wording with {a} the attribute, body; n is the argument where there is one
METHODS = (
    ("add(n)", "raises the {a} by n", "self.{a} += n"),
    ("take(n)", "lowers the {a} by n, never under zero", "self.{a} = max(0, self.{a} - n)"),
    ("reset()", "sets the {a} back to zero", "self.{a} = 0"),
    ("is_empty()", "tells whether the {a} is zero", "return self.{a} == 0"),
    ("double()", "doubles the {a}", "self.{a} *= 2"),
    ("report()", "returns the {a} as text", "return str(self.{a})"),
    ("exceeds(n)", "tells whether the {a} is more than n", "return self.{a} > n"),
    ("set_to(n)", "changes the {a} to n", "self.{a} = n"),
    ("step()", "raises the {a} by one", "self.{a} += 1"),
    ("missing(n)", "returns how much {a} lacks to reach n", "return max(0, n - self.{a})"),
    ("half()", "returns half of the {a}", "return self.{a} / 2"),
    ("copy()", "returns a second object with the same {a}", "return {C}(self.{a})"),
)
FRAMES = (
    "Implement a class `{C}` that holds {a}: `{m1}` {w1}, `{m2}` {w2}.",
    "Design `{C}` with the attribute `{a}`. Its method `{m1}` {w1}; `{m2}` {w2}.",
    "{Owner} models a {c} by its {a}. Define the class so that `{m1}` {w1} and `{m2}` {w2}.",
    "Create a small Python class for a {c}. `{m1}` {w1} and `{m2}` {w2}.",
    "What would a class `{C}` look like in which `{m1}` {w1} while `{m2}` {w2}?",
    "I need an object for a {c} with {a}; `{m1}` {w1}, and `{m2}` {w2}.",
    "Model a {c} in Python: `{m1}` {w1}, then `{m2}` {w2}. The {a} come first.",
    "Given the idea of a {c}, code a class. `{m1}` {w1}. `{m2}` {w2}.",
    "For {owner}, build the class `{C}`, where `{m1}` {w1} and `{m2}` {w2}.",
    "Declare `{C}({a}=0)`. Calling `{m1}` {w1}; calling `{m2}` {w2}.",
)


def make_class(rng: random.Random) -> Task:
    name, attribute, owner = rng.choice(THINGS)
    first, second = rng.sample(METHODS, 2)
    parts = {"C": name, "c": name.lower(), "a": attribute, "owner": owner, "Owner": capital(owner)}
    text = rng.choice(FRAMES).format(
        m1=first[0], m2=second[0], w1=first[1].format(**parts), w2=second[1].format(**parts), **parts
    )
    return Task("class", text, class_answer(name, (first[0], second[0])), class_meaning(name, (first[0], second[0])))


def class_answer(name: str, methods: tuple[str, str]) -> str:
    """The class with these two methods, as METHODS defines them."""
    attribute = next(attribute for thing, attribute, _ in THINGS if thing == name)
    bodies = {method: body.format(a=attribute, C=name) for method, _, body in METHODS}
    lines = [f"class {name}:", f"    def __init__(self, {attribute}=0):", f"        self.{attribute} = {attribute}"]
    for method in methods:
        signature = method.replace("(", "(self, ").replace(", )", ")")
        lines += ["", f"    def {signature}:", f"        {bodies[method]}"]
    return "\n".join(lines)


def class_meaning(name: str, methods: tuple[str, str]) -> Meaning:
    """The verb of a class task is its first method."""
    verb = "method " + methods[0].partition("(")[0]
    return Meaning(verb, f"class {name}", answer=class_answer(name, methods))
