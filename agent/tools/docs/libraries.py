"""Which documentation there is: a name, what one finds there, and where its pages lie."""

from __future__ import annotations

from collections.abc import Mapping

from agent.light_dataclass import dataclass
from agent.web.places import GRADIO, HUB, Place


@dataclass(frozen=True, slots=True)
class Package:
    """One book: pages that are published together.

    `paths` lie below the address of `place`; the later ones are other places where the same book may be. `has_prose`:
    its overview is a text worth reading, not only a list of its pages.
    """

    name: str
    paths: tuple[str, ...]
    place: Place = HUB
    has_prose: bool = False

    def base(self, environ: Mapping[str, str]) -> str:
        """Where it is published first of all; this is also what it is filed under."""
        return self.bases(environ)[0]

    def bases(self, environ: Mapping[str, str]) -> tuple[str, ...]:
        """Everywhere it may be published."""
        return tuple(self.place.base(environ) + path for path in self.paths)


_OPTIMUM = ("optimum", "optimum-habana", "optimum-neuron", "optimum-intel", "optimum-executorch", "optimum-tpu")
_COURSES = tuple(
    f"{subject}-course"
    for subject in "llm robotics mcp smol agents deep-rl computer-vision audio ml-games diffusion ml-for-3d".split()
)
_LONG_NAMES = {"tgi": "text-generation-inference", "tei": "text-embeddings-inference"}


def _docs(name: str) -> Package:
    names = (name, _LONG_NAMES[name]) if name in _LONG_NAMES else (name,)
    return Package(name, tuple(f"/docs/{each}" for each in names))


_SPECIAL: dict[str, tuple[Package, ...]] = {
    "optimum": tuple(_docs(name) for name in _OPTIMUM),
    "courses": tuple(Package(name, (f"/learn/{name}",)) for name in (*_COURSES, "cookbook")),
    "gradio": (Package("gradio", ("",), GRADIO, has_prose=True),),
}


def packages_of(name: str) -> tuple[Package, ...]:
    """The books behind a name that `explore_hf_docs` takes."""
    return _SPECIAL.get(name) or (_docs(name),)
