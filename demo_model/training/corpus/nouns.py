"""Things that tasks are about: numbers, words and records, who keeps them, and sample values.

Only vocabulary. A predicate that narrows a noun ("even prices") is in `predicates.py`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Noun:
    """A countable thing; `kind` says what its values are: "number", "word" or "record"."""

    one: str
    many: str
    kind: str
    owner: str
    fields: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        return self.one.replace(" ", "_")

    @property
    def argument(self) -> str:
        return self.many.replace(" ", "_")


def _nouns(kind: str, table: str) -> tuple[Noun, ...]:
    """Read 'one, many, owner, field field' lines."""
    nouns = []
    for line in table.strip().splitlines():
        one, many, owner, *rest = (part.strip() for part in line.split(","))
        nouns.append(Noun(one, many, kind, owner, tuple(rest[0].split()) if rest else ()))
    return tuple(nouns)


NUMBER_NOUNS = _nouns(
    "number",
    """
    number, numbers, a calculator
    integer, integers, a spreadsheet
    price, prices, a grocery shop
    score, scores, a chess club
    temperature, temperatures, a weather station
    age, ages, a sports club
    distance, distances, a delivery firm
    weight, weights, a freight office
    reading, readings, a gas meter
    salary, salaries, a payroll system
    height, heights, a school nurse
    delay, delays, a railway
    rating, ratings, a film site
    balance, balances, a small bank
    mark, marks, a teacher
    duration, durations, a call centre
    amount, amounts, an accountant
    depth, depths, a survey ship
    """,
)

WORD_NOUNS = _nouns(
    "word",
    """
    word, words, a dictionary app
    name, names, a hotel
    city, cities, a travel agency
    title, titles, a library
    tag, tags, a photo blog
    username, usernames, a web forum
    country, countries, an atlas
    label, labels, a warehouse
    password, passwords, an audit tool
    code, codes, a parking office
    street, streets, a city council
    keyword, keywords, a search engine
    colour, colours, a paint shop
    token, tokens, a tokenizer
    surname, surnames, a family archive
    planet, planets, an observatory
    """,
)

RECORD_NOUNS = _nouns(
    "record",
    """
    order, orders, a web shop, total quantity discount
    student, students, a school, grade age absences
    book, books, a library, pages year copies
    employee, employees, a company, salary age bonus
    car, cars, a rental firm, speed mileage doors
    player, players, a football league, goals age matches
    flight, flights, an airport, delay seats distance
    product, products, a warehouse, price stock weight
    recipe, recipes, a cook, minutes servings calories
    house, houses, an estate agent, rooms rent area
    song, songs, a radio station, length plays rank
    invoice, invoices, an accountant, amount tax days
    ticket, tickets, a help desk, priority age votes
    patient, patients, a clinic, age visits weight
    """,
)

LIST_NOUNS = NUMBER_NOUNS + WORD_NOUNS

NUMBER_SAMPLES: tuple[list[int], ...] = (
    [],
    [4],
    [3, 8, -5, 12, 0, 7, 8, -2],
    [10, 25, 33, 41, 50, 6, 6, 15, 97],
    [-7, -4, 20, 60, 100, 75, 30, 20, 1],
    [2, 2, 4, 18, 45, 90, 11, 5, -30, 27, 64],
)

WORD_SAMPLES: tuple[list[str], ...] = (
    [],
    ["level"],
    ["Anna", "river", "STOP", "b2", "kayak", "sun", "river", "eel"],
    ["paris", "TOKYO", "oslo", "Lima", "noon", "a1b2", "trees", "madam", "sky"],
    ["apple", "Banana", "cat", "dd", "elephant", "ROOF", "tenet", "mint", "code9", "cat"],
    ["stone", "planetarium", "rum", "lamp", "EAR", "dad", "moss", "2024", "tart", "crab"],
)


def record_samples(fields: tuple[str, ...]) -> tuple[list[dict[str, int]], ...]:
    """Records whose fields take every third value of the number samples, so that thresholds matter."""
    rows = [sample for sample in NUMBER_SAMPLES if len(sample) > 2]
    tables: list[list[dict[str, int]]] = [[]]
    for sample in rows:
        size = len(sample)
        tables.append([{f: sample[(i + 3 * k) % size] for k, f in enumerate(fields)} for i in range(size)])
    return tuple(tables)
