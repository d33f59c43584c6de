"""Connections, transactions and types of columns, of SQLite and PostgreSQL."""
