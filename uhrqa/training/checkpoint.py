"""The trained parts as a checkpoint directory that transformers and uhrqa load."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file
from torch import nn
from transformers import LlavaNextProcessor
from transformers.models.llava_next.image_processing_pil_llava_next import (
    LlavaNextImageProcessorPil,
)

from uhrqa.aside import follow_umask
from uhrqa.rfm import save_rfm
from uhrqa.training.decoder import Learner
from uhrqa.training.rfm import LAYERS
from uhrqa.training.shape import MEAN, STD


def save_checkpoint(learner: Learner, rfm: nn.Module | None, out: Path) -> None:
    """Write model, tokenizer, processor, placement tables and Region Focus Module.

    Args:
        learner: the trained model.
        rfm: the distilled module, if there is one.
        out: a directory; made when it is not there.
    """
    out.mkdir(parents=True, exist_ok=True)
    model, tile = learner.model, learner.shape.tile
    end = learner.tokenizer.eos_token_id
    model.generation_config.eos_token_id = end
    model.generation_config.pad_token_id = end
    model.generation_config.max_new_tokens = 8
    kept = {name: value.detach().clone() for name, value in model.state_dict().items()}
    model.half().save_pretrained(out)
    model.float().load_state_dict(kept)
    images = LlavaNextImageProcessorPil(
        size={"shortest_edge": tile},
        crop_size={"height": tile, "width": tile},
        image_grid_pinpoints=[[2 * tile, 2 * tile]],
        image_mean=list(MEAN),
        image_std=list(STD),
    )
    LlavaNextProcessor(
        image_processor=images,
        tokenizer=learner.tokenizer,
        patch_size=learner.shape.patch,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=learner.tokenizer.chat_template,
    ).save_pretrained(out)
    tables = {
        name: value.detach().half().contiguous()
        for name, value in learner.placement.state_dict().items()
    }
    save_file(tables, out / "placement.safetensors")
    if rfm is not None:
        save_rfm(rfm, out / "rfm.safetensors", LAYERS)
    follow_umask(out, "*.safetensors")
