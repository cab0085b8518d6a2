"""Whether a text is Python. It is parsed by `ast`, never compiled or run.

The time and memory of the parser are linear in the length of a text, with one exception in CPython 3.11: they are quadratic in
the number of dots of a name to import. The compiler is not used because its code for nested `finally` blocks grows
exponentially.
"""

import ast
import re
import warnings

_LONGEST = 200_000
_DOTTED = re.compile(r"(?:\.[\s\\]*+\w++[\s\\]*+){500}")


def syntax_fault(code: str) -> str | None:
    """Return why a text is not valid Python for the running version, or None.

    A text of over 200,000 characters, or with a name of over 500 parts, is not parsed, and invalid.
    """
    if len(code) > _LONGEST:
        return f"over {_LONGEST:,} characters"
    if _DOTTED.search(code):
        return "a name has over 500 parts"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as for "\\d" in generated code
            ast.parse(code)
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}"
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        return type(error).__name__
    return None
