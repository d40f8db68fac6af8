"""Data sets: sharp pictures in, a sharded zarr store of aligned pairs with full provenance out.

======================  =====================================================================
``request``             what to make: one record, in Python or in a file
``sources``             the source pictures
``source_pictures``     where each is read: files, samples of other data sets, and of arrays (``zarr_pictures``)
``source_list``         those that a data set is made of, by name and sha256
``photographs``         openly licensed ones that anybody can get
``schema``              ``dataset.json``: everything that decides the bytes
``render``              one sample, as a pure function of the specification
``shards``              one file of zarr's sharding codec
``writer``, ``manifest``  one shard, and the proof that it is finished
``engine``              where shards are made: locally or on a cluster
``generate``            plan, generate, resume, finalize
``reader``, ``verify``  using and checking it
``repair``, ``copies``  making damaged parts again, and what is stored twice for it
``mixture``             several data sets as one
``order``               in which order they are read for training
``online``              samples made on the fly
``samples``             the samples that both of these return
``ObjectCache``         what was read from object storage, on the local disk
``import_pairs``        public sets of real pairs cut into data sets (``public_sets``, ``cut``)
``export``              the pairs of one in layouts that other code reads
``report``              a page about one
``whole``               whole photographs as two folders of files, sharp and blurred
======================  =====================================================================
"""

from blursynth.dataset.cache import ObjectCache
from blursynth.dataset.export import Export, ExportFormat, export
from blursynth.dataset.generate import Plan, Report, finalize, generate, plan, resume
from blursynth.dataset.import_pairs import import_pairs
from blursynth.dataset.mixture import Mixture
from blursynth.dataset.online import OnlineDataset, Unblurred
from blursynth.dataset.order import BatchOrder, WindowOrder
from blursynth.dataset.progress import OnProgress, Progress
from blursynth.dataset.reader import Batch, Dataset, open_dataset
from blursynth.dataset.repair import Repair, repair
from blursynth.dataset.report import report
from blursynth.dataset.request import DatasetRequest, ExpectedDigest, Split, dataset_names, load_request
from blursynth.dataset.samples import Sample, Samples, TensorPairs
from blursynth.dataset.source_list import SourceList
from blursynth.dataset.sources import Scan, Skipped, Source, scan_sources
from blursynth.dataset.verify import Problem, Replay, Verification, replay, verify
from blursynth.dataset.whole import PicturesReport, blur_pictures

__all__ = [
    "Batch",
    "BatchOrder",
    "Dataset",
    "DatasetRequest",
    "ExpectedDigest",
    "Export",
    "ExportFormat",
    "Mixture",
    "ObjectCache",
    "OnProgress",
    "OnlineDataset",
    "PicturesReport",
    "Plan",
    "Problem",
    "Progress",
    "Repair",
    "Replay",
    "Report",
    "Sample",
    "Samples",
    "Scan",
    "Skipped",
    "Source",
    "SourceList",
    "Split",
    "TensorPairs",
    "Unblurred",
    "Verification",
    "WindowOrder",
    "blur_pictures",
    "dataset_names",
    "export",
    "finalize",
    "generate",
    "import_pairs",
    "load_request",
    "open_dataset",
    "plan",
    "repair",
    "replay",
    "report",
    "resume",
    "scan_sources",
    "verify",
]
