"""Settings: read in one place, each value with its origin.

settings = load_settings(profile="prod")
settings.kafka.bootstrap_servers
settings.origin("kafka.bootstrap_servers")     # "stockctl.toml [profile.prod]"
"""

from stockctl.settings.dashboard import DashboardSettings
from stockctl.settings.display import display_value, written_value
from stockctl.settings.infra import InfraSettings
from stockctl.settings.layers import (
    COMMAND_LINE,
    STACK_FILE_END,
    BadSettingError,
    config_candidates,
    env_name,
    is_secret,
    load_settings,
    local_stack_file,
    setting_names,
)
from stockctl.settings.model import (
    ConnectSettings,
    FilingsSettings,
    FinnhubSettings,
    GlueSettings,
    HealthSettings,
    KafkaSettings,
    LakeSettings,
    LogSettings,
    MetricsSettings,
    MongoSettings,
    RedshiftSettings,
    S3Settings,
    Settings,
    TopicsSettings,
    ValuationSettings,
)
from stockctl.settings.required import require
from stockctl.settings.signals import SignalsSettings

__all__ = [
    "COMMAND_LINE",
    "STACK_FILE_END",
    "BadSettingError",
    "ConnectSettings",
    "DashboardSettings",
    "FilingsSettings",
    "FinnhubSettings",
    "GlueSettings",
    "HealthSettings",
    "InfraSettings",
    "KafkaSettings",
    "LakeSettings",
    "LogSettings",
    "MetricsSettings",
    "MongoSettings",
    "RedshiftSettings",
    "S3Settings",
    "Settings",
    "SignalsSettings",
    "TopicsSettings",
    "ValuationSettings",
    "config_candidates",
    "display_value",
    "env_name",
    "is_secret",
    "load_settings",
    "local_stack_file",
    "require",
    "setting_names",
    "written_value",
]
