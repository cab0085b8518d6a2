"""An existing run, for commands that start from it: its options, format and seed tasks."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from self_instruct.config.option import declarations
from self_instruct.errors import UserError
from self_instruct.formats import FORMATS, RecordFormat
from self_instruct.generation.assembly import build_format
from self_instruct.generation.categories.category import OPTIONS
from self_instruct.generation.categories.recipe import CategoryRecipe
from self_instruct.generation.config import GROUPS, Config
from self_instruct.generation.recipe import Recipe, SeedRecipe
from self_instruct.records import Record
from self_instruct.runs import manifest
from self_instruct.runs.layout import ACCEPTED, nothing_kept
from self_instruct.seeds import load_seeds, sha256_of_file
from self_instruct.user_files import read_objects


@dataclass(frozen=True)
class EarlierRun:
    """The content of a directory's run.yaml, and its `options`, each checked again."""

    folder: Path
    described: dict[str, Any]
    options: dict[str, Any]

    def format(self, config: Config) -> RecordFormat:
        """Return the run's format with the trigger words of a configuration."""
        return build_format(FORMATS[self.described["format"]], config)

    def seeds(self, path: Path, may_differ: bool) -> list[Record]:
        """Read a seed file. Raises `UserError` if it has changed since the run was made, unless it may differ."""
        seeds = load_seeds(path)
        if sha256_of_file(path) != self.described["seed_tasks_sha256"] and not may_differ:
            raise UserError(f"{path}: has changed since the run was made; restore it, or give it as --seed_tasks_path")
        return seeds

    def recipe(self, config: Config, given: Collection[str]) -> Recipe:
        """Return the recipe of the run with the options of a configuration; those in `given` override what categories set.

        Raises `UserError` if a file has changed and was not given again.
        """
        if config.category.categories is None:
            path = config.run.seed_tasks_path
            seeds = self.seeds(Path(path), may_differ="seed_tasks_path" in given) if path else []
            return SeedRecipe(config, self.format(config), self.described["header"], seeds)
        over = {*manifest.over_categories(self.described), *(name for name in given if name in OPTIONS)}
        recipe = CategoryRecipe.of(config, FORMATS[self.described["format"]], over)
        before, now = self.described.get("categories") or {}, recipe.described()["categories"]
        changed = [name for name in now if now[name] != before.get(name)]
        if changed and "categories_path" not in given:
            raise UserError(
                f"the file of category {changed[0]} has changed since the run was made; restore it, or give the directory "
                "of the new one as --categories_path"
            )
        return recipe

    def dataset(self) -> list[tuple[Record, dict[str, Any]]]:
        """Return the accepted records in order, each with its row. Raises `UserError` if there is none, or one is damaged."""
        path, found = self.folder / ACCEPTED, {}
        if not path.is_file():
            raise UserError(f"{self.folder}: holds no {ACCEPTED}; give the --batch_dir of a generation run")
        for place, row in read_objects(path, "the dataset", growing=True):
            provenance = row.get("provenance")
            name = provenance.get("id") if isinstance(provenance, dict) else None
            texts = [row.get(column) for column in ("instruction", "input", "output")]
            if not isinstance(name, str) or not all(isinstance(text, str) for text in texts) or name in found:
                raise UserError(
                    f"{place}: is not a record of a run, or has the id of another; launch the run again to restore it"
                )
            instruction, input, output = map(str, texts)
            found[name] = Record(name, instruction, input, output), row
        if not found:
            raise UserError(f"{self.folder}: {nothing_kept(self.folder)}")
        return list(found.values())


def read_run(folder: Path) -> EarlierRun:
    """Read the run of a directory. Raises `UserError` if it holds none."""
    return EarlierRun(folder, *manifest.read_run(folder, declarations(GROUPS)))
