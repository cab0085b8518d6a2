"""Shell answers, which run in an empty folder. A test gives files, arguments and input, and compares what is printed."""

import re

from self_instruct.rules.execution.mutation import MAX_CHARACTERS, with_one_token_changed
from self_instruct.rules.fences import blocks

_TAGS = ("sh", "bash", "shell", "zsh", "ksh", "console", "terminal", "shell-session")
_NAMES_SHELL = re.compile(
    r"\b(?:bash|(?:shell|terminal|unix|linux|posix)(?: (?:command|script|pipeline|function|one-liner)s?)|command[- ]line)\b",
    re.IGNORECASE,
)
_COMMANDS = frozenset(
    "awk base64 basename bc cat cd chmod comm cp cut date diff dirname du echo egrep env expr find for grep gzip head "
    "if join ln ls md5sum mkdir mktemp mv nl od paste printf read rev rm rmdir sed seq set sha256sum shuf sort split "
    "stat strings tac tail tar tee test touch tr true uniq until wc while xargs zcat".split()
)
_FIRST_WORD = re.compile(r"(?:\s|#[^\n]*\n)*([\w.-]+)")
_FUNCTION = re.compile(r"(?:function\s+[\w-]+|[\w-]+\s*\(\))\s*\{")
_PROMPT = re.compile(r"^[ \t]*\$ ", re.MULTILINE)
_NEEDED = re.compile(r"\$\d|\$[@*#]|\b\w[\w-]*\.[a-z]\w{0,4}\b|^\s*(?:function\s+)?[\w-]+\s*\(\)", re.MULTILINE)
_TOKEN = re.compile(
    r"(?P<comment>(?<![^\s])#[^\n]*)|(?P<stage>\|[^|&\n;)]+(?=\||$|\n))|(?P<sign>&&|\|\||>>|!=|==|(?<=\s)=(?=\s)|>)"
    r"|(?P<option>(?<=\s)-[A-Za-z]+\b)|(?P<number>\b\d+\b)|(?P<word>\b[a-z]+\b)",
    re.MULTILINE,
)
_OTHER = {
    "-eq": "-ne", "-ne": "-eq", "-lt": "-ge", "-ge": "-lt", "-gt": "-le", "-le": "-gt", "-z": "-n", "&&": "||", "||": "&&",
    ">>": ">", ">": ">>", "==": "!=", "!=": "=", "=": "!=", "head": "tail", "tail": "head", "true": "false", "false": "true",
    "if": "if !", "while": "until", "until": "while", "sort": "cat", "uniq": "cat", "grep": "grep -v", "cat": "tac",
    "mv": "cp", "cp": "mv", "rm": "ls", "mkdir": "echo", "touch": "echo",
}  # fmt: skip

_SIGNATURE = "def run(files: dict = {}, args: list = [], stdin: str = '', then: str = '') -> str:"
EXAMPLES = (
    ("Write a shell command that prints the number of lines in notes.txt that contain the word TODO.",
     f"{_SIGNATURE}\n# names in the solution: notes.txt",
     "assert run({'notes.txt': 'TODO a\\nb\\nc TODO\\n'}) == '2'\nassert run({'notes.txt': ''}) == '0'\n"
     "assert run({'notes.txt': 'todo\\n'}) == '0'"),
    ("Write a Bash script that prints its arguments in reverse order, one per line.",
     f"{_SIGNATURE}\n# names in the solution: $@",
     "assert run(args=['a', 'b c']) == 'b c\\na'\nassert run(args=['x']) == 'x'\nassert run() == ''"),
    ("Give a Bash function backup that copies the file given to it to a file with .bak added to its name.",
     f"{_SIGNATURE}\n# names in the solution: backup(), $1",
     "assert run({'a.txt': 'x'}, then='backup a.txt; cat a.txt.bak') == 'x'\n"
     "assert run({'b c': 'y'}, then='backup \"b c\"; ls') == 'b c\\nb c.bak'"),
)  # fmt: skip
"""Tasks, signatures and tests."""

_MODULE = '''
import os, pathlib, shutil, subprocess, tempfile

SOLUTION = {code!r}

class Text(str):
    """What was printed; line ends at its end do not count in a comparison."""
    def __eq__(self, other):
        return isinstance(other, str) and str(self).rstrip() == str(other).rstrip()
    def __ne__(self, other):
        return not self == other

def run(files={{}}, args=(), stdin="", then=""):
    folder = pathlib.Path(tempfile.mkdtemp(dir=os.getcwd()))
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    script = SOLUTION + (chr(10) + then if then else "")
    shell = shutil.which("bash") or "/bin/sh"
    command = [shell, "-c", script, "script", *map(str, args)]
    done = subprocess.run(command, cwd=folder, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    shutil.rmtree(folder, ignore_errors=True)
    return Text(done.stdout)
'''


def wants(task: str) -> bool:
    """Return whether a task asks for a shell command or script."""
    return _NAMES_SHELL.search(task) is not None


def code_of(task: str, output: str) -> str | None:
    """Return the first fenced block of a shell, without prompts, or the whole answer if the task asks for a shell and the
    answer begins like one; else None.
    """
    found = [(tag, code) for tag, code in blocks(output) if len(code) <= MAX_CHARACTERS]
    for tag, code in found:
        if tag in _TAGS or (not tag and wants(task) and _is_script(code)):
            prompts = _PROMPT.search(code) is not None
            lines = [line for line in code.splitlines() if not prompts or _PROMPT.match(line)]
            return _PROMPT.sub("", "\n".join(lines)).strip() or None
    whole = "```" not in output and len(output) <= MAX_CHARACTERS
    return output.strip() if whole and wants(task) and _is_script(output) else None


def signatures(code: str) -> str:
    """Return the signature of `run`, and the files, arguments and functions that the code names."""
    found = dict.fromkeys(match.group().strip().removeprefix("function ") for match in _NEEDED.finditer(code))
    named = f"\n# names in the solution: {', '.join(found)}" if found else ""
    return f"{_SIGNATURE}{named}"


def names(code: str) -> set[str]:
    """Return the name of the function that runs the code."""
    return {"run"}


def module(code: str) -> str:
    """Return a module with `run(files, args, stdin, then)`: run the code, and then `then` in the same shell, in a folder with
    the files, and return what is printed.
    """
    return _MODULE.format(code=code)


def trivial(code: str) -> list[str]:
    """Return a script that does nothing."""
    return [":"]


def mutants(code: str, limit: int) -> list[str]:
    """Return at most `limit` copies of the code with another command, operator or number, or without an option or stage."""
    return with_one_token_changed(code, _TOKEN, _changed, limit)


def _changed(match: re.Match[str]) -> str | None:
    if match["number"]:
        return str(int(match["number"]) + 1)
    if match["stage"]:
        return ""
    if match["option"]:
        return _OTHER.get(match["option"], "")
    return _OTHER.get(match.group())


def _is_script(text: str) -> bool:
    """Return whether a text begins like a shell script."""
    first = _FIRST_WORD.match(text)
    known = first is not None and first[1] in _COMMANDS
    return text.lstrip().startswith("#!") or known or _FUNCTION.match(text.lstrip()) is not None
