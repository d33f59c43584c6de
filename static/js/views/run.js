// What the view "run" is made of.
