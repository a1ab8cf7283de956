"""Word pools and random words for the synthetic skills."""

import random

CLASSES: dict[str, tuple[str, ...]] = {
    "animal": (
        "otter", "lynx", "fox", "badger", "heron", "mole", "trout", "goat",
        "raven", "hare", "wolf", "newt", "seal", "moose", "crab", "owl",
    ),
    "colour": (
        "red", "blue", "green", "teal", "amber", "violet", "grey", "pink",
        "ochre", "white", "black", "brown", "ivory", "coral", "navy", "olive",
    ),
    "number": (
        "two", "three", "four", "five", "six", "seven", "eight", "nine",
        "ten", "eleven", "twelve", "twenty", "thirty", "forty", "fifty", "sixty",
    ),
    "city": (
        "Oslo", "Lima", "Cairo", "Quito", "Paris", "Delhi", "Tunis", "Seoul",
        "Bern", "Accra", "Perth", "Turin", "Kyoto", "Porto", "Sofia", "Dakar",
    ),
}  # fmt: skip

CONSONANTS = "bdfgklmnprstvz"
VOWELS = "aeiou"


def made_up_word(rng: random.Random, syllables: int) -> str:
    """A pronounceable word of `syllables` consonant-vowel pairs, such as 'kato'."""
    return "".join(rng.choice(CONSONANTS) + rng.choice(VOWELS) for _ in range(syllables))
