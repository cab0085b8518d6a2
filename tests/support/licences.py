"""List the licence of every installed dependency and whether Apache-2.0 code may use it: python tests/support/licences.py

Reads the metadata of the packages that `self-instruct-local` requires, directly or through others, with all its extras. Exits
with 1 if a package states no licence, or one that is not listed below.
"""

import re
import sys
from collections.abc import Collection, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = "self-instruct-local"
PERMISSIVE = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "CNRI-Python", "ISC", "MIT", "MIT-CMU", "PSF-2.0", "Python-2.0", "Unlicense", "Zlib",
}  # fmt: skip
"""SPDX identifiers, and "BSD" for packages that do not say which of the BSD licences they have."""
WEAK_COPYLEFT = {"MPL-2.0"}
PROPRIETARY = {"LicenseRef-NVIDIA-Proprietary"}
REASONS = {
    "permissive": PERMISSIVE,
    "weak copyleft: changes to its own files keep its licence": WEAK_COPYLEFT,
    "proprietary: a CUDA library that torch installs; it is not redistributed here": PROPRIETARY,
}
SPDX = {
    "3-clause bsd": "BSD-3-Clause", "apache": "Apache-2.0", "apache 2.0": "Apache-2.0", "apache software": "Apache-2.0",
    "apache version 2.0": "Apache-2.0", "isc (iscl)": "ISC", "mozilla public 2.0 (mpl 2.0)": "MPL-2.0",
    "nvidia proprietary software": "LicenseRef-NVIDIA-Proprietary", "psfl": "PSF-2.0", "python software foundation": "PSF-2.0",
}  # fmt: skip
"""Names that older metadata uses, in lower case and without "License" and commas."""


def dependencies(project: str = PROJECT) -> Iterator[Distribution]:
    """Yield the installed distributions that a project requires, by name."""
    extras = frozenset(distribution(project).metadata.get_all("Provides-Extra") or ())
    waiting, seen, found = [(project, extras)], set(), {}
    while waiting:
        name, extras = wanted = waiting.pop()
        if wanted in seen:
            continue
        seen.add(wanted)
        try:
            found[canonicalize_name(name)] = installed = distribution(name)
        except PackageNotFoundError:  # of an extra, or of another system
            continue
        for item in map(Requirement, installed.requires or ()):
            if item.marker is None or any(item.marker.evaluate({"extra": extra}) for extra in extras or [""]):
                waiting.append((item.name, frozenset(item.extras)))
    found.pop(canonicalize_name(project))
    yield from (found[name] for name in sorted(found))


def licence(package: Distribution) -> str:
    """Return the licence that a package states, as an SPDX expression if possible; empty if it states none.

    The field License is used if it is a name, not a whole text; else the classifiers, all of which then apply.
    """
    metadata = package.metadata
    if expression := metadata.get("License-Expression"):
        return expression.strip()
    stated = (metadata.get("License") or "").strip()
    if stated and "\n" not in stated:
        return spdx(stated)
    kinds = [kind.split(" :: ") for kind in metadata.get_all("Classifier") or ()]
    names = [
        spdx(kind[-1]) for kind in kinds if kind[0] == "License" and kind[-1] not in ("OSI Approved", "DFSG approved")
    ]
    return " AND ".join(dict.fromkeys(names))


def spdx(name: str) -> str:
    """Return the SPDX identifier for a licence name, or the name itself if it is not in the table."""
    plain = " ".join(re.sub(r"\b(?:license|licence)\b|,", " ", name.lower()).split())
    by_id = {known.lower(): known for names in REASONS.values() for known in names}
    return SPDX.get(plain) or by_id.get(plain) or name


def compatible(expression: str, allowed: Collection[str]) -> bool:
    """Return whether an SPDX expression can be met with these licences: all parts of an AND, one part of an OR."""
    text = expression
    while (inner := re.search(r"\(([^()]*)\)", text)) is not None:
        same = "MIT" if compatible(inner[1], allowed) else "none"  # with the same outcome
        text = text[: inner.start()] + same + text[inner.end() :]
    return any(all(part.strip() in allowed for part in one.split(" AND ")) for one in text.split(" OR "))


def reason(expression: str) -> str | None:
    """Return why Apache-2.0 code may use a package with this licence, or None if it is not known that it may."""
    allowed: set[str] = set()
    for text, more in REASONS.items():
        allowed |= more
        if compatible(expression, allowed):
            return text
    return None


def main(project: str = PROJECT) -> int:
    """Print the table; return 1 if a licence is missing or not listed."""
    rows = [(f"{item.metadata['Name']} {item.version}", licence(item)) for item in dependencies(project)]
    for name, stated in rows:
        print(f"{name:<32} {stated or 'none stated':<40} {reason(stated) or 'NOT KNOWN TO BE COMPATIBLE'}")
    refused = [name for name, stated in rows if reason(stated) is None]
    print(f"{len(rows)} packages, {len(rows) - len(refused)} with a licence that is compatible with Apache-2.0.")
    for name in refused:
        print(
            f"error: {name}: check its licence, and add it to tests/support/licences.py if it is compatible",
            file=sys.stderr,
        )
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
