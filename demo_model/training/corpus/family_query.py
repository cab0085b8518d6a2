"""SQL statements over one table and shell one-liners over one file.

The tests run the SQL. Its objects ("orders whose total is above 50") are shared with Python; shell has its own.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from demo_model.training.corpus.code_style import capital
from demo_model.training.corpus.objects import Selection, object_kinds
from demo_model.training.corpus.task import Meaning, Task, pick


@dataclass(frozen=True)
class Statement:
    """A verb with its wording and the command; {o} the selection, {f} another column, {w} the condition."""

    verb: str
    imperative: str
    command: str


SQL_STATEMENTS = (
    Statement("count", "count the {o}|count how many {o} there are", "SELECT COUNT(*) FROM {t} WHERE {w};"),
    Statement("keep", "select the {o}|pick out the {o}", "SELECT * FROM {t} WHERE {w};"),
    Statement("remove", "drop all {o}|remove the {o}", "DELETE FROM {t} WHERE {w};"),
    Statement("order by", "order by {f} the {o}|arrange by {f} the {o}", "SELECT * FROM {t} WHERE {w} ORDER BY {f};"),
    Statement(
        "average of",
        "compute the average {f} of the {o}|get the mean {f} of the {o}",
        "SELECT AVG({f}) FROM {t} WHERE {w};",
    ),
    Statement("sum of", "sum the {f} of the {o}|add up the {f} of the {o}", "SELECT SUM({f}) FROM {t} WHERE {w};"),
    Statement(
        "maximum of",
        "look up the highest {f} of the {o}|get the maximum {f} of the {o}",
        "SELECT MAX({f}) FROM {t} WHERE {w};",
    ),
    Statement(
        "minimum of",
        "look up the lowest {f} of the {o}|get the minimum {f} of the {o}",
        "SELECT MIN({f}) FROM {t} WHERE {w};",
    ),
    Statement(
        "increase",
        "increase by one the {f} of the {o}|bump by one the {f} of the {o}",
        "UPDATE {t} SET {f} = {f} + 1 WHERE {w};",
    ),
    Statement(
        "group by",
        "group by {f} and count the {o}|count, for each {f}, the {o}",
        "SELECT {f}, COUNT(*) FROM {t} WHERE {w} GROUP BY {f};",
    ),
    Statement(
        "top three",
        "get, by highest {f}, three of the {o}|show, ranked by {f}, three of the {o}",
        "SELECT * FROM {t} WHERE {w} ORDER BY {f} DESC LIMIT 3;",
    ),
    Statement(
        "distinct of",
        "list every different {f} of the {o}|get the distinct {f} of the {o}",
        "SELECT DISTINCT {f} FROM {t} WHERE {w};",
    ),
)
SQL_FRAMES = (
    "Which SQL statement would {imp}?",
    "In SQL, {imp}.",
    "Table `{t}` has the columns {cols}. {Imp}.",
    "{Owner} has a table `{t}` ({cols}). Use SQL to {imp}.",
    "Given a table `{t}` with {cols}, {imp} by SQL.",
    "Compose an SQL command to {imp}.",
    "How do I {imp} from the table `{t}`?",
    "{Imp}, using SQL on `{t}({cols})`.",
    "Query the database of {owner}: {imp}.",
    "{Owner} wants an SQL command to {imp}.",
    "`{t}({cols})` is a table. Show the SQL to {imp}.",
    "Help me {imp} with one SQL line.",
)

FILES = (
    ("access.log", "long log"),
    ("users.txt", "user list"),
    ("data.csv", "data table"),
    ("notes.md", "notebook"),
    ("server.log", "server log"),
    ("words.txt", "word list"),
    ("orders.csv", "order table"),
    ("todo.txt", "todo list"),
    ("config.ini", "settings sheet"),
    ("report.txt", "report"),
    ("mail.log", "mail log"),
    ("prices.tsv", "price table"),
)
SEARCHED = ("ERROR", "WARNING", "admin", "timeout", "done", "failed", "http", "urgent", "root", "TODO")
SHELL_STATEMENTS = (
    Statement("shell count", "count the lines of {f} with {w}|find how many lines of {f} have {w}", "grep -c {w} {f}"),
    Statement("shell show", "show the lines of {f} with {w}|print every line of {f} having {w}", "grep {w} {f}"),
    Statement("shell hide", "show the lines of {f} without {w}|print {f} minus the lines with {w}", "grep -v {w} {f}"),
    Statement(
        "shell number",
        "number the lines of {f} with {w}|print lines of {f} with {w} and their numbers",
        "grep -n {w} {f}",
    ),
    Statement("shell case", "search {f} for {w} in any case|find {w} in {f}, ignoring case", "grep -i {w} {f}"),
    Statement(
        "shell first",
        "stop at the first line of {f} with {w}|print only the first line of {f} with {w}",
        "grep -m 1 {w} {f}",
    ),
    Statement(
        "shell last",
        "print only the last line of {f} with {w}|get the final line of {f} with {w}",
        "grep {w} {f} | tail -n 1",
    ),
    Statement(
        "shell delete",
        "delete in place the lines of {f} with {w}|strip from {f} all lines with {w}",
        "sed -i '/{w}/d' {f}",
    ),
    Statement(
        "shell replace", "replace {w} by OK throughout {f}|turn each {w} in {f} into OK", "sed 's/{w}/OK/g' {f}"
    ),
    Statement(
        "shell sort", "sort the lines of {f} with {w}|print sorted the lines of {f} with {w}", "grep {w} {f} | sort"
    ),
    Statement(
        "shell unique",
        "list once each line of {f} with {w}|print without repeats the lines of {f} with {w}",
        "grep {w} {f} | sort -u",
    ),
    Statement(
        "shell copy",
        "copy the lines of {f} with {w} to found.txt|save lines of {f} with {w} in found.txt",
        "grep {w} {f} > found.txt",
    ),
)
SHELL_FRAMES = (
    "Which shell command would {imp}?",
    "On the command line, {imp}.",
    "In a Linux shell, {imp}.",
    "{Imp} with standard Unix tools.",
    "How can one {imp} in Bash?",
    "Give a one-liner to {imp}.",
    "I look after a {d}. Help me {imp}.",
    "A {d} grew long: {imp} from the terminal.",
    "Without opening an editor, {imp}.",
    "As a system administrator, {imp} in one line.",
    "The {d} matters to us. {Imp}.",
    "Terminal task: {imp}.",
    "Somebody asked to {imp}. What do I type?",
    "Show the quickest command to {imp}.",
    "{Imp}. Answer with one command for this {d}.",
    "Use grep or sed to {imp}.",
)

RECORD_KINDS = tuple(kind for kind in object_kinds() if kind.field)


def make_sql(rng: random.Random) -> Task:
    kind, statement = rng.choice(RECORD_KINDS), rng.choice(SQL_STATEMENTS)
    selection, noun = kind.draw(rng), kind.noun
    column = rng.choice([f for f in noun.fields if f != kind.field])
    imperative = pick(rng, statement.imperative).format(o=selection.phrase(rng), f=column)
    text = rng.choice(SQL_FRAMES).format(
        imp=imperative,
        Imp=capital(imperative),
        t=noun.many,
        owner=noun.owner,
        Owner=capital(noun.owner),
        cols=", ".join(noun.fields),
    )
    if text.startswith("`"):
        text = "A table " + text
        text = text.replace(" is a table.", " is given.")
    meaning = sql_meaning(statement, selection, column)
    return Task("sql", text, meaning.answer, meaning, language="sql")


def sql_meaning(statement: Statement, selection: Selection, column: str) -> Meaning:
    kind = selection.kind
    operator = {"above": ">", "below": "<", "at least": ">=", "equal": "="}[kind.predicate.key]
    where = f"{kind.field} {operator} {selection.params[0]}"
    return Meaning(statement.verb, kind.key, answer=statement.command.format(t=kind.noun.many, f=column, w=where))


def make_shell(rng: random.Random) -> Task:
    (file, description), statement, word = rng.choice(FILES), rng.choice(SHELL_STATEMENTS), rng.choice(SEARCHED)
    imperative = pick(rng, statement.imperative).format(f=f"`{file}`", w=word)
    text = rng.choice(SHELL_FRAMES).format(imp=imperative, Imp=capital(imperative), d=description)
    meaning = shell_meaning(statement, file, word)
    return Task("shell", text, meaning.answer, meaning, language="shell")


def shell_meaning(statement: Statement, file: str, word: str) -> Meaning:
    return Meaning(statement.verb, f"{word} in {file}", answer=statement.command.format(f=file, w=word))
