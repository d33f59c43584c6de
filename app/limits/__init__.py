"""How much memory, threads and text this process spends on whom, and what it does at times; and the
type of JSON."""
