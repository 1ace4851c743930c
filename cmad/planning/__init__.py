"""What a grid will run, and what it will take, before anything trains."""
