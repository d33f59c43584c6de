"""Use cases, called by routers; one public class per file."""
