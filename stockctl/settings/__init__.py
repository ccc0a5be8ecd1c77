"""Settings: read in one place, each value with its origin.

settings = load(profile="prod")
settings.kafka.bootstrap_servers
settings.origin("kafka.bootstrap_servers")     # "stockctl.toml [profile.prod]"
"""

from stockctl.settings.layers import (
    COMMAND_LINE,
    STACK_FILE_END,
    BadSettingError,
    config_candidates,
    env_name,
    is_secret,
    load,
    local_stack_file,
    require,
    setting_names,
    shown,
)
from stockctl.settings.model import Settings

__all__ = [
    "COMMAND_LINE",
    "STACK_FILE_END",
    "BadSettingError",
    "Settings",
    "config_candidates",
    "env_name",
    "is_secret",
    "load",
    "local_stack_file",
    "require",
    "setting_names",
    "shown",
]
