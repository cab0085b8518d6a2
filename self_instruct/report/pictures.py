"""Write each figure as a PNG file for papers; vl-convert draws the specification of the page without a browser."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from self_instruct.errors import UserError
from self_instruct.report.charts import theme
from self_instruct.report.sections import Figure
from self_instruct.runs.files import put

_WIDTH = {True: 720, False: 400}  # points; wide figures and others
_DPI = 300
# Characters that HTML or UTF-8 does not allow, that crash vl-convert, or that change the direction of text.
_UNSHOWN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)


def visible(text: str) -> str:
    """Return the text with U+FFFD for each character that cannot be shown."""
    return _UNSHOWN.sub("\ufffd", text)


def write_pictures(figures: Sequence[Figure], folder: Path) -> None:
    """Write NAME.png for each figure, on white. Raises UserError if the folder cannot be written."""
    import vl_convert

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for figure in figures:
            spec, config = _fixed(figure), {**theme()["light"], "background": "white"}
            if "vega-lite" in spec["$schema"]:
                picture = vl_convert.vegalite_to_png(spec, config=config, ppi=_DPI, scale=1)
            else:
                picture = vl_convert.vega_to_png({**spec, "config": config, "background": "white"}, ppi=_DPI, scale=1)
            put(folder / f"{figure.name}.png", picture)
    except OSError as error:
        raise UserError(f"--figures_dir {folder}: cannot be written ({error.strerror}); give another folder") from None


def _fixed(figure: Figure) -> dict[str, Any]:
    """Return the specification with a fixed width and without interaction."""
    spec = _visible(figure.spec)
    if spec.get("width") == "container":
        spec["width"] = _WIDTH[figure.wide]
    spec.pop("params", None)
    return spec


def _visible(value: Any) -> Any:
    """Return a copy without control characters and surrogates; group names come from records, and NUL crashes vl-convert."""
    if isinstance(value, dict):
        return {key: _visible(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_visible(item) for item in value]
    return visible(value) if isinstance(value, str) else value
