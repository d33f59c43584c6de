"""Samplers and what belongs to them. Sampling is waiting; the recipe is what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from fake_comfyui.nodes.call import Call, Implementation, Result
from fake_comfyui.nodes.values import (
    Conditioning,
    Guider,
    Latent,
    Noise,
    Opaque,
    Recipe,
    Sigmas,
    Weights,
)

_EDIT_STRENGTH = 0.6  # how far an edit model moves away from the picture it is shown


def _recipe(guider: Guider, latent: Latent, seed: int, sigmas: Sigmas) -> Recipe:
    source, denoise = latent.source, sigmas.denoise
    if guider.positive.references and (source is None or denoise >= 1):
        source, denoise = guider.positive.references[0], _EDIT_STRENGTH
    if source is None and latent.recipe is not None:
        # A second pass over a drawn latent: mostly the first picture's composition.
        return replace(latent.recipe, seed=latent.recipe.seed + int(denoise * 100))
    cfg = guider.cfg if guider.positive.guidance is None else guider.positive.guidance
    return Recipe(
        guider.positive.texts,
        guider.negative.texts,
        seed,
        sigmas.steps,
        cfg,
        guider.model.names,
        denoise,
        source,
        latent.mask,
    )


async def _sample(call: Call, guider: Guider, latent: Latent, seed: int, sigmas: Sigmas) -> Latent:
    recipe = _recipe(guider, latent, seed, sigmas)
    if sigmas.steps > 0:
        await call.report.sample(call.node_id, recipe, (latent.width, latent.height))
    return replace(latent, recipe=recipe)


def _guider(call: Call) -> Guider:
    positive, negative = call.get("positive", Conditioning), call.get("negative", Conditioning)
    return Guider(call.get("model", Weights), positive, negative, call.get("cfg", float))


async def k_sampler(call: Call) -> Result:
    sigmas = Sigmas(call.get("steps", int), call.get("denoise", float, 1.0))
    latent = call.get("latent_image", Latent)
    return Result((await _sample(call, _guider(call), latent, call.get("seed", int), sigmas),))


async def k_sampler_advanced(call: Call) -> Result:
    """Only the steps from start to end are run; starting late keeps the source's share."""
    steps, start = call.get("steps", int), call.get("start_at_step", int)
    count = max(0, min(steps, call.get("end_at_step", int)) - start)
    sigmas = Sigmas(count, 1 - min(start, steps) / steps)
    latent, seed = call.get("latent_image", Latent), call.get("noise_seed", int)
    return Result((await _sample(call, _guider(call), latent, seed, sigmas),))


async def sampler_custom(call: Call) -> Result:
    latent, seed = call.get("latent_image", Latent), call.get("noise_seed", int)
    sampled = await _sample(call, _guider(call), latent, seed, call.get("sigmas", Sigmas))
    return Result((sampled, sampled))


async def sampler_custom_advanced(call: Call) -> Result:
    guider, latent = call.get("guider", Guider), call.get("latent_image", Latent)
    seed = call.get("noise", Noise).seed
    sampled = await _sample(call, guider, latent, seed, call.get("sigmas", Sigmas))
    return Result((sampled, sampled))


def select_sampler(call: Call) -> Result:
    return Result((Opaque("SAMPLER", call.get("sampler_name", str)),))


def scheduler(call: Call) -> Result:
    """Like the real one, a low denoise shortens nothing: the steps are spent on the end."""
    return Result((Sigmas(call.get("steps", int), call.get("denoise", float, 1.0)),))


def random_noise(call: Call) -> Result:
    return Result((Noise(call.get("noise_seed", int)),))


def basic_guider(call: Call) -> Result:
    return Result((Guider(call.get("model", Weights), call.get("conditioning", Conditioning)),))


def cfg_guider(call: Call) -> Result:
    return Result((_guider(call),))


SAMPLING: Mapping[str, Implementation] = MappingProxyType(
    {
        "KSampler": k_sampler,
        "KSamplerAdvanced": k_sampler_advanced,
        "SamplerCustom": sampler_custom,
        "SamplerCustomAdvanced": sampler_custom_advanced,
        "KSamplerSelect": select_sampler,
        "BasicScheduler": scheduler,
        "Flux2Scheduler": scheduler,
        "RandomNoise": random_noise,
        "BasicGuider": basic_guider,
        "CFGGuider": cfg_guider,
    }
)
