"""Tasks: their states, where they are stored, what drives them, who hears of them."""
