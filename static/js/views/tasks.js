// What the view "tasks" is made of.
