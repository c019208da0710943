"""What is live: the rows at the bottom of the screen that are drawn again, until they are over and done."""
