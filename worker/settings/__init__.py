"""How the worker behaves: options over environment over file over defaults, with secrets and all problems at once."""

from worker.settings.load import NO_CONFIG, Loaded, load_settings, manifest_names
from worker.settings.manifests import manifest_files, read_manifests
from worker.settings.model import Settings
from worker.settings.readers import Address

__all__ = [
    "NO_CONFIG",
    "Address",
    "Loaded",
    "Settings",
    "load_settings",
    "manifest_files",
    "manifest_names",
    "read_manifests",
]
