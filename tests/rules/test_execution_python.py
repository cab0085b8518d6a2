"""Finding Python code in answers, parsing tests, and making mutants."""

import ast

import pytest

from self_instruct.rules.execution.asserts import parse_tests, with_name
from self_instruct.rules.execution.python import code_of, emptied, mutants, signatures, wants

ADD = "def add(a, b=1):\n    '''Add.'''\n    return a + b"
CLASS = "import math\n\n@wrapped\nclass Stack(list):\n    size = 0\n    def pop(self) -> int:\n        return 0"


@pytest.mark.parametrize(
    ("output", "code"),
    [
        (ADD, ADD), (f"Sure:\n```python\n{ADD}\n```\nDone.", ADD), (f"```\n{ADD}\n```", ADD), (f"~~~py\n{ADD}", ADD),
        (f"```sh\nls\n```\n```Python\n{ADD}\n```", ADD), (f"```python\nprint(1)\n```\n```python\n{ADD}\n```", ADD),
        (f"```js\n{ADD}\n```", None), ("print(1)", None), ("Penguin", None), ("def f(:", None), ("", None),
        ("def f():\n    '\ud800'", None), ("def f(): return " + "-" * 5000 + "1", None),
        ("def f():\n " + "x." * 9000 + "x", None),
    ],
)  # fmt: skip
def test_the_code_of_an_answer_defines_a_function_or_class(output, code):
    assert code_of("", output) == code


def test_the_model_sees_signatures_without_bodies():
    assert signatures(ADD) == "def add(a, b=1):"
    assert signatures(CLASS) == "class Stack(list):\n    def pop(self) -> int:"
    assert wants("Sort.\nIn Python.") and not wants("pythonic")


@pytest.mark.parametrize(
    ("text", "tests"),
    [
        ("assert add(1) == 2\nassert add(1, 1) == 2", ["assert add(1) == 2", "assert add(1, 1) == 2"]),
        ("Tests:\n```python\nassert add(1) == 2\n```\nGood luck!", ["assert add(1) == 2"]),
        ("Here are tests.\nassert add(1) == 2\nassert add(1 ==\nx", ["assert add(1) == 2"]),
        ("assert 1 == 1\nassert sub(1)\nprint(add(1))", []),
        ("def add(a, b=1): return 5\nassert add(1) == 5", ["assert add(1) == 5"]),
        ("import math\nfrom answer import add\nimport numpy\nx = 3\nassert add(x) == 4",
         ["import math\nx = 3\nassert add(x) == 4"]),
        ("def test_it():\n    assert add(1) == 2", ["def test_it():\n    assert add(1) == 2\ntest_it()"]),
        ("def test_it(fixture):\n    assert add(1) == 2\ndef test_no():\n    pass\ndef other():\n    assert add(1)", []),
        ("assert add(1) == " + "(" * 5000, []), ("", []),
        ("assert add(1) == 2\nassert add(1) == 2\nassert add(2) == 3", ["assert add(1) == 2", "assert add(2) == 3"]),
        ("assert add(1) == 2\nassert add(2) == 3\nassert add(2) == 5", ["assert add(1) == 2"]),
        ("assert add(1)\nassert not add(1)\nassert add(0) is 1\nassert add(0) == 2\nassert add(3) > 1", ["assert add(3) > 1"]),
        ("x = 1\nassert add(x) == 2\nx = 2\nassert add(x) == 3",
         ["x = 1\nassert add(x) == 2", "x = 1\nx = 2\nassert add(x) == 3"]),
    ],
)  # fmt: skip
def test_tests_are_asserts_that_use_the_code(text, tests):
    assert parse_tests(text, {"add"}, 5) == tests


@pytest.mark.parametrize(
    ("names", "others", "test"),
    [
        ({"add"}, {"plus"}, "x = 'add'\nassert plus(x) == plus.add"),
        ({"add", "sub"}, {"plus"}, "x = 'add'\nassert plus(x) == plus.add"),
        ({"add"}, {"add"}, None), ({"add"}, {"plus", "minus"}, None), ({"add", "x"}, {"plus"}, None), ({"sub"}, {"plus"}, None),
        ({"add"}, set(), None),
    ],
)  # fmt: skip
def test_tests_call_the_only_function_of_another_answer_by_its_name(names, others, test):
    given = "x = 'add'\nassert add(x) == add.add"
    assert with_name([given], names, others) == [test or given]
    assert with_name(["assert add(1)", "assert ("], {"add"}, {"plus"}) == ["assert add(1)", "assert ("]


def test_only_the_first_tests_are_used():
    text = "\n".join(f"assert add({at}) == {at + 1}" for at in range(9))
    assert parse_tests(text, {"add"}, 2) == ["assert add(0) == 1", "assert add(1) == 2"]


def test_an_emptied_answer_keeps_its_definitions():
    assert emptied(ADD) == "def add(a, b=1):\n    pass"
    assert emptied(CLASS).endswith("    def pop(self) -> int:\n        pass")


def test_mutants_have_one_change_each_and_are_spread_over_the_code():
    code = (
        "def f(x):\n    'doc'\n    if x < 2 and x in (1, 0):\n        return x + 1\n    x *= 2\n"
        "    return 'a' if True else x\nprint(1)"
    )
    found = mutants(code, 99)
    whole = ast.unparse(ast.parse(code))
    assert (
        len(found) == len(set(found)) > 12
        and whole not in found
        and all("doc" in text and "docx" not in text for text in found)
    )
    for text in (
        "x >= 2 and",
        "x < 2 or",
        "x not in",
        "if not (x < 2",
        "return None",
        "x - 1",
        "x += 2",
        "'ax'",
        "if False",
    ):
        assert any(text in mutant for mutant in found), text
    assert all("print(1)" in mutant for mutant in found)
    few = mutants(code, 4)
    assert len(few) == 4 and set(few) < set(found) and few[-1] != found[3] and mutants(code, 4) == few
    assert mutants("def f():\n    pass", 9) == []


HOSTILE = [
    *(f"def f(a):\n    return {sign * 900}a" for sign in ("-", "not ", "a + ", "a if a else ", "lambda: ", "a ** ")),
    *(f"def f(a):\n    return a{sign * 900}" for sign in (".b", "()", "[0]")),
    *(f"def f(a={'-' * size}1):\n    return a" for size in (95, 110, 180, 230, 250)),
    f"def f(a):\n    return 0x{'f' * 5000}",
    f"def f(a):\n    return {'9' * 4300}",
    "def f(a):\n    return f'''{\"\"\"\n\"\"\"}'''",
    "def f(a):\n    return '\\ud800', 1e999, b'\\xff'",
]


@pytest.mark.parametrize("code", HOSTILE)
def test_code_that_python_parses_but_cannot_write_again_is_no_code_or_has_mutants(code):
    if code_of("", code) is not None:
        assert signatures(code) and "pass" in emptied(code) and isinstance(mutants(code, 9), list)
    test = code.replace("def f(a", "def test_f(b").replace("return", "assert f(1) ==")
    for tests in (test, code.replace("def f(a):\n    return", "assert f(1) ==")):
        assert all(isinstance(one, str) for one in parse_tests(tests, {"f"}, 5))


def test_a_chain_of_branches_is_not_deep():
    assert (
        code_of("", "def f(a):\n    if a == 0:\n        pass\n" + "    elif a == 1:\n        pass\n" * 300) is not None
    )


def test_changed_copies_do_not_run_examples_beside_the_code():
    example = "LIMIT = 3\nlow, high = ends([1, 2])\nprint(low)\nif low:\n    ends([])"
    code = f"def ends(items):\n    low = min(items)\n    return low, max(items)\n\n{example}"
    assert emptied(code) == "def ends(items):\n    pass\nLIMIT = 3"
    assert mutants(code, 9) == ["def ends(items):\n    low = min(items)\n    return None\nLIMIT = 3"]
    needed = "def build():\n    return {}\nTABLE = build()\ndef look(key):\n    return TABLE.get(key)"
    assert emptied(needed) == "def build():\n    pass\nTABLE = build()\n\ndef look(key):\n    pass"
