"""Which value goes to which widget, and how it is sent."""

from tests.unit.workflows.conversion.graphs import FLOAT, SEED, flow, inputs_of, node, run

SAMPLE = ["Sample", 7, "randomize", 30, 4.5, "fine"]


def test_values_follow_the_widgets_and_skip_control_after_generate() -> None:
    assert inputs_of(flow([node(3, *SAMPLE)]), "3") == {
        "seed": 7, "steps": 30, "cfg": 4.5, "mode": "fine",
    }  # fmt: skip


def test_what_the_file_lacks_has_its_default() -> None:
    assert inputs_of(flow([node(3, "Sample", 7, "fixed", 30)]), "3") == {
        "seed": 7, "steps": 30, "cfg": 8.0, "mode": "fast",
    }  # fmt: skip
    assert inputs_of(flow([node(1, "Load")]), "1") == {"name": "a.ckpt"}


def test_values_of_a_dict_go_by_name() -> None:
    workflow = flow([node(3, "Sample", widgets_values={"cfg": 2, "mode": "fine"})])
    assert inputs_of(workflow, "3") == {"seed": 0, "steps": 20, "cfg": 2, "mode": "fine"}


def test_an_int_named_seed_is_controlled_without_being_told() -> None:
    info = {"A": {"input": {"required": {"seed": ["INT"], "n": ["INT"]}}}}
    assert inputs_of(flow([node(1, "A", 5, "fixed", 6)]), "1", info) == {"seed": 5, "n": 6}


def test_a_controlled_combo_also_saves_a_filter() -> None:
    combo = ["COMBO", {"options": ["x", "y"], "control_after_generate": True}]
    info = {"A": {"input": {"required": {"pick": combo, "n": ["INT"]}}}}
    assert inputs_of(flow([node(1, "A", "y", "fixed", "", 6)]), "1", info) == {"pick": "y", "n": 6}


def test_input_order_decides() -> None:
    info = {
        "A": {
            "input": {"required": {"a": ["INT"], "b": ["STRING"]}},
            "input_order": {"required": ["b", "a"]},
        }
    }
    assert inputs_of(flow([node(1, "A", "text", 3)]), "1", info) == {"b": "text", "a": 3}


def test_a_value_saved_for_a_forced_input_is_skipped() -> None:
    forced = ["INT", {"forceInput": True}]
    info = {"A": {"input": {"required": {"a": ["INT"], "b": forced, "c": ["INT"]}}}}
    assert inputs_of(flow([node(1, "A", 1, 2, 3)]), "1", info) == {"a": 1, "c": 3}
    assert inputs_of(flow([node(1, "A", 1, 3)]), "1", info) == {"a": 1, "c": 3}


def test_an_optional_default_input_is_a_forced_one() -> None:
    info = {"A": {"input": {"optional": {"a": ["INT", {"defaultInput": True}]}}}}
    assert inputs_of(flow([node(1, "A")]), "1", info) == {}


def test_lists_are_wrapped() -> None:
    info = {"A": {"input": {"required": {"palette": ["COLORS"], "curve": ["CURVE"]}}}}
    curve = {"points": [[0, 1]], "interpolation": "linear"}
    assert inputs_of(flow([node(1, "A", ["#fff"], curve)]), "1", info) == {
        "palette": {"__value__": ["#fff"]},
        "curve": {"__type__": "CURVE", "__value__": curve},
    }


def test_upload_buttons_take_a_place_but_are_not_sent() -> None:
    image = [["a.png"], {"image_upload": True}]
    given = {"required": {"image": image}, "optional": {"n": ["INT"]}}
    order = {"required": ["image"], "optional": ["n"]}
    info = {"A": {"input": given, "input_order": order}}
    workflow = flow([node(1, "A", "b.png", 4, "image")])
    assert inputs_of(workflow, "1", info) == {"image": "b.png", "n": 4}


def test_a_dynamic_combo_brings_the_inputs_of_its_choice() -> None:
    modes = [
        {"key": "plain", "inputs": {}},
        {"key": "sized", "inputs": {"required": {"width": ["INT"], "mask": ["MASK"]}}},
    ]
    dynamic = ["COMFY_DYNAMICCOMBO_V3", {"options": modes}]
    info = {"A": {"input": {"required": {"mode": dynamic, "n": ["INT"]}}}}

    assert inputs_of(flow([node(1, "A", "plain", 5)]), "1", info) == {"mode": "plain", "n": 5}

    linked = node(1, "A", "sized", 64, 5, inputs={"mode.mask": (1, "MASK")})
    workflow = flow([linked, node(2, "Load", outputs=["MASK"])], [1, 2, 0, 1, 0, "MASK"])
    assert inputs_of(workflow, "1", info) == {
        "mode": "sized", "mode.width": 64, "n": 5, "mode.mask": ["2", 0],
    }  # fmt: skip


def test_inputs_of_another_choice_go() -> None:
    modes = [{"key": "plain", "inputs": {}}, {"key": "w", "inputs": {"required": {"w": ["MASK"]}}}]
    dynamic = ["COMFY_DYNAMICCOMBO_V3", {"options": modes}]
    info = {"A": {"input": {"required": {"mode": dynamic}}}}
    stale = node(1, "A", "plain", inputs={"mode.w": (1, "MASK")})
    workflow = flow([stale, node(2, "Load")], [1, 2, 0, 1, 5, "MASK"])
    assert inputs_of(workflow, "1", info) == {"mode": "plain"}


def test_a_grown_input_of_another_choice_leaves_its_link_where_its_number_leads() -> None:
    """As on the page, when a file has a choice that the server does not know."""
    template = {"input": {"required": {"image": ["IMAGE"]}}, "prefix": "image", "min": 0}
    images = ["COMFY_AUTOGROW_V3", {"template": template}]
    modes = [{"key": "old", "inputs": {"required": {"images": images}}}]
    dynamic = ["COMFY_DYNAMICCOMBO_V3", {"options": modes}]
    info = {"A": {"input": {"required": {"text": ["STRING"], "mode": dynamic}}}}
    stale = node(1, "A", "words", "new", inputs={"mode.images.image0": (1, "IMAGE")})
    workflow = flow([stale, node(2, "Load")], [1, 2, 0, 1, 0, "IMAGE"])
    assert inputs_of(workflow, "1", info) == {"text": ["2", 0], "mode": "new"}


def test_autogrow_inputs_keep_their_links() -> None:
    template = {"input": {"required": {"image": ["IMAGE"]}}, "prefix": "image", "min": 1}
    info = {"A": {"input": {"required": {"images": ["COMFY_AUTOGROW_V3", {"template": template}]}}}}
    grown = {f"images.image{n}": (n + 1, "IMAGE") for n in range(3)}
    links = [[n + 1, 2, 0, 1, n, "IMAGE"] for n in range(3)]
    workflow = flow([node(1, "A", inputs=grown), node(2, "Load", outputs=["IMAGE"])], *links)
    assert inputs_of(workflow, "1", info) == {f"images.image{n}": ["2", 0] for n in range(3)}


def test_a_custom_combo_grows_its_options_and_sends_the_number_of_its_choice() -> None:
    info = {"CustomCombo": {"input": {"required": {"choice": ["COMBO", {"options": []}]}}}}
    workflow = flow([node(1, "CustomCombo", "b", None, "a", "b", "")])
    assert inputs_of(workflow, "1", info) == {
        "choice": "b", "index": 1, "option1": "a", "option2": "b", "option3": "",
    }  # fmt: skip


def test_a_3d_view_sends_nothing_of_the_file() -> None:
    info = {"SaveGLB": {"input": {"required": {"filename_prefix": ["STRING"]}}}}
    workflow = flow([node(1, "SaveGLB", "mesh", "old/view.glb")])
    assert inputs_of(workflow, "1", info) == {"filename_prefix": "mesh", "image": ""}


def test_a_3d_view_sends_where_the_camera_stands() -> None:
    info = {"Save3D": {"input": {"required": {"viewport_state": ["LOAD_3D", {}]}}}}
    camera = {"Camera Config": {"state": {"fov": 50}}}
    workflow = flow([node(1, "Save3D"), node(2, "Save3D", properties=camera)])
    assert inputs_of(workflow, "1", info)["viewport_state"]["camera_info"]["fov"] == 35
    assert inputs_of(workflow, "2", info)["viewport_state"]["camera_info"] == {"fov": 50}


def test_file_names_are_filled_in() -> None:
    info = {"SaveImage": {"input": {"required": {"filename_prefix": ["STRING"]}}}}
    nodes = [
        node(1, "SaveImage", "%Sample.steps%/%My Text.text%_%width%_%date:yyyy%"),
        node(2, *SAMPLE, properties={"Node name for S&R": "Sample"}),
        node(3, "Encode", "a/b", title="My Text"),
    ]
    prefix = inputs_of(flow(nodes), "1", info)["filename_prefix"]
    assert prefix.startswith("30/a_b_%width%_20")


def test_old_names_and_nulls_are_mended() -> None:
    names = ["COMBO", {"options": ["euler", "heun"]}]
    info = {"KSampler": {"input": {"required": {"sampler_name": names, "scheduler": names}}}}
    assert inputs_of(flow([node(1, "KSampler", "sample_heun", None)]), "1", info) == {
        "sampler_name": "heun", "scheduler": "euler",
    }  # fmt: skip


def test_unknown_types_convert_as_far_as_the_file_tells() -> None:
    inputs = [
        {"name": "x", "type": "INT", "widget": {"name": "x"}, "link": None},
        {"name": "y", "type": "INT", "widget": {"name": "y"}, "link": None},
    ]
    workflow = flow([node(9, "Mystery", 1, 2) | {"inputs": inputs}])

    conversion = run(workflow)

    assert conversion.prompt["9"]["inputs"] == {"x": 1, "y": 2}
    assert conversion.prompt["9"]["class_type"] == "Mystery"
    assert conversion.warnings == ["Node 9: the server has no node type 'Mystery'."]


def test_titles_are_the_users_or_the_classs() -> None:
    workflow = flow([node(1, "Encode"), node(2, "Encode", title="Mine"), node(3, "Load")])
    titles = {key: found["_meta"]["title"] for key, found in run(workflow).prompt.items()}
    assert titles == {"1": "Encode Text", "2": "Mine", "3": "Load"}


def test_numbers_keep_their_size() -> None:
    info = {"A": {"input": {"required": {"seed": SEED, "cfg": FLOAT}}}}
    workflow = flow([node(1, "A", 963372421863190912, "fixed", 0.30000000000000004)])
    assert inputs_of(workflow, "1", info) == {
        "seed": 963372421863190912, "cfg": 0.30000000000000004,
    }  # fmt: skip
