"""Use cases: what routers call, one public class a file."""
