"""Filters and validators of the user, loaded by --plugin or by an entry point."""

import json
import sys

import pytest

from self_instruct.errors import UserError
from self_instruct.records import Record
from self_instruct.rules import filters, plugins, validators
from self_instruct.rules.build import build_rules, reasons_of_rules
from self_instruct.rules.filters import first_reason
from self_instruct.rules.options import FilterOptions
from self_instruct.rules.validators import build_validators, validate
from tests.support.curation_runs import curate, written
from tests.support.runs import rows

SOURCE = """
import self_instruct as si

@si.register_filter("no_urls", reasons=["url"])
def no_urls(record):
    return "url: http" if "http" in record.output else None

@si.register_validator("short", reasons=["long"])
def short(words: int = 3):
    return lambda record, variables: record if len(record.output.split()) <= words else "long"
"""
WITH_URL = Record("a", "Name a page about rivers.", "", "http://rivers.example")


TABLES = (filters.RULES, filters._ADDED, validators.VALIDATORS, validators._MAKERS)


@pytest.fixture(autouse=True)
def built_in_rules_only(monkeypatch):
    """Undo the registrations and imports of a test."""
    before, modules = [dict(table) for table in TABLES], set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for table, content in zip(TABLES, before, strict=True):
        table.clear()
        table.update(content)
    for name in set(sys.modules) - modules:
        if name == "own_rules" or name.startswith("self_instruct_plugin_"):
            del sys.modules[name]


@pytest.fixture
def plugin(tmp_path):
    path = tmp_path / "own_rules.py"
    path.write_text(SOURCE)
    return path


@pytest.mark.parametrize("by", ["file", "module"])
def test_a_plugin_is_a_file_or_a_module_on_the_path(plugin, monkeypatch, by):
    monkeypatch.syspath_prepend(str(plugin.parent))
    options = FilterOptions(plugin=[str(plugin) if by == "file" else "own_rules"], filter_rules=["empty", "no_urls"])
    assert first_reason(build_rules(options, ""), WITH_URL) == "url: http"
    assert reasons_of_rules(options) == {"empty": filters.RULES["empty"], "no_urls": ("url",)}


def test_the_same_plugin_can_be_loaded_twice(plugin):
    options = FilterOptions(plugin=[str(plugin), str(plugin)], filter_rules=["no_urls"])
    assert len(build_rules(options, "")) == len(build_rules(options, "")) == 1


def test_a_validator_of_a_plugin_takes_checked_parameters(plugin):
    plugins.load_plugins([str(plugin)])
    assert validate(build_validators([("short", {"words": 1})]), WITH_URL, {}) == WITH_URL
    longer = Record("b", "Name three.", "", "one two three four")
    assert validate(build_validators([("short", {})]), longer, {}) == "long"
    with pytest.raises(UserError, match="validator short: words is 'x', but must be a whole number"):
        build_validators([("short", {"words": "x"})])


def test_an_entry_point_is_loaded_when_a_rule_is_not_built_in(plugin, monkeypatch):
    place = plugin.parent / "own_rules-1.0.dist-info"
    place.mkdir()
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: own_rules\nVersion: 1.0\n")
    (place / "entry_points.txt").write_text("[self_instruct.rules]\nmine = own_rules\n")
    monkeypatch.syspath_prepend(str(plugin.parent))
    build_rules(FilterOptions(filter_rules=["empty"]), "")
    assert "own_rules" not in sys.modules
    assert first_reason(build_rules(FilterOptions(filter_rules=["no_urls"]), ""), WITH_URL) == "url: http"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import nothing_like_this", r"ModuleNotFoundError: No module named 'nothing_like_this'"),
        ("1 / 0", "ZeroDivisionError"),
        ("import sys\nsys.exit(0)", "SystemExit: 0"),
        ("def broken(:", "SyntaxError"),
        ("import self_instruct as si\nsi.register_filter('empty', ['x'])(len)", "a filter named empty already exists"),
        (
            "import self_instruct as si\nsi.register_validator('cot', ['x'])(len)",
            "a validator named cot already exists",
        ),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_reported_in_one_message(tmp_path, source, message):
    path = tmp_path / "broken.py"
    path.write_text(source)
    for _ in range(2):
        with pytest.raises(UserError, match=f"--plugin .*broken.py: cannot be imported .*{message}"):
            plugins.load_plugins([str(path)])


def test_a_missing_plugin_is_reported_in_one_message(tmp_path):
    for name in ("no_such_module", str(tmp_path / "gone.py")):
        with pytest.raises(UserError, match=f"--plugin {name}: cannot be imported"):
            plugins.load_plugins([name])


def test_an_unknown_rule_is_reported_with_the_most_similar_name(plugin):
    with pytest.raises(UserError, match=r"--filter_rules\[1\] is 'lenght', .* did you mean length\?"):
        build_rules(FilterOptions(filter_rules=["empty", "lenght"]), "")
    with pytest.raises(UserError, match=r"'no_url', .*did you mean no_urls\?"):
        build_rules(FilterOptions(plugin=[str(plugin)], filter_rules=["no_url"]), "")


def test_curate_applies_a_filter_of_a_plugin(plugin, tmp_path):
    good = {"instruction": "Name three rivers of Europe.", "output": "Rhine, Danube, Loire"}
    bad = {"instruction": "Name a page about mountains.", "output": "http://alps.example"}
    source = written(tmp_path / "a.jsonl", good, bad)
    options = ["--input_path", source, "--output_path", tmp_path / "b.jsonl", "--filter_rules", "empty", "no_urls"]
    result = curate(*options, "--plugin", plugin)
    assert result.returncode == 0, result.stderr
    assert rows(tmp_path / "b.jsonl") == [good]
    (dropped,) = rows(tmp_path / "b.rejected.jsonl")
    assert (dropped["stage"], dropped["reason"], dropped["detail"]) == ("filter", "url", "http")
    assert json.loads((tmp_path / "b.report.json").read_text())["options"]["plugin"] == [str(plugin)]
    refused = curate(*options)
    assert refused.returncode == 2 and "'no_urls', but must be one of" in refused.stderr


@pytest.mark.parametrize("register", [plugins.register_filter, plugins.register_validator])
def test_what_is_registered_has_a_list_of_reasons_and_is_a_function(register):
    with pytest.raises(TypeError, match="reasons is 'url'; give a list of texts"):
        register("own", "url")(len)
    with pytest.raises(TypeError, match="3 is registered, but is no function"):
        register("own", ["url"])(3)
