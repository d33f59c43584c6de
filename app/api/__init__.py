"""All of HTTP: the only room that imports FastAPI or Starlette."""
