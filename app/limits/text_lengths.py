"""Maximum lengths of stored texts, in characters, for both databases.

app/db/tables.py uses them for columns. Longer texts of clients are refused (422), those of servers
are truncated (app/comfyui/cleaning.py), so no statement receives a text that cannot be stored.
"""

ID = 36  # UUIDs of tasks, batches, assets
WORD = 12  # enumerations: a status, a kind, a folder type
HASH = 80  # "blake3:<hex>"
KEY_NAME = 40  # see app/auth/model.py
LANE = 50  # of webhooks: "" or "*", followed by the name of a key
CLIENT = 200  # client_id of a program that speaks ComfyUI's own protocol
ORIGIN = 16  # a digest of where it asks from
CLIENT_ID = 64
FINGERPRINT = 32
SERVER = 200  # a server id, HOST:PORT
SERVER_URL = 250
OWNER = 200  # a process id
HOST = 300  # of a webhook, with the port
IDEMPOTENCY_KEY = 255
SAVED_NAME = 255  # of a saved workflow or an upload

NODE_ID = 200
CLASS_TYPE = 200
FILENAME = 500  # of a result on its server
SUBFOLDER = 500
FILE_PATH = 500  # of an asset, the client's name
STORE_KEY = 500
CONTENT_TYPE = 120

# Long texts of servers; longer ones are truncated, with a mark that states the original length.
TEXT = 1_000_000  # per text result
TEXTS = 4_000_000  # total per task
MESSAGE = 20_000  # an error message
TRACEBACK_LINE = 4_000
TRACEBACK_LINES = 200
REASON = 2_000  # reason of an attempt's outcome
WARNING = 2_000
SEARCHED = 8_000  # search text of a task
WARNINGS = 100  # per task
EXCEPTION_TYPE = 200

# For columns without a limit of their own: far above real values, below the limits of both
# databases (a billion bytes).
LONG_TEXT = 64 << 20
PROMPT = 256 << 20  # JSON in ASCII, up to six times the size of the request
