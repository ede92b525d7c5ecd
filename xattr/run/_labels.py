"""From the name of a class to its number."""

from collections import Counter
from collections.abc import Sequence


def classes_by_name(classes: Sequence[str]) -> dict[str, int]:
    """The class that each name means, its synonyms and its number included.

    Synonyms are the parts between commas; what two classes share means neither.

    Example:
      >>> found = classes_by_name(["tench, Tinca tinca", "crane", "crane"])
      >>> found["tench"], found["0"], "crane" in found
      (0, 0, False)
    """
    pairs = {(text, k) for k, name in enumerate(classes) for text in _names(name)}
    counts = Counter(text for text, _ in pairs)
    named = {text: k for text, k in pairs if counts[text] == 1}
    return named | {str(k): k for k in range(len(classes))}


def _names(name: str) -> list[str]:
    return [part.strip() for part in (name, *name.split(",")) if part.strip()]
