"""What operating systems do differently: one function, with its twin for Windows."""
