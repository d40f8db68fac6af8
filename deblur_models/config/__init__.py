"""Training configurations: their tables and fields, and the bundled ones."""

from deblur_models.config.configuration import (
    Configuration,
    ConfigurationError,
    configuration_names,
    load_configuration,
)

__all__ = ["Configuration", "ConfigurationError", "configuration_names", "load_configuration"]
