"""``blursynth generate``: sharp pictures in, a data set of pairs out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from blursynth.cli import arguments, console
from blursynth.errors import InvalidValueError
from blursynth.io.object_store import Place
from blursynth.records.units import number

if TYPE_CHECKING:
    from blursynth.dataset import DatasetRequest, Plan, Report

EPILOG = """\b
Examples:
  blursynth generate photos/ dataset/ --count 10000
  blursynth generate photos/ dataset/ --count 10000 --dry-run
  blursynth generate 'photos/**/*.png' more.txt dataset/ --count 500 --size 384 --seed 7
  blursynth generate photos/ dataset/ --count 500 --set sensor.full_well_e=3000 --set 'jpeg.quality={integer=[60,90]}'
  blursynth generate photos/ dataset/ --count 100000 --shards 0:8      # one job of an array
  blursynth generate photos/ dataset/ --count 500 --depth depth/ --depth-format meters_per_code=0.001
  blursynth generate snapshots/ dataset/ --count 500 --downscale 2     # JPEG-compressed or noisy pictures
  blursynth generate photos/ dataset/ --count 500 --min-detail 10      # leave out plain sky and defocused crops
  blursynth generate mine.toml dataset/ --set seed=7 --set recipe.jpeg.quality=80      # a request in a file

Running the same command again resumes where it stopped. Sample i has the same bytes for any number of workers.
"""


def command(
    ctx: typer.Context,
    *,
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCES",
            help="Folders, globs, pictures, .tar or .parquet files of pictures, data sets (their sharp pictures), zarr "
            "arrays, or .txt lists with one path per line; or a request, a .toml file.  [required]",
        ),
    ] = None,  # required; checked below, to say which of the two is missing
    out: arguments.Out,
    count: Annotated[int | None, typer.Option("--count", "-n", help="Number of pairs.")] = None,
    recipe: arguments.RecipeName = "default",
    size: Annotated[int, typer.Option("--size", help="Side of the stored square crops in px.")] = 256,
    seed: Annotated[int, typer.Option("--seed", "-s", help="Seed of the data set, 0 to 2^63 - 1.")] = 0,
    set_: arguments.Set = None,
    workers: arguments.Workers = None,
    dry_run: arguments.DryRun = False,
    store: Annotated[
        str,
        typer.Option(
            "--store", metavar="NAMES", help="What to store with each pair: kernel, params, or both (kernel,params)."
        ),
    ] = "",
    kernel_size: Annotated[int, typer.Option("--kernel-size", help="Side of the stored kernels in px, odd.")] = 129,
    crops_per_source: Annotated[
        int,
        typer.Option(
            "--crops-per-source", help="Number of consecutive samples per picture; more is faster with huge pictures."
        ),
    ] = 1,
    min_detail: arguments.MinDetail = None,
    depth: arguments.Depth = None,
    depth_format: arguments.DepthFormatText = None,
    labels: arguments.Labels = None,
    linear: arguments.Linear = False,
    licenses: arguments.LicensesFile = None,
    near_duplicates: arguments.NearDuplicates = "keep",
    min_source: arguments.MinSource = 1,
    min_source_detail: arguments.MinSourceDetail = None,
    downscale: arguments.Downscale = 1,
    shard_length: Annotated[
        int | None, typer.Option("--shard-length", help="Samples per shard; by default about 128 MB per array.")
    ] = None,
    codec: Annotated[
        str, typer.Option("--codec", help="How pixels are stored: lz4, smaller, or none, faster to read.")
    ] = "lz4",
    shards: arguments.Shards = None,
    engine: arguments.Engine = "local",
    scheduler: arguments.Scheduler = None,
    any_environment: arguments.AnyEnvironment = False,
    report_: Annotated[
        bool, typer.Option("--report", help="Also write a page about the finished data set: OUT.html.")
    ] = False,
    quiet: arguments.Quiet = False,
) -> None:
    """Make a data set of sharp and blurred pictures.

    Crops are placed so that blur finds real light beyond their edges. All parameters of a sample are stored with it.
    """
    if not sources:  # a single path could be meant for reading or for writing
        raise InvalidValueError(
            f"SOURCES or OUT is missing: only {out} was given.",
            fix="Give the pictures first and the folder of the data set last: "
            "blursynth generate photos/ dataset/ -n 10",
        )
    from blursynth import dataset

    part, where = arguments.parse_range(shards), arguments.engine_of(engine, scheduler)
    if len(sources) == 1 and sources[0].endswith(".toml"):
        _only_from_file(ctx, sources[0])
        request = dataset.load_request(sources[0], changes=arguments.parse_changes(set_, form="NAME"))
    else:
        names = (name.strip() for name in store.split(","))
        request = dataset.DatasetRequest(
            sources=sources, recipe=recipe, changes=arguments.parse_changes(set_), count=count, size_px=size, seed=seed,
            store=[name for name in names if name], kernel_size_px=kernel_size, crops_per_source=crops_per_source,
            min_detail=min_detail, depth=depth, depth_format=arguments.parse_depth_format(depth_format), labels=labels,
            linear=linear, licenses=licenses, near_duplicates=near_duplicates, min_source_px=min_source,
            min_source_detail=min_source_detail, downscale=downscale, shard_length=shard_length, codec=codec,
        )  # fmt: skip
    if dry_run:
        show_plans(request, out, workers=workers, quiet=quiet)
        return
    with interruptible(out, request), console.progress_bar("samples", out, quiet=quiet) as show:
        report = dataset.generate(
            request, out, workers=workers, shards=part, engine=where, any_environment=any_environment, on_progress=show
        )
    show_report(report, quiet=quiet)
    if report_:
        write_pages(report, quiet=quiet)


_NOT_OF_THE_REQUEST = {
    "ctx", "sources", "out", "set_", "workers", "dry_run", "shards", "engine", "scheduler", "any_environment",
    "report_", "quiet",
}  # fmt: skip


def _only_from_file(ctx: typer.Context, file: str) -> None:
    """Refuse options that the request in a file already sets."""
    for parameter in ctx.command.params:
        source = ctx.get_parameter_source(parameter.name or "")
        if parameter.name not in _NOT_OF_THE_REQUEST and source is not None and source.name == "COMMANDLINE":
            raise InvalidValueError(
                f"{parameter.opts[0]} was given, but {file} already sets it.", fix="Change it with --set NAME=VALUE."
            )


@contextmanager
def interruptible(out: Place, request: DatasetRequest | None = None) -> Iterator[None]:
    """After Ctrl-C, say what is kept and how to resume; of each split of a request that has some."""
    try:
        yield
    except KeyboardInterrupt:
        from blursynth.dataset.manifest import finished_shards
        from blursynth.dataset.schema import load_spec

        folders = [out / name if name else out for name in (request.parts() if request is not None else ("",))]
        begun = [folder for folder in folders if (folder / "dataset.json").exists()]
        if not begun:
            console.echo("\nStopped before anything was written.", err=True)
        for folder in begun:
            spec = load_spec(folder)
            done = [s for s in finished_shards(folder) if s < spec.shards]
            pairs = f"{sum(len(spec.range_of(s)) for s in done):,} of {spec.count:,} pairs"
            stopped = "Stopped." if folder == out else f"Stopped. {folder}:"
            console.echo(f"\n{stopped} {len(done)} of {spec.shards} shards ({pairs}) are finished and kept.", err=True)
        if begun:
            again = f"blursynth resume {out}" if begun == [out] else "the same command"
            console.echo(f"Resume with: {again}", err=True)
        raise typer.Exit(130) from None


def show_plans(
    request: DatasetRequest, out: Place, *, only: str | None = None, workers: int | None, quiet: bool
) -> None:
    """Show what would be made of a request, or of one of its splits."""
    from blursynth import dataset

    for name, split in request.parts(only).items():
        with console.progress_bar("samples", quiet=quiet) as show:
            planned = dataset.plan(split, workers=workers, out=out / name, on_progress=show)
        show_plan(planned, out / name)


def show_plan(plan: Plan, out: Place) -> None:
    """Show what would be made."""
    spec = plan.spec
    console.echo(f"{plan.count:,} pairs of {spec.size_px} px with recipe {spec.recipe_name}, seed {spec.seed}")
    free = "" if plan.free_bytes is None else f" ({console.bytes_text(plan.free_bytes)} are free)"
    rows = [
        ("sources", console.plural(len(plan.scan.usable), "picture")),
        ("layout", f"{console.plural(plan.shards, 'shard')} of {console.plural(plan.shard_length, 'sample')}"),
        ("size", f"about {console.bytes_text(plan.disk_bytes)} in {out}{free}"),
        ("time", f"about {console.seconds_text(plan.seconds)} with {console.plural(plan.workers, 'worker')}"),
        ("reach", f"up to {plan.largest_reach_px} px around each crop, in the samples tried"),
    ]
    if plan.passed_over is not None:
        rows.append(("passed over", _passed_over(plan.passed_over, spec.min_detail)))
    console.table(("", ""), rows)
    for note in plan.scan.notes:
        console.echo(f"note: {note}")
    scan, dry = plan.scan, "Nothing was written: this was a dry run. "
    console.show_used(len(scan.usable), (*scan.skipped, *scan.duplicates), scan.ignored, before=dry)


def write_pages(report: Report, *, quiet: bool = False) -> None:
    """Write a page about each finished data set."""
    from blursynth import dataset

    for made in report.splits.values() or [report]:
        if not made.finished:
            console.echo(f"note: {made.out} has no page yet, since it is not finished", err=quiet)
            continue
        with console.progress_bar("samples", quiet=quiet) as show:
            path = dataset.report(str(made.out), on_progress=show)
        if not quiet:
            console.echo(f"written: {path}")


def _passed_over(share: float, least: float | None = None) -> str:
    what = "the least detail" if least is None else f"a detail of {least:g}"
    return f"{share:.1%} of the windows tried show less than {what}"


def show_report(report: Report, *, quiet: bool = False) -> None:
    """Show what was made; if ``quiet``, only what is unusual."""
    for split in report.splits.values():
        show_report(split, quiet=quiet)
    if report.splits:
        return
    if quiet:
        for note in report.notes:
            console.echo(f"note: {note}", err=True)
        return
    if not report.made and report.finished:
        console.echo(f"Nothing to do: all {report.count:,} pairs in {report.out} already exist.")
    else:
        kept = f"; {console.plural(len(report.kept), 'shard')} kept from before" if report.kept else ""
        console.echo(
            f"{report.out}: made {console.plural(report.samples, 'pair')} in {console.seconds_text(report.seconds)} "
            f"({number(report.rate)} per second), {console.plural(len(report.made), 'shard')}, "
            f"{console.bytes_text(report.disk_bytes)}{kept}"
        )
    if report.passed_over is not None and report.made:
        console.echo(f"passed over: {_passed_over(report.passed_over)}")
    for note in report.notes:
        console.echo(f"note: {note}")
    if report.finished:
        console.echo(f"digest of pixels {report.digest['pixels'][:16]}, of draws {report.digest['draws'][:16]}")
    else:
        console.echo(
            f"Not finished: some of the {report.shards} shards are still to be made. "
            f"The job that makes the last one finishes the data set; or run: blursynth resume {report.out}"
        )
    console.show_used(report.sources, (*report.skipped, *report.duplicates), report.ignored)
