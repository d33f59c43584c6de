"""What several servers have."""

from app.servers.inventory import merged


def test_choices_of_several_servers_are_joined() -> None:
    def of(definition: object, **more: object) -> dict[str, object]:
        return {"L": {"input": {"required": {"name": definition}}}, **more}

    for one, other, joined in (
        ([["a"], {}], [["b", "a"], {}], [["a", "b"], {}]),
        (
            ["COMBO", {"options": ["a"], "x": 1}],
            ["COMBO", {"options": ["b"]}],
            ["COMBO", {"options": ["a", "b"], "x": 1}],
        ),
        (
            ["INT", {"max": 1}],
            ["INT", {"max": 2}],
            ["INT", {"max": 1, "everywhere": {"max": 1}}],
        ),
        ([["a"]], ["COMBO", {"options": ["b"]}], [["a"]]),
    ):
        first, second = of(one), of(other, M={})
        result = merged([first, second])
        assert result["L"]["input"]["required"]["name"] == joined
        assert "M" in result
        assert first == of(one), "what the servers told stays as it is"
