"""Session files of the ml-intern that was retired: read, written, taken up."""
