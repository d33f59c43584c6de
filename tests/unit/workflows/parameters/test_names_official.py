"""The knobs of official text-to-image templates exist by name and are the right inputs."""

from typing import Any

import pytest

from app.workflows.conversion import convert
from app.workflows.parameters.apply import apply_params
from tests.unit.workflows.conversion.official import OBJECT_INFO, template

# template: the keys that prompt, seed, steps, width and height must stand for
TABLE = {
    "Image_capybara_v0_1_text_to_image": (
        "103:44.text 103:25.noise_seed 103:17.steps 103:111.width 103:111.height"
    ),
    "basic_switch_node": "67.value 64:58.seed 64:58.steps 64:57.width 64:57.height",
    "flux1_krea_dev": "200:195.text 200:197.seed 200:197.steps 200:196.width 200:196.height",
    "flux_dev_checkpoint_example": "56:51.text 56:52.seed 56:52.steps 56:50.width 56:50.height",
    "flux_dev_full_text_to_image": (
        "194:49.text 194:50.seed 194:50.steps 194:48.width 194:48.height"
    ),
    "flux_schnell": "6.text 31.seed 31.steps 27.width 27.height",
    "flux_schnell_full_text_to_image": "41.t5xxl 31.seed 31.steps 27.width 27.height",
    "hidream_i1_dev": "16.text 3.seed 3.steps 53.width 53.height",
    "hidream_i1_fast": "85.text 94.seed 94.steps 84.width 84.height",
    "hidream_i1_full": "91.text 93.seed 93.steps 86.width 86.height",
    "image_anima_preview": "60:11.text 60:19.seed 60:19.steps 60:28.width 60:28.height",
    "image_chroma1_radiance_text_to_image": (
        "762:693.text 762:718.noise_seed 762:751.steps 762:760.width 762:760.height"
    ),
    "image_chroma_text_to_image": "748.text 718.noise_seed 734.steps 737.width 737.height",
    "image_ernie_image": "88:78.value 88:70.seed 88:70.steps 88:71.width 88:71.height",
    "image_ernie_image_turbo": "88:94.value 88:70.seed 88:70.steps 88:71.width 88:71.height",
    "image_flux2_klein_text_to_image": (
        "76.value 75:73.noise_seed 75:62.steps 75:68.value 75:69.value"
    ),
    "image_flux2_text_to_image": "98:6.text 98:25.noise_seed 98:100.value 98:47.width 98:47.height",
    "image_flux2_text_to_image_9b": (
        "75:74.text 75:73.noise_seed 75:62.steps 75:68.value 75:69.value"
    ),
    "image_kandinsky5_t2i": "12:7.text 12:8.seed 12:8.steps 12:18.width 12:18.height",
    "image_netayume_lumina_t2i": "48:51.value 48:33.seed 48:33.steps 48:31.width 48:31.height",
    "image_newbieimage_exp0_1-t2i": "44.value 41:3.seed 41:3.steps 41:31.width 41:31.height",
    "image_omnigen2_t2i": "42:6.text 42:21.noise_seed 42:23.steps 42:11.width 42:11.height",
    "image_ovis_text_to_image": "57:45.text 57:44.seed 57:44.steps 57:41.width 57:41.height",
    "image_qwen_Image_2512": "238:227.text 238:230.seed 238:224.value 238:232.width 238:232.height",
    "image_qwen_image": "76:6.text 76:3.seed 76:79.value 76:58.width 76:58.height",
    "image_qwen_image_2512_with_2steps_lora": "108.text 106.seed 106.steps 107.width 107.height",
    "image_sdxl_simple": "10.text 12.seed 12.steps 13.width 13.height",
    "image_z_image_turbo": "57:27.text 57:3.seed 57:3.steps 57:13.width 57:13.height",
    "sd3.5_simple_example": "16.text 3.seed 3.steps 53.width 53.height",
    "sdxl_simple_example": "6.text 10.noise_seed 10.steps 5.width 5.height",
    "sdxlturbo_example": "6.text 13.noise_seed 22.steps 5.width 5.height",
}
VALUES: dict[str, Any] = {
    "prompt": "a lighthouse",
    "seed": 4242,
    "steps": 7,
    "width": 640,
    "height": 384,
}


def test_there_are_thirty() -> None:
    assert len(TABLE) >= 30


@pytest.mark.parametrize("name", TABLE)
def test_names_set_the_right_inputs(name: str) -> None:
    prompt = convert(template(name), OBJECT_INFO).prompt
    changed, _ = apply_params(prompt, VALUES, OBJECT_INFO)
    differing = {
        f"{node_id}.{key}": value
        for node_id, node in changed.items()
        for key, value in node["inputs"].items()
        if value != prompt[node_id]["inputs"].get(key)
    }
    assert differing == dict(zip(TABLE[name].split(), VALUES.values(), strict=True))
