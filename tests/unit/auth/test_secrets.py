"""New keys."""

from app.auth.secrets import PREFIX, new_key


# -- keys ---------------------------------------------------------------------------------------
def test_keys_are_long_random_and_of_plain_characters() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    for key in keys:
        assert key.startswith(PREFIX)
        assert len(key) == len(PREFIX) + 43  # 256 bits, 6 a character
        assert set(key) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
