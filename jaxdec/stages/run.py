"""What `jaxdec train`, `resume` and `evaluate` do, the same for every stage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

from jaxdec.checkpoints.files import complete_steps
from jaxdec.config.documents import Separate
from jaxdec.config.model import DecoderConfig
from jaxdec.config.run import NO_CORPUS, DataConfig, RunConfig
from jaxdec.data.labelled import LabelledDataset
from jaxdec.data.tokenizers.registry import Tokenizer, load_tokenizer
from jaxdec.distributed.sharding import make_mesh, param_shardings
from jaxdec.errors import UserError, listed
from jaxdec.models.functional import Model, Params
from jaxdec.runs import directory as run_directory
from jaxdec.runs.loading import Source, load_run, open_source
from jaxdec.runs.reference import read_reference
from jaxdec.runs.source import is_run, with_data
from jaxdec.runs.start import Start
from jaxdec.stages.registry import stage_module
from jaxdec.training.fit import fit
from jaxdec.training.reporting import OnMetrics
from jaxdec.training.stage import Initial, Stage

Summary = dict[str, Any]


def train(
    config: RunConfig,
    run_dir: Path,
    *,
    from_file: Path | None = None,
    tokenizer: Tokenizer | None = None,
    on_metrics: OnMetrics | None = None,
) -> Summary:
    """Trains a new run into `run_dir`, which must not exist yet; returns the summary that `summary.json` holds.

    `from_file`: the user's copy of a corpus; `tokenizer`: one that is there already; `on_metrics` is given each line of
    the log. Raises UserError for input that cannot work, before anything is written.
    """
    run_directory.require_new(run_dir)
    config, stage, initial = open_training(config, from_file=from_file, tokenizer=tokenizer)
    return fit(config, stage, run_dir, resume=False, initial=initial, on_metrics=on_metrics)


def open_training(
    config: RunConfig, *, from_file: Path | None = None, tokenizer: Tokenizer | None = None
) -> tuple[RunConfig, Stage, Initial | None]:
    """What a new run starts from: its config with the vocabulary filled in, its stage, and what gives the parameters of
    the run or the weights that `init_from` names (None: fresh ones), whose tokenizer it takes over."""
    source = source_of(config.check())
    if source is not None:
        if tokenizer is not None and tokenizer.hash != source.tokenizer.hash:
            raise UserError(f"init_from {config.init_from} was trained with another tokenizer than the one given")
        tokenizer = source.tokenizer
        config = replace(config, data=replace(config.data, tokenizer=source.config.data.tokenizer))
        if config.model.vocab_size is None:  # the source may have padded its vocabulary
            config = replace(config, model=replace(config.model, vocab_size=source.config.model.vocab_size))
    config, stage = open_stage(config, from_file=from_file, tokenizer=tokenizer)
    return config, stage, first_params(config, stage, source)


def resume(run_dir: Path, config: RunConfig) -> Summary:
    """Continues the run in `run_dir` from its newest good checkpoint, under the config read from it."""
    if config.data.corpus == NO_CORPUS:
        raise UserError(
            f"{run_dir} holds weights alone, without a training to go on with: start a run from them with "
            f"'jaxdec train RECIPE --init-from {run_dir}'"
        )
    source = None if complete_steps(run_dir / "checkpoints") else source_of(config)
    config, stage = open_stage(config, tokenizer=load_tokenizer(run_dir / "tokenizer"))
    return fit(config, stage, run_dir, resume=True, initial=first_params(config, stage, source))


def evaluate(run_dir: Path | str, step: int | None = None, data: DataConfig | None = None) -> Summary:
    """What training reports at its end, for the newest good checkpoint of a run or that of `step`, or for weights.
    `data` takes the place of the run's own, with the same tokenizer."""
    run = load_run(run_dir, step)
    config = run.config if data is None else with_data(run.config, data)
    config, stage = open_stage(config, tokenizer=run.tokenizer)
    stage = with_reference(stage, config, Path(run_dir))
    values = dict(pair for evaluator in stage.final_evaluators for pair in evaluator(run.params))
    return {"step": run.step, **values, **stage.notes}


def open_stage(
    config: RunConfig, *, from_file: Path | None = None, tokenizer: Tokenizer | None = None
) -> tuple[RunConfig, Stage]:
    """The stage of a run on its data, and the config with the vocabulary filled in.

    Without `tokenizer` that of `data.tokenizer` is read, or trained on the training split.
    """
    if config.data.corpus == NO_CORPUS:
        raise UserError(
            "weights have no corpus of their own: name one (jaxdec list shows them), as --data.corpus tinyshakespeare"
        )
    module = stage_module(config.resolved_stage)
    data = module.load_data(config, from_file=from_file, tokenizer=tokenizer)
    config = with_start(with_vocabulary(config, data.tokenizer.vocab_size), data.tokenizer)
    if isinstance(data, LabelledDataset):
        config = with_classes(config, data.labels)
    return config, module.make_stage(config, Model.of(config), data)


def with_reference(stage: Stage, config: RunConfig, run_dir: Path) -> Stage:
    """The stage, completed with what the run in `run_dir` measured of its first parameters, or, where the data are
    others, with what is measured of `init_from` now. Raises UserError where that is not there any more."""
    if stage.reference is None:
        return stage
    kept = read_reference(run_dir)
    if kept is not None and kept[1] == stage.data:
        return stage.reference.complete(kept[0])
    initial = first_params(config, stage, source_of(config))
    assert initial is not None, "a stage with a reference has a start"
    with jax.set_mesh(make_mesh(config.mesh)):
        return stage.reference.complete(stage.reference.measure(initial()))


def with_vocabulary(config: RunConfig, vocab_size: int) -> RunConfig:
    """`config` with the tokenizer's vocabulary filled in. Raises UserError when it asks for a smaller one."""
    wanted = config.model.vocab_size
    if wanted is not None and wanted < vocab_size:
        raise UserError(f"model.vocab_size {wanted} is smaller than the tokenizer's {vocab_size}: leave it None")
    return replace(config, model=replace(config.model, vocab_size=wanted or vocab_size))


def with_classes(config: RunConfig, labels: tuple[str, ...]) -> RunConfig:
    """`config` with the classes of the data filled in. Raises UserError when the model tells another number apart."""
    assert isinstance(config.model, DecoderConfig)
    if config.model.classes not in (None, len(labels)):
        raise UserError(
            f"model.classes is {config.model.classes}, and the data has {len(labels)} labels ({listed(labels)}): leave "
            "model.classes out"
        )
    stage = replace(config.resolved_stage, labels=labels)
    return replace(config, model=replace(config.model, classes=len(labels)), stage=stage)


def with_start(config: RunConfig, tokenizer: Tokenizer) -> RunConfig:
    """`config` with the tokenizer's <|endoftext|> as the token that begins a document, where the model keeps documents
    apart and does not name it. Raises UserError for a tokenizer that has no such token."""
    model = config.model
    if not isinstance(model, DecoderConfig) or model.documents != Separate():
        return config
    if tokenizer.end_of_text is None:
        raise UserError(
            f"model.documents separate: the tokenizer ({tokenizer.kind}) has no <|endoftext|> that could begin a "
            "document: take --data.tokenizer gpt2 or bpe, or give the id of another token as --model.documents.start"
        )
    return replace(config, model=replace(model, documents=Separate(tokenizer.end_of_text)))


def source_of(config: RunConfig) -> Source | None:
    """The run that `init_from` names, with its newest good checkpoint, or the weights; None where it names none.

    Raises UserError when it cannot be read, or was trained with another kind of tokenizer than this run asks for.
    """
    if config.init_from is None:
        return None
    try:
        source = open_source(config.init_from)
    except UserError as error:
        raise error.within(f"init_from: {error}") from None
    if is_run(config.init_from) and source.config.data.tokenizer != config.data.tokenizer:
        raise UserError(
            f"init_from {config.init_from} was trained with the tokenizer {source.config.data.tokenizer}, this run "
            f"asks for {config.data.tokenizer}: token ids would change their meaning; set data.tokenizer to the first"
        )
    return source


def first_params(config: RunConfig, stage: Stage, source: Source | None) -> Initial | None:
    """What gives the parameters of `source`, once, each in its place on the run's devices, with fresh ones for what is
    new in this run. Raises UserError naming the first that is missing, left over or misshapen."""
    if source is None:
        return None
    place = "its own model" if not is_run(config.init_from or "") else f"the model of {config.init_from}/config.yaml"
    named, why = f"init_from {config.init_from}", f"the models differ, give {place}"
    start = Start(stage.model, source, config.train.seed, named, why)

    def read() -> Params:
        mesh = make_mesh(config.mesh)
        return start.params(param_shardings(mesh, stage.model.axes, stage.model.shapes()))

    return read
