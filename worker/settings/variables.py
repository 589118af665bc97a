"""The tree of settings that the names of environment variables stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from worker.settings.model import Settings


class _Fields(Settings, BaseSettings):
    """The settings once more, as the library wants them to read variables by; there is never one of these."""

    model_config = SettingsConfigDict(extra="forbid")


class Variables(EnvSettingsSource):
    """Reads nested variables out of a mapping, each as the text it is."""

    def __init__(self, texts: Mapping[str, str], prefix: str) -> None:
        super().__init__(_Fields, case_sensitive=False, env_prefix=prefix, env_nested_delimiter="__")
        self.env_vars = texts

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:  # noqa: ARG002
        """Keep the text: a secret that looks like a number is not one."""
        return value
