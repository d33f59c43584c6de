"""How long what is stored may be, in characters: one table for both databases.

app/db/tables.py makes its columns of it. Clients are refused what is longer (422), what servers
say is cut to it (app/comfyui/cleaning.py). So nothing comes to a statement that it cannot write.
"""

ID = 36  # a UUID: of tasks, batches, assets
WORD = 12  # of ours: a status, a kind, a folder's type
HASH = 80  # "blake3:<hex>"
KEY_NAME = 40  # see app/auth/model.py
LANE = 50  # of webhooks: "" or "*", and the name of a key
CLIENT_ID = 64
FINGERPRINT = 32
SERVER = 200  # its id, HOST:PORT
SERVER_URL = 250
OWNER = 200  # a process
HOST = 300  # of a webhook, with its port
IDEMPOTENCY_KEY = 255
SAVED_NAME = 255  # of a saved workflow, an upload

NODE_ID = 200
CLASS_TYPE = 200
FILENAME = 500  # of a result, on its server
SUBFOLDER = 500
FILE_PATH = 500  # of an asset, as its client calls it
STORE_KEY = 500
CONTENT_TYPE = 120

# What servers say in many words. Longer ones are cut, with a mark that says by how much.
TEXT = 1_000_000  # one text result
TEXTS = 4_000_000  # all of a task together
MESSAGE = 20_000  # an error
TRACEBACK_LINE = 4_000
TRACEBACK_LINES = 200
REASON = 2_000  # why an attempt ended
WARNING = 2_000
SEARCHED = 8_000  # of a task, to be found by
WARNINGS = 100  # of a task
EXCEPTION_TYPE = 200

# Columns without an end of their own: far beyond what anybody means, and less than what either
# database refuses (a billion bytes).
LONG_TEXT = 64 << 20
PROMPT = 256 << 20  # JSON in ASCII, up to six times as long as what was sent
