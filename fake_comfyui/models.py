"""The model files the demo pretends to have, by folder."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

FOLDERS: Final = MappingProxyType(
    {
        "checkpoints": (
            "sd_xl_base_1.0.safetensors",
            "sd_xl_refiner_1.0.safetensors",
            "v1-5-pruned-emaonly-fp16.safetensors",
            "v1-5-pruned-emaonly.safetensors",
            "dreamshaper_8.safetensors",
            "juggernautXL_v9.safetensors",
            "sd3.5_large_fp8_scaled.safetensors",
            "flux1-dev-fp8.safetensors",
            "flux1-schnell-fp8.safetensors",
            "512-inpainting-ema.safetensors",
        ),
        "configs": ("v1-inference.yaml",),
        "loras": (
            "lcm-lora-sdv1-5.safetensors",
            "sd_xl_offset_example-lora_1.0.safetensors",
            "Qwen-Image-Lightning-4steps-V1.0.safetensors",
            "Qwen-Image-Lightning-8steps-V1.0.safetensors",
            "Qwen-Image-Edit-Lightning-4steps-V1.0-bf16.safetensors",
            "flux-turbo-alpha.safetensors",
        ),
        "vae": (
            "ae.safetensors",
            "qwen_image_vae.safetensors",
            "sdxl_vae.safetensors",
            "vae-ft-mse-840000-ema-pruned.safetensors",
            "flux2-vae.safetensors",
            "pixel_space",
        ),
        "text_encoders": (
            "clip_g.safetensors",
            "clip_l.safetensors",
            "t5xxl_fp16.safetensors",
            "t5xxl_fp8_e4m3fn.safetensors",
            "t5xxl_fp8_e4m3fn_scaled.safetensors",
            "qwen_2.5_vl_7b_fp8_scaled.safetensors",
            "qwen_2.5_vl_7b.safetensors",
            "qwen_3_4b.safetensors",
            "mistral_3_small_flux2_fp8.safetensors",
        ),
        "diffusion_models": (
            "flux1-dev.safetensors",
            "flux1-schnell.safetensors",
            "flux1-dev-kontext_fp8_scaled.safetensors",
            "flux2_dev_fp8mixed.safetensors",
            "qwen_image_distill_full_fp8_e4m3fn.safetensors",
            "qwen_image_fp8_e4m3fn.safetensors",
            "qwen_image_edit_fp8_e4m3fn.safetensors",
            "qwen_image_edit_2509_fp8_e4m3fn.safetensors",
            "z_image_turbo_bf16.safetensors",
        ),
        "clip_vision": ("clip_vision_g.safetensors", "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors"),
        "style_models": (),
        "embeddings": ("EasyNegative.safetensors",),
        "controlnet": (
            "control_v11p_sd15_canny_fp16.safetensors",
            "control_v11f1p_sd15_depth_fp16.safetensors",
            "Qwen-Image-InstantX-ControlNet-Union.safetensors",
        ),
        "upscale_models": (
            "RealESRGAN_x4plus.pth",
            "RealESRGAN_x2plus.pth",
            "4x-UltraSharp.pth",
            "4x_foolhardy_Remacri.pth",
        ),
        "hypernetworks": (),
        "photomaker": (),
        "gligen": (),
    }
)

# Which input of which class offers the files of which folder.
CHOICES: Final = MappingProxyType(
    {
        ("CheckpointLoaderSimple", "ckpt_name"): "checkpoints",
        ("UNETLoader", "unet_name"): "diffusion_models",
        ("CLIPLoader", "clip_name"): "text_encoders",
        ("DualCLIPLoader", "clip_name1"): "text_encoders",
        ("DualCLIPLoader", "clip_name2"): "text_encoders",
        ("TripleCLIPLoader", "clip_name1"): "text_encoders",
        ("TripleCLIPLoader", "clip_name2"): "text_encoders",
        ("TripleCLIPLoader", "clip_name3"): "text_encoders",
        ("VAELoader", "vae_name"): "vae",
        ("LoraLoader", "lora_name"): "loras",
        ("LoraLoaderModelOnly", "lora_name"): "loras",
        ("CLIPVisionLoader", "clip_name"): "clip_vision",
        ("ControlNetLoader", "control_net_name"): "controlnet",
        ("UpscaleModelLoader", "model_name"): "upscale_models",
    }
)
