"""SQL, shell and regular expressions: finding the code of answers, running it against tests, and making mutants."""

import pytest

from self_instruct.errors import UserError
from self_instruct.records import Record
from self_instruct.rules.execution import regex, running, shell, sql
from self_instruct.rules.execution.asserts import parse_tests
from self_instruct.rules.execution.languages import LANGUAGES, asks_for_code, code_in
from self_instruct.rules.execution.running import execute
from self_instruct.rules.sandbox import Limits, Sandbox, open_sandbox

QUERY = "SELECT name FROM staff WHERE salary > 1000 ORDER BY name"
SOLUTIONS = {
    "python": (
        "def average(numbers):\n    return sum(numbers) / len(numbers) if numbers else 0",
        "def count_vowels(text):\n    return sum(sign in 'aeiou' for sign in text.lower())",
        "class Stack:\n    def __init__(self):\n        self.items = []\n    def push(self, item):\n"
        "        self.items.append(item)\n    def pop(self):\n        return self.items.pop() if self.items else None\n"
        "    def size(self):\n        return len(self.items)",
    ),
    "sql": (QUERY, "SELECT customer, COUNT(*) FROM orders GROUP BY customer;",
            "UPDATE products SET price = price + 1 WHERE price < 10;"),
    "shell": ("grep -c TODO notes.txt", 'printf "%s\\n" "$@" | tac',
              'backup() { cp "$1" "$1.bak"; }'),
    "regex": (r"(?:[01]\d|2[0-3]):[0-5]\d", r"#[A-Za-z0-9]+", r"-?(?:0|[1-9]\d*)"),
}  # fmt: skip


@pytest.fixture(scope="module")
def isolated() -> Sandbox:
    try:
        return Sandbox(open_sandbox().mode, Limits(seconds=1))
    except UserError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    ("language", "task", "output", "code"),
    [
        ("sql", "Which query?", QUERY, QUERY), ("sql", "", f"Try:\n```sql\n{QUERY}\n```\nDone.", QUERY),
        ("sql", "", "-- all\nWITH t AS (SELECT 1) SELECT * FROM t", "-- all\nWITH t AS (SELECT 1) SELECT * FROM t"),
        ("sql", "In SQL.", "delete from a where b = 1;", "delete from a where b = 1;"),
        ("sql", "Advise.", "Select a dress from the shop.", None), ("sql", "", "Update the list set by hand.", None),
        ("sql", "In SQL.", "It depends.", None), ("sql", "In SQL.", f"```python\nx = '{QUERY}'\n```", None),
        ("shell", "A Bash one-liner.", "ls -l | wc -l", "ls -l | wc -l"), ("shell", "", "```bash\nls\n```", "ls"),
        ("shell", "", "```console\n$ ls -a\n.\n..\n$ pwd\n```", "ls -a\npwd"),
        ("shell", "A shell script.", "#!/bin/sh\nls", "#!/bin/sh\nls"), ("shell", "A cake.", "cut it", None),
        ("shell", "Explain the shell command ls.", "It lists files.", None),
        ("regex", "A regex for digits.", r"\d+", r"\d+"), ("regex", "A regular expression.", "`^a.$` matches.", "^a.$"),
        ("regex", "A regex.", "```regex\n/[a-z]+/i\n```", "[a-z]+"), ("regex", "A regex.", "r'a|b'", "a|b"),
        ("regex", "A regex.", "a(b", None), ("regex", "A regex.", "abc", None), ("regex", "A sum.", r"\d+", None),
        ("regex", "A regex.", "x*" * 999, None), ("regex", "A regex.", "(" * 499 + "*", None),
    ],
)  # fmt: skip
def test_the_code_of_an_answer(language, task, output, code):
    assert LANGUAGES[language].code_of(task, output) == code


def test_the_first_language_with_code_counts_and_a_task_may_ask_for_one():
    record = Record("a", "Write a SQL query.", "", f"```sql\n{QUERY}\n```")
    assert code_in(record, ("python", "sql", "shell")) == ("sql", QUERY) and code_in(record, ("python",)) is None
    assert asks_for_code(record, ("shell", "sql")) and not asks_for_code(record, ("python", "regex"))


@pytest.mark.parametrize(
    ("task", "asks"),
    [
        ("Explain decorators in Python.", False), ("What is a Python generator?", False), ("Is Python typed?", False),
        ("How does Python count references?", False), ("Name three web frameworks for Python.", False),
        ("Which Python expression adds a and b?", True), ("Write Python that says what is right.", True),
        ("Compare two texts in Python.", True), ("List the even numbers in Python.", True),
        ("When given x, add 1 in Python.", True),
        ("Isolate the words of a text in Python.", True), ("In Python, sort a list.", True), ("What Python code adds?", True),
    ],
)  # fmt: skip
def test_a_task_that_asks_for_an_explanation_needs_no_code(task, asks):
    assert asks_for_code(Record("a", task, "", "No."), ("python",)) == asks


def test_the_model_sees_the_names_that_tests_must_provide_but_not_the_code():
    assert sql.signatures(QUERY) == (
        "def rows(setup: str, then: str = '') -> list[tuple]:\n# names in the solution: name, salary, staff"
    )
    assert shell.signatures("sort a.txt > $1\nf() { x; }").endswith("# names in the solution: a.txt, $1, f()")
    assert "names" not in shell.signatures("ls") and "digit" not in regex.signatures(r"(?P<digit>\d)")


@pytest.mark.parametrize("language", LANGUAGES)
def test_examples_show_what_the_model_will_see_and_tests_that_right_answers_pass(language, isolated, monkeypatch):
    monkeypatch.setattr(running, "MUTANTS", 0)
    for (_, signature, tests), code in zip(LANGUAGES[language].EXAMPLES, SOLUTIONS[language], strict=True):
        module = LANGUAGES[language]
        shown = [line.replace(": str", "").replace(" -> int", "") for line in signature.splitlines()]
        assert module.signatures(code).replace(": str", "").splitlines() == shown
        parsed = parse_tests(tests, module.names(code), 9)
        assert len(parsed) == tests.count("\nassert") + tests.count("\ndef") + tests.startswith(("assert", "def"))
        found = execute(language, code, parsed, isolated)
        assert found.verdict(1) == "passed", (code, found)


@pytest.mark.parametrize(
    ("language", "code", "tests", "outcome"),
    [
        ("sql", "SELECT a FROM t", ["assert rows('CREATE TABLE t (b)') == []"], "failed"),
        ("sql", "SELECT 1 WHERE 0", ["assert rows('') == []"], "vacuous"),
        ("sql", "SELECT 'a", ["assert rows('') == []"], "failed"),
        ("sql", "SELECT a FROM t ORDER BY a",
         ["assert rows('CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)') == [(2,), (1,)]"], "failed"),
        ("shell", "cat a", ["assert run({'a': 'x'}) == 'y'"], "failed"),
        ("regex", r"(a+)+b", ["assert not matches('a' * 60)"], "timeout"),
        ("regex", r"\d*", ["assert found('') == ['']"], "vacuous"),
        ("regex", r"\d\d?", ["assert matches('12') and matches('1') and not matches('a') and not matches('123')"], "passed"),
        ("sql", "SELECT a FROM t WHERE a < 2",
         ["assert rows('CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)') == [1]"], "passed"),
        ("shell", "sort a | head -n 1", ["assert run({'a': 'y\\nx\\n'}) == 'x'"], "passed"),
    ],
)  # fmt: skip
def test_other_answers_fail(language, code, tests, outcome, isolated):
    assert execute(language, code, tests, isolated).verdict(0.8) == outcome


@pytest.mark.parametrize(
    ("module", "code", "found"),
    [
        (sql, "SELECT MIN(a) FROM t WHERE b = 'OR' AND c IS NULL -- OR",
         {"SELECT MAX(a) FROM t WHERE b = 'OR' AND c IS NULL -- OR", "SELECT MIN(a) FROM t WHERE b <> 'OR' AND c IS NULL -- OR",
          "SELECT MIN(a) FROM t WHERE b = 'ORx' AND c IS NULL -- OR", "SELECT MIN(a) FROM t WHERE b = 'OR' OR c IS NULL -- OR",
          "SELECT MIN(a) FROM t WHERE b = 'OR' AND c IS NOT NULL -- OR"}),
        (shell, "sort -r a | head -n 3", {"cat -r a | head -n 3", "sort  a | head -n 3", "sort -r a "}),
        (regex, r"^\d{2}[a-f]+\.",
         {r"\d{2}[a-f]+\.", r"^\D{2}[a-f]+\.", r"^\d{3}[a-f]+\.", r"^\d{2}[a]+\.", r"^\d{2}[a-f]*\."}),
    ],
)  # fmt: skip
def test_mutants_have_one_change_each(module, code, found):
    assert set(module.mutants(code, 99)) == found
    few = module.mutants(code, 2)
    assert len(few) == 2 and set(few) < found
