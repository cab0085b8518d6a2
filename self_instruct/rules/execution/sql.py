"""SQL answers, which run in an SQLite database in memory. A test fills the tables and compares the rows."""

import re

from self_instruct.rules.execution.mutation import MAX_CHARACTERS, with_one_token_changed
from self_instruct.rules.fences import blocks

_TAGS = ("", "sql", "sqlite", "sqlite3", "mysql", "postgres", "postgresql", "psql", "tsql", "plsql")
_NAMES_SQL = re.compile(r"\b(?:SQL|SQLite|MySQL|Postgres(?:QL)?)\b", re.IGNORECASE)
_STARTS = re.compile(
    r"(?:\s|--[^\n]*\n|(?>/\*.*?\*/))*+(?P<verb>SELECT\b|WITH\s+(?:RECURSIVE\s+)?\w+[^()]{0,99}\(|INSERT\s+(?:OR\s+\w+\s+)?INTO\b|REPLACE\s+INTO\b"
    r"|UPDATE\s+\S+\s+SET\b|DELETE\s+FROM\b|(?:CREATE|DROP|ALTER)\s+(?:UNIQUE\s+|TEMP(?:ORARY)?\s+)?(?:TABLE|VIEW|INDEX|TRIGGER)\b)",
    re.IGNORECASE | re.DOTALL,
)
_KEYWORDS = frozenset(
    "abs add all alter and as asc avg begin between by case cast check coalesce collate column commit count create "
    "cross current date datetime default delete dense_rank desc distinct drop else end escape except exists filter "
    "following for foreign from full glob group having if ifnull in index inner insert instr int integer intersect "
    "into is join key left length like limit lower ltrim max min natural not null nullif nulls offset on or order "
    "outer over partition preceding primary range rank real recursive references replace right round row row_number "
    "rows rtrim select set strftime substr substring sum table text then total trim unbounded union unique update "
    "upper using values varchar view when where window with".split()
)
_TOKEN = re.compile(
    r"(?P<comment>--[^\n]*|/\*.*?\*/)|(?P<text>'(?:[^']|'')*')|(?P<quoted>\"[^\"]*\"|`[^`]*`|\[[^\]]*\])"
    r"|(?P<number>\b\d+(?:\.\d+)?\b)|(?P<phrase>\b(?:IS\s+NOT\s+NULL|IS\s+NULL|NOT\s+(?:IN|LIKE|EXISTS|BETWEEN)|LEFT\s+(?:OUTER\s+)?"
    r"JOIN|UNION\s+ALL)\b)|(?P<word>[A-Za-z_]\w*)|(?P<sign><>|!=|<=|>=|==|=|<|>|\+|-|\*|/|%)",
    re.IGNORECASE | re.DOTALL,
)
_OTHER = {
    "<": ">=", ">=": "<", ">": "<=", "<=": ">", "=": "<>", "==": "<>", "<>": "=", "!=": "=", "+": "-", "-": "+", "/": "*",
    "AND": "OR", "OR": "AND", "ASC": "DESC", "DESC": "ASC", "MIN": "MAX", "MAX": "MIN", "SUM": "COUNT", "AVG": "SUM",
    "COUNT": "MAX", "DISTINCT": "", "LOWER": "UPPER", "UPPER": "LOWER", "EXISTS": "NOT EXISTS", "IN": "NOT IN",
    "LIKE": "NOT LIKE", "IS NULL": "IS NOT NULL", "IS NOT NULL": "IS NULL", "NOT IN": "IN", "NOT LIKE": "LIKE",
    "NOT EXISTS": "EXISTS", "NOT BETWEEN": "BETWEEN", "LEFT JOIN": "JOIN", "LEFT OUTER JOIN": "JOIN", "UNION ALL": "UNION",
    "UNION": "UNION ALL", "RANK": "ROW_NUMBER", "ROW_NUMBER": "RANK",
}  # fmt: skip

EXAMPLES = (
    ("Which SQL query lists the names in staff(name, salary) of all who earn more than 1000, in alphabetical order?",
     "def rows(setup: str, then: str = '') -> list[tuple]:\n# names in the solution: name, salary, staff",
     "staff = 'CREATE TABLE staff (name TEXT, salary INTEGER);'\n"
     "assert rows(staff + \"INSERT INTO staff VALUES ('Bo', 1500), ('Al', 1001), ('Cy', 1000);\") == [('Al',), ('Bo',)]\n"
     "assert rows(staff) == []"),
    ("Count the orders of each customer in orders(id, customer).",
     "def rows(setup: str, then: str = '') -> list[tuple]:\n# names in the solution: customer, orders",
     "orders = 'CREATE TABLE orders (id INTEGER, customer TEXT);'\n"
     "assert rows(orders + \"INSERT INTO orders VALUES (1, 'a'), (2, 'b'), (3, 'a');\") == [('a', 2), ('b', 1)]\n"
     "assert rows(orders + \"INSERT INTO orders VALUES (7, 'z');\") == [('z', 1)]\nassert rows(orders) == []"),
    ("Write an SQL statement that raises all prices in products(id, price) below 10 by one.",
     "def rows(setup: str, then: str = '') -> list[tuple]:\n# names in the solution: price, products",
     "products = 'CREATE TABLE products (id INTEGER, price INTEGER); INSERT INTO products VALUES (1, 9), (2, 10), (3, 4);'\n"
     "assert rows(products, 'SELECT price FROM products ORDER BY id') == [(10,), (10,), (5,)]"),
)  # fmt: skip
"""Tasks, signatures and tests."""

_MODULE = '''
import sqlite3

SOLUTION = {code!r}

class Rows(list):
    """Rows that equal others in any order, unless the query orders them."""
    ordered = False
    def __eq__(self, other):
        try:
            left = [tuple(row) if isinstance(row, (list, tuple)) else (row,) for row in other]
        except TypeError:
            return False
        if self.ordered or len(left) != len(self):
            return left == [*self]
        for row in self:
            if row not in left:
                return False
            left.remove(row)
        return True
    def __ne__(self, other):
        return not self == other

def rows(setup="", then=""):
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.executescript(setup)
    found = _run(database, SOLUTION)
    return _run(database, then) if then else found

def _run(database, text):
    found, statement = Rows(), ""
    for part in (text.rstrip().rstrip(";") + ";").split(";")[:-1]:
        statement += part + ";"
        if sqlite3.complete_statement(statement):
            cursor = database.execute(statement)
            if cursor.description is not None:
                found = Rows(cursor.fetchmany(10000))
                found.ordered = _orders(statement)
            statement = ""
    if statement.strip():  # a text without an end
        database.execute(statement)
    return found

def _orders(statement):
    depth, outside = 0, ""
    for sign in statement.lower():
        depth += (sign == "(") - (sign == ")")
        outside += sign if depth == 0 else " "
    return " order by " in " ".join(outside.split())
'''


def wants(task: str) -> bool:
    """Return whether a task mentions SQL."""
    return _NAMES_SQL.search(task) is not None


def code_of(task: str, output: str) -> str | None:
    """Return the first fenced block with an SQL statement, or the whole answer if it is one; else None.

    Without a tag of SQL, the statement has its keywords in capital letters, or the task mentions SQL.
    """
    found = list(blocks(output))
    for tag, code in found or [("", output)]:
        if tag in _TAGS and len(code) <= MAX_CHARACTERS and (start := _STARTS.match(code)):
            if tag or wants(task) or start["verb"].split()[0].isupper():
                return code.strip()
    return None


def signatures(code: str) -> str:
    """Return the signature of `rows`, and the names in the code, which tests need for the tables."""
    words = {match["word"] or match["quoted"] for match in _TOKEN.finditer(code)}
    named = sorted(word for word in words if word and word.lower() not in _KEYWORDS)
    return f"def rows(setup: str, then: str = '') -> list[tuple]:\n# names in the solution: {', '.join(named)}"


def names(code: str) -> set[str]:
    """Return the name of the function that runs the code."""
    return {"rows"}


def module(code: str) -> str:
    """Return a module with `rows(setup, then)`: run `setup`, the code and `then`, and return the rows of the last query."""
    return _MODULE.format(code=code)


def trivial(code: str) -> list[str]:
    """Return a query without rows."""
    return ["SELECT 1 WHERE 0"]


def mutants(code: str, limit: int) -> list[str]:
    """Return at most `limit` copies of the code with another operator, function, number or text."""
    return with_one_token_changed(code, _TOKEN, _changed, limit)


def _changed(match: re.Match[str]) -> str | None:
    if match["number"]:
        return str(int(match["number"]) + 1) if match["number"].isdigit() else f"1{match['number']}"
    if match["text"]:
        return f"{match['text'][:-1]}x'"
    return _OTHER.get(" ".join(match.group().upper().split()))
