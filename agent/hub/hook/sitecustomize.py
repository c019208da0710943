"""The first thing that every Python of a job loads: waits for huggingface_hub to be imported, and does nothing else.

Made for any Python 3: no imports that are not there anyway (thus no types), no output, no exceptions of its own.
"""
# mypy: ignore-errors

import os
import sys

SOURCE = ""  # filled in by agent.hub.artifact_hook: compiled only where huggingface_hub is used
_NAME = "huggingface_hub.hf_api"


class _Finder:
    """Lets the others find the module, and looks on when it is loaded."""

    def find_spec(self, name, path=None, target=None):
        """As importlib wants it."""
        if name != _NAME:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find and finder is not self else None
            if spec is not None:
                _follow(spec.loader)
                return spec
        return None


def _follow(loader):
    """Start once `loader` has run the module."""
    run = loader.exec_module

    def exec_module(module):
        run(module)
        try:
            if module.__name__ == _NAME:
                space = {"__name__": "ml_intern_artifacts"}
                exec(compile(SOURCE, "<ml-intern artifacts>", "exec"), space)
                space["start"](module, os.path.dirname(__file__))  # noqa: PTH120
        except Exception:  # noqa: BLE001 - the program is worth more than its entry in a collection
            pass

    try:  # noqa: SIM105 - contextlib is not there yet
        loader.exec_module = exec_module
    except AttributeError:
        pass


def _load_shadowed():
    """Load the `sitecustomize` that this one hides. What it raises is for `site` to handle, as ever."""
    here = os.path.dirname(__file__)  # noqa: PTH120
    own = sys.modules.pop("sitecustomize", None)
    sys.path[:] = [each for each in sys.path if each != here]
    try:
        import sitecustomize  # noqa: F401
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
        sys.modules["sitecustomize"] = own


if SOURCE:
    sys.meta_path.insert(0, _Finder())
    _load_shadowed()
