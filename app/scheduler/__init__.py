"""Which task goes to which server, and what keeps that true."""
