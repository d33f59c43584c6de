"""Which tests prove what the comparison in docs/why.md says of us, and that they were run.

In a run of all tests with `REQUIRE_SERVICES=1`, as CI has it, each of them must have passed, and
none may have been skipped: `conftest.py` asks `unproved()` at the end.
"""

from collections.abc import Collection

PROOFS: dict[str, tuple[str, ...]] = {
    "takes the UI format, converts it": (
        "integration/test_conversion.py::test_a_ui_file_is_a_body",
    ),
    "parameters by name, without marks in the workflow": (
        "integration/test_shipped_workflows.py::test_it_runs_as_it_is_and_its_inputs_have_names",
    ),
    "faults named by node before queueing": (
        "integration/test_bad_input.py::test_node_errors_name_the_nodes",
        "integration/test_bad_input.py::test_faults_of_values_are_named_before_queueing",
    ),
    "many tasks in one request": (
        "integration/test_submitting.py::test_a_batch_from_submit_to_end",
    ),
    "queued tasks survive a restart": (
        "integration/test_process.py::test_killed_and_started_again",
    ),
    "a killed process takes up its running tasks": (
        "faults/test_gateway_killed.py::test_killed_again_and_again",
    ),
    "a lost server's tasks run on another": (
        "faults/test_server_lost.py::test_one_of_three_dies_in_mid_run",
    ),
    "sent twice, run once, answered both times": (
        "integration/test_submitting.py::test_the_same_key_and_body_make_one_task",
    ),
    "cancel one task, waiting or running": (
        "faults/test_cancel_anytime.py::test_cancel_at_any_moment",
    ),
    "place in the queue / time left, learned": (
        "integration/test_submitting.py::test_eta_and_position_are_learnt",
    ),
    "priority has effect": ("integration/test_recovery.py::test_priority_comes_first",),
    "live updates with previews": (
        "integration/test_streams.py::test_ws_previews_only_when_asked_for",
    ),
    "a stream goes on where it broke off": (
        "integration/test_streams.py::test_sse_resumes_after_the_last_id",
    ),
    "webhooks: signed / tried again / log and replay": (
        "integration/test_webhooks.py::test_a_task_and_its_webhook",
        "integration/test_outbox.py::test_a_receiver_that_is_down_slow_failing_and_then_well",
        "integration/test_outbox.py::test_gone_and_out_of_tries_are_dead_and_can_be_replayed",
    ),
    "several servers": ("integration/test_recovery.py::test_many_tasks_each_once",),
    "goes where the models are": (
        "integration/test_servers.py::test_a_task_goes_where_its_node_types_and_models_are",
    ),
    "inputs by URL / base64": ("integration/test_materials.py::test_a_url_as_a_value_and_a_retry",),
    "results: video, audio, 3D, text, labelled as such": (
        "acceptance/test_comfy_sdk.py::test_outputs_of_each_kind",
    ),
    "thumbnails and other formats of results": (
        "unit/files/images/test_render.py::test_every_mode_becomes_every_format",
    ),
    "results in a bucket": ("integration/test_stores.py::test_what_is_saved_is_read",),
    "programs that speak ComfyUI's own protocol, unchanged": (
        "acceptance/native/test_clients.py::test_it_works_through_every_door_that_it_can_use",
        "acceptance/native/test_replays.py::test_two_pictures_at_once",
    ),
    "Comfy API v2, official SDKs": (
        "acceptance/test_comfy_typescript.py::test_the_typescript_client",
    ),
    "OpenAPI of each workflow": ("integration/test_library.py::test_the_openapi_of_a_workflow",),
    "API keys with scopes and limits of their own": (
        "integration/test_access_matrix.py::test_a_key_may_do_what_its_scope_allows",
    ),
    "figures for Prometheus": ("integration/test_metrics.py::test_figures_after_a_run",),
    "a try without a GPU": ("integration/test_process.py::test_the_demo_flag_runs_everything",),
    "a page for making pictures": (
        "browser/test_run_view.py::test_a_newcomer_presses_run_at_once",
    ),
}


def unproved(passed: Collection[str], skipped: Collection[str]) -> list[str]:
    """The rows of which a proof did not pass, or was skipped; `tests/a.py::test_b[x]` each."""
    good, left_out = ({name.partition("[")[0] for name in names} for names in (passed, skipped))
    return [
        f"{row}: {proof}"
        for row, proofs in PROOFS.items()
        for proof in proofs
        if f"tests/{proof}" not in good or f"tests/{proof}" in left_out
    ]
