// What the view "servers" is made of.
