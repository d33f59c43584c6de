"""ComfyUI classes that validate values themselves, in VALIDATE_INPUTS. Pure.

object_info does not contain these. ComfyUI does not check limits and choices of the inputs that
such a method names; a class may also check the types of its links itself.
"""

from dataclasses import dataclass
from typing import Final

# By class: the input that names a file, and the word for the file in ComfyUI's refusal.
FILE_INPUTS: Final = {
    "LoadImage": ("image", "image"),
    "LoadImageMask": ("image", "image"),
    "LoadImageOutput": ("image", "image"),
    "LoadAudio": ("audio", "audio"),
    "LoadVideo": ("file", "video"),
    "LoadLatent": ("latent", "latent"),
}


@dataclass(frozen=True, slots=True)
class OwnRules:
    """What a class validates itself: values of the named inputs or of all; types of links."""

    names: frozenset[str] = frozenset()
    everything: bool = False
    types: bool = False

    def has(self, name: str) -> bool:
        return self.everything or name in self.names


NONE: Final = OwnRules()
ALL: Final = OwnRules(everything=True, types=True)

_KNOWN: Final = {
    **{name: OwnRules(frozenset({found})) for name, (found, _) in FILE_INPUTS.items()},
    "CustomCombo": OwnRules(everything=True),
    "FluxProUltraImageNode": OwnRules(frozenset({"aspect_ratio"})),
    "KlingCameraControls": OwnRules(
        frozenset(
            {
                *("camera_control_type", "horizontal_movement", "vertical_movement"),
                *("pan", "tilt", "roll", "zoom"),
            }
        )
    ),
    "LoadImageSetNode": OwnRules(frozenset({"images", "resize_method"})),
    "ComfySoftSwitchNode": OwnRules(frozenset({"switch", "on_false", "on_true"})),
    "TripoConversionNode": OwnRules(types=True),
}


def own_rules(class_type: str) -> OwnRules:
    return _KNOWN.get(class_type, NONE)
