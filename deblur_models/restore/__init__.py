"""Networks applied to images of any size."""

from deblur_models.restore.network_restorer import Identity, NetworkRestorer, with_local_px
from deblur_models.restore.picture import restore_picture
from deblur_models.restore.pipeline import Pipeline
from deblur_models.restore.restorer import Restorer

__all__ = ["Identity", "NetworkRestorer", "Pipeline", "Restorer", "restore_picture", "with_local_px"]
