"""A web server that restores uploaded pictures: ``deblur serve``."""

from deblur_models.serve.app import create_app
from deblur_models.serve.batcher import batch_px_on
from deblur_models.serve.limits import Limits
from deblur_models.serve.server import bind, is_loopback, make_server
from deblur_models.serve.service import Service

__all__ = ["Limits", "Service", "batch_px_on", "bind", "create_app", "is_loopback", "make_server"]
