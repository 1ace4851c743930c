"""What stands around the pipeline: nothing here changes a result."""
