"""What a training run is made of, and the configurations that ship."""

from deblur_models.config.configuration import (
    Configuration,
    ConfigurationError,
    configuration_names,
    load_configuration,
)

__all__ = ["Configuration", "ConfigurationError", "configuration_names", "load_configuration"]
