"""Reinforcement on answers that can be checked: sample answers, score them, make the better of each group likelier."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np

from jaxdec.config.parts import MoE
from jaxdec.config.reinforce import Reinforce
from jaxdec.config.run import RunConfig
from jaxdec.data.batches import Batch, epoch_order
from jaxdec.data.problems import AskedProblems, answer_text, load_problems, reward_of
from jaxdec.data.tokenizers.registry import Tokenizer
from jaxdec.errors import UserError
from jaxdec.evaluation.answers import greedy_accuracy, greedy_answers, plot_rewards, write_answers
from jaxdec.generation.rollouts import as_batch, sample_answers
from jaxdec.generation.sampling import Sampling
from jaxdec.models.functional import Model, Params
from jaxdec.training.reinforcement import advantages, answer_log_p, reinforcement
from jaxdec.training.stage import Rollouts, Stage


def load_data(config: RunConfig, *, from_file: Path | None, tokenizer: Tokenizer | None) -> AskedProblems:
    """The problems of the corpus. Raises UserError where the stage, the corpus and the model do not go together."""
    if config.init_from is None or tokenizer is None:
        raise UserError(
            "stage reinforce starts from a model that is right now and then: give --init-from RUN, a run that was "
            "pretrained on the corpus"
        )
    problems = load_problems(config.data, tokenizer, from_file)
    _require_fit(config, problems)
    judged = "all of them judged" if problems.validation is problems.train else f"{len(problems.validation):,} judged"
    longest = most_tokens(config, problems)
    print(f"problems {len(problems.train):,} to learn from, {judged}; answers of up to {longest} tokens")
    return problems


def make_stage(config: RunConfig, model: Model, data: AskedProblems) -> Stage:
    """Prompts of the training problems, each as often as its group is large; rollouts that answer them."""
    settings, most = _settings(config), most_tokens(config, data)
    accuracy = greedy_accuracy(model, data, most, config.batch_size)

    def batch(seed: int, step: int) -> Batch:
        """`problem` int32 [B]: which ones are asked."""
        chosen = _chosen(len(data.train), config.batch_size // settings.group, seed, step // settings.updates)
        return {"problem": np.repeat(chosen, settings.group)}

    def files(params: Params, run_dir: Path) -> None:
        plot_rewards(run_dir / "metrics.jsonl", run_dir / "reward.png")
        write_answers(greedy_answers(model, params, data, most, config.batch_size), run_dir / "answers.jsonl")

    return Stage(
        model=model,
        batch=batch,
        objective=reinforcement(settings),
        evaluators=(accuracy,),
        final_evaluators=(accuracy,),
        tokenizer=data.tokenizer,
        data=data.hash,
        files=files,
        rollouts=Rollouts(Sampler(config, model, data), settings.updates),
    )


class Sampler:
    """Answers to the problems of a batch, as `Rollouts.make` gives them: the batch that `policy_loss` reads, and for
    the log the mean `reward`, `groups_without_spread` (the share of groups that teach nothing), `kl` (from the model at
    step 0, per token), `answer_tokens` (the mean length) and `sampler_difference` (the largest difference between the
    log-probabilities of the cached decoder and those of the function that is trained).
    """

    def __init__(self, config: RunConfig, model: Model, problems: AskedProblems) -> None:
        self._config, self._model, self.problems = config, model, problems
        self._settings, self._most = _settings(config), most_tokens(config, problems)
        temperature = self._settings.temperature
        self._log_p = jax.jit(lambda params, batch: answer_log_p(model.read, params, batch, temperature)[0])
        self._told = False

    def __call__(self, params: Params, first: Params, batch: Batch, step: int) -> tuple[Batch, Mapping[str, float]]:
        asked = [self.problems.train[index] for index in batch["problem"]]
        prompts = [self.problems.prompts[problem.prompt] for problem in asked]
        key = jax.random.fold_in(jax.random.key(self._config.train.seed), 2)  # 0 initialises, 1 drops out
        answers = sample_answers(
            self._model,
            params,
            prompts,
            most=self._most,
            end=self.problems.end,
            sampling=Sampling(self._settings.temperature),
            key=jax.random.fold_in(key, step),
        )
        texts = [answer_text(self.problems, answer.tokens) for answer in answers]
        rewards_B = np.array(
            [reward_of(text, problem.answer, self._settings.reward) for text, problem in zip(texts, asked, strict=True)]
        )
        rewards_PG = rewards_B.reshape(-1, self._settings.group)
        rows = as_batch(prompts, answers, self._config.window)
        # One program for both, so that equal parameters give equal bits.
        now_BT, first_BT = (np.asarray(self._log_p(each, _read(rows))) for each in (params, first))
        values = {
            "reward": float(rewards_B.mean()),
            "groups_without_spread": float((rewards_PG.max(1) == rewards_PG.min(1)).mean()),
            "kl": divergence(now_BT, first_BT, rows["mask"]),
            "answer_tokens": float(np.mean([len(answer.tokens) for answer in answers])),
            "sampler_difference": float(np.abs(now_BT - rows["sampler_log_p"]).max()),
        }
        self._tell(step, values)
        advantage_B = advantages(rewards_PG, self._settings.baseline).reshape(-1).astype(now_BT.dtype)
        return {**rows, "first_log_p": first_BT, "advantage": advantage_B}, values

    def _tell(self, step: int, values: Mapping[str, float]) -> None:
        """Says once in a process that nothing was learned."""
        if not self._told and values["reward"] == 0:
            self._told = True
            print(
                f"warning: none of the {self._config.batch_size:,} answers sampled at step {step} is right, so that "
                "they teach nothing: start from a model that is right now and then, enlarge stage.group or "
                "train.tokens_per_step, or give --stage.reward partial",
                file=sys.stderr,
            )


def divergence(now_BT: np.ndarray, first_BT: np.ndarray, mask_BT: np.ndarray) -> float:
    """The mean over sampled tokens of p' / p - log (p' / p) - 1, an estimate of the divergence from p' that is never
    negative and 0 for equal log-probabilities (Shao et al. 2024, eq. 4)."""
    distance_BT = (first_BT - now_BT).astype(np.float64)
    return float((np.expm1(distance_BT) - distance_BT)[mask_BT > 0].mean())


def _read(rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: rows[name] for name in ("tokens", "targets", "mask")}


def _chosen(count: int, prompts: int, seed: int, rollout: int) -> np.ndarray:
    """int32 [P]: the problems of a rollout. Each epoch goes through all of them in an order of its own."""
    epoch, place = np.divmod(rollout * prompts + np.arange(prompts), count)
    return np.array(
        [epoch_order(seed, at, count, 1)[1][index] for at, index in zip(epoch.tolist(), place, strict=True)], np.int32
    )


def _settings(config: RunConfig) -> Reinforce:
    settings = config.resolved_stage
    assert isinstance(settings, Reinforce)
    return settings


def most_tokens(config: RunConfig, problems: AskedProblems) -> int:
    """The most tokens of an answer."""
    return _settings(config).answer_tokens or problems.answer_tokens


def _require_fit(config: RunConfig, problems: AskedProblems) -> None:
    """Raises UserError for a group, a window or a model that the stage cannot work with."""
    group, most, rows = _settings(config).group, most_tokens(config, problems), config.batch_size
    if rows % group:
        raise UserError(
            f"a step of {rows} sequences (train.tokens_per_step / window) has no whole number of groups of {group} "
            f"(stage.group): try train.tokens_per_step {-(-rows // group) * group * config.window}"
        )
    if most < problems.answer_tokens:
        raise UserError(
            f"stage.answer_tokens {most}: the right answers of {config.data.corpus} have up to "
            f"{problems.answer_tokens} tokens, the end of the line included"
        )
    if problems.prompt_tokens + most - 1 > config.window:
        raise UserError(
            f"a prompt of {problems.prompt_tokens} tokens and an answer of {most} do not fit the window of "
            f"{config.window} tokens: give --data.window {problems.prompt_tokens + most - 1}, or a model with a longer "
            "context"
        )
    decoder = config.model.decoder
    parts = [] if decoder is None else [decoder.mlp_of(layer) for layer in range(decoder.layers)]
    if any(isinstance(part, MoE) and part.eval_capacity_factor is not None for part in parts):
        raise UserError(
            "experts that drop tokens at evaluation answer otherwise alone than in a batch, so that sampler and loss "
            "would disagree: stage reinforce wants model.mlp.eval_capacity_factor None"
        )
    if getattr(config.model, "classes", None) is not None:
        raise UserError("stage reinforce samples text, and this model is a classifier: give model.classes None")
